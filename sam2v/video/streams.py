"""Opening a video file with FFmpeg, and which of its streams is the video."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

from sam2v.video.base import SQUARE
from sam2v.video.media import MediaFile

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# a playlist inside of a file would make FFmpeg open other files and addresses
_OPTIONS = {"protocol_whitelist": "none"}
# codecs of pictures: where the file does not count its frames, such a stream beside another is a still
_PICTURE_CODECS = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff"})


class OpenVideo:
    """A video file that FFmpeg has open, and the stream of it that is the video.

    FFmpeg is given bytes and never a name, so that no name is read as an address, a pattern of names or a format.

    Args:
        media: the file.
        stream: number of the stream in the file; None takes the best that is no attached picture.

    Raises:
        ValueError: not a video, cut off before its index, without a video stream, or without the one asked for.
    """

    def __init__(self, media: MediaFile, stream: int | None = None) -> None:
        import av

        self._media = media
        self._file = media.open()
        try:
            self.container: InputContainer = av.open(_Nameless(self._file), options=_OPTIONS, metadata_errors="replace")
        except av.error.FFmpegError as error:
            self._file.close()
            raise ValueError(f"{media.name}: not a video that can be read, or cut off ({error.strerror})") from error
        try:
            self.stream = _choose(self.container, stream, media.name)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.container.close()
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "container"):
            self.close()

    @property
    def format_name(self) -> str:
        """FFmpeg's name of the file format, such as "mov,mp4,m4a,3gp,3g2,mj2" or "gif"."""
        return self.container.format.name

    def announced_frames(self) -> int | None:
        """How many frames are shown, as far as the file says so without being read; None if it does not.

        What an edit list hides does not count, nor do the gaps of an AVI.
        """
        announced = self.stream.frames or None
        entries = self.stream.index_entries
        goes_on = _GOES_ON.get(self.format_name.split(",")[0])
        if announced is None or goes_on is None or not len(entries):
            return announced
        if self.format_name == "avi" and entries[-1].timestamp + 1 < announced:  # its list is not there
            return announced
        with self._media.open() as file:
            return None if goes_on(file) else sum(not entry.is_discard for entry in entries)

    def mean_rate(self) -> float | None:
        """Frames per second, the mean where the rate varies; None if the file does not tell."""
        stream = self.stream
        if self.format_name == "gif" and stream.frames and stream.duration and stream.time_base:
            # the average that FFmpeg gives is a guess from a few delays of whole hundredths of a second
            return stream.frames / float(stream.duration * stream.time_base)
        rate = stream.average_rate or stream.guessed_rate
        return float(rate) if rate else None

    def pixel_aspect(self, turned: bool) -> Fraction:
        """Width over height of a pixel as it is shown; `turned`: where that is a quarter turn from how it is stored."""
        aspect = self.stream.sample_aspect_ratio
        if not aspect or aspect <= 0:
            return SQUARE
        return Fraction(1 / aspect if turned else aspect)


class _Nameless:
    """What FFmpeg may know of a file: its bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        """Where it is now; -1 where there is no such place, as FFmpeg may ask for in a file that is cut off."""
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError):
            return -1


def _has_another_avi(file: BinaryIO) -> bool:
    """Whether another AVI follows the one at the start of a file: FFmpeg plays both."""
    size = int.from_bytes(file.read(8)[4:], "little")
    file.seek(8 + size + size % 2)
    return file.read(12)[8:] == b"AVI "


def _has_fragments(file: BinaryIO) -> bool:
    """Whether a mp4 lists frames also behind its head, as those do that are written while they are recorded."""
    place = 0
    while len(head := file.read(16)) == 16 and head[4:8] != b"moof":
        size = int.from_bytes(head[:4], "big")
        size = int.from_bytes(head[8:], "big") if size == 1 else size
        if size < 8:  # to the end of the file, or damaged
            return False
        place = file.seek(place + size)
    return len(head) == 16


# formats that list every packet of the file at its start or end, and how they may go on beyond that
_GOES_ON: dict[str, Callable[[BinaryIO], bool]] = {"mov": _has_fragments, "avi": _has_another_avi}


def _choose(container: InputContainer, number: int | None, name: str) -> VideoStream:
    """The stream asked for, or the best: rather a film than a picture, rather the default, rather the larger."""
    videos = [stream for stream in container.streams.video if not _is_attached(stream)]
    known = ", ".join(map(_describe, videos)) or "none"
    if number is not None:
        videos = [stream for stream in videos if stream.index == number]
        if not videos:
            raise ValueError(f"{name}: stream {number} is not a video; the video streams are: {known}")
    if not videos:
        others = "only a cover picture" if container.streams.video else "only sound?"
        raise ValueError(f"{name}: the file has no video stream ({others})")
    readable = [stream for stream in videos if stream.codec_context is not None]
    if not readable:
        raise ValueError(f"{name}: this FFmpeg cannot decode its video: {known}")
    return max(readable, key=_rank)


def _is_attached(stream: VideoStream) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _rank(stream: VideoStream) -> tuple[bool, bool, int, int]:
    from av.stream import Disposition

    context = stream.codec_context
    is_film = stream.frames != 1 and (stream.frames > 1 or context.name not in _PICTURE_CODECS)
    is_default = bool(stream.disposition & Disposition.default)
    return is_film, is_default, context.width * context.height, -stream.index


def _describe(stream: VideoStream) -> str:
    context = stream.codec_context
    kind = "unknown codec" if context is None else f"{context.name}, {context.width} x {context.height}"
    return f"{stream.index} ({kind})"
