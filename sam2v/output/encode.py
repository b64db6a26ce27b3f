"""Encoding pictures as mp4, webm or gif, and copying what is encoded. All of PyAV's writing is here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sam2v.files import ffmpeg_path

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
#: A container that can be read up to wherever writing it stopped.
FILM = "nut"
_CONTAINER_OPTIONS = {
    "mp4": {"movflags": "+faststart"},  # the picture can be shown before the whole file has arrived
    FILM: {"flush_packets": "1"},
}


class Palette:
    """255 colours shared by all frames of a GIF, so that what does not change between frames costs nothing.

    The last of the 256 stays transparent: the encoder writes it where a pixel is as before.
    """

    def __init__(self, pictures: Iterable[np.ndarray]) -> None:
        from PIL import Image

        sample = np.concatenate([picture[::2, ::2] for picture in pictures])
        self._image = Image.fromarray(sample).quantize(255, method=Image.Quantize.MEDIANCUT)
        found = np.array(self._image.getpalette("RGB"), np.uint8).reshape(-1, 3)[:255]
        self._colours = np.zeros((256, 4), np.uint8)  # alpha, red, green, blue
        self._colours[: len(found), 1:] = found
        self._colours[:255, 0] = 255

    def apply(self, picture: np.ndarray) -> av.VideoFrame:
        """The picture in these colours."""
        import av
        from PIL import Image

        indices = Image.fromarray(picture).quantize(palette=self._image, dither=Image.Dither.NONE)
        return av.VideoFrame.from_ndarray((np.asarray(indices), self._colours), format="pal8")


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
    ) -> None:
        self._palette = palette
        name, options = _encoder(format)
        self._container = _open(path, container or format)
        even = 1 if format == "gif" else 2
        self._pad = (-size[0] % even, -size[1] % even)
        self._rate = _rate(fps)
        # GIF counts hundredths of a second
        self._tick = Fraction(1, 100) if format == "gif" else 1 / self._rate
        stream: Any = self._container.add_stream(name, rate=self._rate, options=options)
        self._stream = stream
        self._stream.height, self._stream.width = size[0] + self._pad[0], size[1] + self._pad[1]
        self._stream.pix_fmt = PIXELS[format]
        self._stream.codec_context.thread_count = max(1, min(4, (os.cpu_count() or 1) // 2))  # the rest is tracking's
        self._stream.codec_context.time_base = self._tick
        self._count = 0

    def add(self, picture: np.ndarray) -> None:
        """Encode the next picture."""
        frame = self._palette.apply(picture) if self._palette else self._padded(picture)
        frame.pts = round(self._count / self._rate / self._tick)
        frame.time_base = self._tick
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is still in the encoder, and finish the file."""
        try:
            self._container.mux(self._stream.encode())
        finally:
            self._container.close()

    def abandon(self) -> None:
        """Give up the file: close it whatever state it is in."""
        import av

        with suppress(OSError, ValueError, av.error.FFmpegError):
            self._container.close()

    def _padded(self, picture: np.ndarray) -> av.VideoFrame:
        import av

        if any(self._pad):
            picture = np.pad(picture, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")


def encode_all(
    pictures: Iterable[np.ndarray],
    path: Path,
    format: VideoFormat,
    size: tuple[int, int],
    fps: float,
    palette: Palette | None = None,
) -> None:
    """Encode pictures of one size; arguments as `VideoEncoder`."""
    encoder = VideoEncoder(path, format, size, fps, palette)
    try:
        for picture in pictures:
            encoder.add(picture)
    except BaseException:
        encoder.abandon()
        raise
    encoder.close()


def copy_films(films: Iterable[Path], path: Path, format: VideoFormat, fps: float) -> bool:
    """Put encoded films one after the other into a file, packet by packet, at a constant rate.

    Returns:
        False if they were not encoded alike (another version or another machine): then the file is good for nothing.
    """
    import av

    tick = 1 / _rate(fps)
    with _open(path, format) as out:
        stream: Any = None
        count = 0
        for film in films:
            with av.open(ffmpeg_path(film)) as part:
                source = part.streams.video[0]
                if stream is None:
                    stream, setup = _like(out, source), source.codec_context.extradata
                if source.codec_context.extradata != setup:
                    return False
                for packet in part.demux(source):
                    if packet.size:
                        packet.pts = packet.dts = round(count * tick / packet.time_base)
                        packet.stream = stream
                        out.mux(packet)
                        count += 1
    return True


def _like(out: OutputContainer, source: av.VideoStream) -> Any:
    if hasattr(out, "add_stream_from_template"):
        return out.add_stream_from_template(source)
    older: Any = out.add_stream
    return older(template=source)  # PyAV before 14


def _open(path: Path, container: str) -> OutputContainer:
    import av

    return av.open(ffmpeg_path(path), "w", format=container, options=_CONTAINER_OPTIONS.get(container, {}))


def _rate(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1001)


def _encoder(format: VideoFormat) -> tuple[str, dict[str, str]]:
    import av

    for name, options in ENCODERS[format].items():
        if name in av.codecs_available:
            return name, options
    raise RuntimeError(f"this installation of PyAV has no encoder for {format}: {', '.join(ENCODERS[format])}")
