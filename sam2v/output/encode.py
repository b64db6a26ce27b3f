"""Encoding pictures as mp4, webm or gif, and copying what is encoded. All of PyAV's writing is here, but for sound."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sam2v.files import ffmpeg_path
from sam2v.video.base import SQUARE, exact_rate

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer

VideoFormat = Literal["mp4", "webm", "gif"]

# format -> encoders in the order of preference, with options. A picture leaves the encoder before the next one comes,
# and refers to none that is still to come: so it is on disk when it is written, and films can be joined.
ENCODERS: dict[VideoFormat, dict[str, dict[str, str]]] = {
    "mp4": {
        "libx264": {"crf": "22", "preset": "superfast", "tune": "zerolatency", "bf": "0", "g": "60"},
        "libopenh264": {"b": "4M", "g": "60"},
        "h264_videotoolbox": {"b": "4M", "g": "60", "realtime": "1"},
    },
    "webm": {
        "libvpx-vp9": {
            "crf": "30",
            "b": "0",
            "deadline": "realtime",
            "cpu-used": "6",
            "lag-in-frames": "0",
            "auto-alt-ref": "0",
            "row-mt": "1",
            "g": "60",
        },
        "libvpx": {"crf": "10", "b": "4M", "deadline": "realtime", "cpu-used": "6", "auto-alt-ref": "0", "g": "60"},
    },
    "gif": {"gif": {}},
}
PIXELS: dict[VideoFormat, str] = {"mp4": "yuv420p", "webm": "yuv420p", "gif": "pal8"}
#: What differs for a film that is written once, to be kept.
_FINER: dict[VideoFormat, dict[str, str]] = {
    "mp4": {"crf": "17", "preset": "veryfast"},
    "webm": {"crf": "20", "deadline": "good", "cpu-used": "5"},
    "gif": {},
}
_WITH_ALPHA = "yuva420p"
#: FFmpeg's numbers of the colours that pictures are turned into, and of what those of RGB pictures are.
_BT601, _LIMITED, _BT709 = 6, 1, 1
#: A container that can be read up to wherever writing it stopped.
FILM = "nut"
_CONTAINER_OPTIONS = {
    "mp4": {"movflags": "+faststart"},  # the picture can be shown before the whole file has arrived
    FILM: {"flush_packets": "1"},
}


@dataclass(frozen=True)
class Kept:
    """How a film is encoded that is written once, to be kept: finer than while tracking.

    Attributes:
        tick: seconds that times are counted in. alpha: whether pictures are H x W x 4.
    """

    tick: Fraction
    alpha: bool = False


class Palette:
    """255 colours shared by all frames of a GIF, so that what does not change between frames costs nothing.

    The last of the 256 stays transparent: the encoder writes it where a pixel is as before.
    """

    def __init__(self, pictures: Iterable[np.ndarray]) -> None:
        from PIL import Image

        pixels = [picture[::2, ::2].reshape(-1, picture.shape[2]) for picture in pictures]
        sample = np.concatenate([part[part[:, 3] > 127, :3] if part.shape[1] == 4 else part for part in pixels])
        self._image = Image.fromarray(sample[None] if len(sample) else np.zeros((1, 1, 3), np.uint8)).quantize(
            255, method=Image.Quantize.MEDIANCUT
        )
        found = np.array(self._image.getpalette("RGB"), np.uint8).reshape(-1, 3)[:255]
        self._colours = np.zeros((256, 4), np.uint8)  # alpha, red, green, blue
        self._colours[: len(found), 1:] = found
        self._colours[:255, 0] = 255

    def apply(self, picture: np.ndarray) -> av.VideoFrame:
        """The picture in these colours; of an H x W x 4 one, what is less than half opaque is transparent."""
        import av
        from PIL import Image

        image = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
        indices = np.array(image.quantize(palette=self._image, dither=Image.Dither.NONE))
        if picture.shape[2] == 4:
            indices[picture[..., 3] < 128] = 255
        return av.VideoFrame.from_ndarray((indices, self._colours), format="pal8")


class VideoEncoder:
    """Writes H x W x 3 uint8 pictures to a file that is complete after `close`.

    Odd sizes are padded to even ones for H.264 and VP9, by repeating the last row and column.

    Args:
        path: the file.
        format: "mp4" (H.264), "webm" (VP9) or "gif".
        size: (height, width) of the pictures.
        fps: frames per second; GIF rounds the time of each frame to hundredths of a second.
        palette: colours of a GIF.
        container: the file format, if not the one of that name.
        kept: for a film that is written once, to be kept; pictures then come with their times.
        pixel_aspect: width of a pixel over its height, as it is to be shown; a GIF cannot tell.

    Raises:
        OSError: the file cannot be written.
        RuntimeError: this installation of PyAV has no encoder for the format.
    """

    def __init__(
        self,
        path: Path,
        format: VideoFormat,
        size: tuple[int, int],
        fps: float,
        palette: Palette | None = None,
        container: str | None = None,
        kept: Kept | None = None,
        pixel_aspect: Fraction = SQUARE,
    ) -> None:
        self._palette = palette
        name, options = _encoder(format)
        alpha = kept is not None and kept.alpha and format != "gif"
        if alpha and name != "libvpx-vp9":
            raise RuntimeError("this installation of PyAV has no encoder for VP9, to write transparent video")
        self._container = _open(path, container or format)
        even = 1 if format == "gif" else 2
        self._pad = (-size[0] % even, -size[1] % even)
        self._rate = exact_rate(fps)
        # GIF counts hundredths of a second
        self._tick = Fraction(1, 100) if format == "gif" else kept.tick if kept else 1 / self._rate
        finer = _FINER[format] if kept and name in next(iter(ENCODERS[format])) else {}
        stream: Any = self._container.add_stream(name, rate=self._rate, options=options | finer)
        self._stream = stream
        self._stream.height, self._stream.width = size[0] + self._pad[0], size[1] + self._pad[1]
        self._stream.pix_fmt = _WITH_ALPHA if alpha else PIXELS[format]
        if format != "gif":
            _describe(self._stream.codec_context, pixel_aspect)
        if alpha:
            self._stream.metadata["alpha_mode"] = "1"  # players look for it
        self._stream.codec_context.thread_count = max(1, min(4, (os.cpu_count() or 1) // 2))  # the rest is tracking's
        self._stream.codec_context.time_base = self._tick
        self._count = 0
        self._latest: int | None = None
        self._lengths: dict[int, int] = {}  # of the pictures in the encoder, by their times

    @property
    def container(self) -> OutputContainer:
        """The file, which other streams can be added to before the first picture."""
        return self._container

    def add(self, picture: np.ndarray, shown: tuple[Fraction, Fraction] | None = None) -> None:
        """Encode the next picture.

        Args:
            picture: H x W x 3 uint8, or H x W x 4 where there is alpha.
            shown: from when to when it is shown, in seconds; None goes by the rate.
        """
        frame = self._palette.apply(picture) if self._palette else self._padded(picture)
        start, end = shown or (self._count / self._rate, (self._count + 1) / self._rate)
        time = round(start / self._tick)
        time = time if self._latest is None else max(time, self._latest + 1)
        self._latest, self._lengths[time] = time, max(1, round(end / self._tick) - time)
        frame.pts, frame.time_base, frame.duration = time, self._tick, self._lengths[time]
        self._count += 1
        self._mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is still in the encoder, and finish the file."""
        try:
            self._mux(self._stream.encode())
        finally:
            self._container.close()

    def _mux(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            packet.duration = self._lengths.pop(packet.pts, packet.duration)  # which tells how long the last is shown
            self._container.mux(packet)

    def abandon(self) -> None:
        """Give up the file: close it whatever state it is in."""
        import av

        with suppress(OSError, ValueError, av.error.FFmpegError):
            self._container.close()

    def _padded(self, picture: np.ndarray) -> av.VideoFrame:
        import av

        if any(self._pad):
            picture = np.pad(picture, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        return av.VideoFrame.from_ndarray(
            np.ascontiguousarray(picture), format="rgba" if picture.shape[2] == 4 else "rgb24"
        )


def encode_all(
    pictures: Iterable[np.ndarray],
    path: Path,
    format: VideoFormat,
    size: tuple[int, int],
    fps: float,
    palette: Palette | None = None,
    pixel_aspect: Fraction = SQUARE,
) -> None:
    """Encode pictures of one size; arguments as `VideoEncoder`."""
    encoder = VideoEncoder(path, format, size, fps, palette, pixel_aspect=pixel_aspect)
    try:
        for picture in pictures:
            encoder.add(picture)
    except BaseException:
        encoder.abandon()
        raise
    encoder.close()


def copy_films(films: Iterable[tuple[Path, int]], path: Path, format: VideoFormat, fps: float) -> bool:
    """Put encoded films one after the other into a file, packet by packet, at a constant rate.

    Args:
        films: each with the number of its first pictures that count; writing what comes behind was interrupted.
        path, format, fps: as for `VideoEncoder`.

    Returns:
        False if they were not encoded alike (another version or another machine), or one is shorter: then the file is
        good for nothing.
    """
    import av

    tick = 1 / exact_rate(fps)
    with _open(path, format) as out:
        stream: Any = None
        count = 0
        for film, left in films:
            with av.open(ffmpeg_path(film)) as part:
                source = part.streams.video[0]
                if stream is None:
                    stream, setup = _like(out, source), source.codec_context.extradata
                if source.codec_context.extradata != setup:
                    return False
                for packet in part.demux(source):
                    if packet.size and left:
                        packet.pts = packet.dts = round(count * tick / packet.time_base)
                        packet.stream = stream
                        out.mux(packet)
                        count, left = count + 1, left - 1
                if left:
                    return False
    return True


def _like(out: OutputContainer, source: av.VideoStream) -> Any:
    if hasattr(out, "add_stream_from_template"):
        return out.add_stream_from_template(source)
    older: Any = out.add_stream
    return older(template=source)  # PyAV before 14


def _open(path: Path, container: str) -> OutputContainer:
    import av

    return av.open(ffmpeg_path(path), "w", format=container, options=_CONTAINER_OPTIONS.get(container, {}))


def _describe(context: Any, pixel_aspect: Fraction) -> None:
    """Say what the numbers in a film mean: where it does not, players take large pictures for BT.709."""
    context.colorspace, context.color_range = _BT601, _LIMITED
    context.color_primaries = context.color_trc = _BT709
    context.sample_aspect_ratio = pixel_aspect


def _encoder(format: VideoFormat) -> tuple[str, dict[str, str]]:
    import av

    for name, options in ENCODERS[format].items():
        if name in av.codecs_available:
            return name, options
    raise RuntimeError(f"this installation of PyAV has no encoder for {format}: {', '.join(ENCODERS[format])}")
