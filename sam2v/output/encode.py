"""Encoding pictures as mp4, webm or gif, and joining clips by copying. All of PyAV's writing is here."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer

# format -> encoders in the order of preference, with options. Frames leave the encoders in the order they come
# (no frames that refer to later ones), so that clips can be joined packet by packet.
ENCODERS: dict[str, dict[str, dict[str, str]]] = {
    "mp4": {
        "libx264": {"crf": "20", "preset": "veryfast", "bf": "0"},
        "libopenh264": {"b": "4M"},
        "h264_videotoolbox": {"b": "4M"},
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
        },
        "libvpx": {"crf": "10", "b": "4M", "deadline": "realtime", "cpu-used": "6", "auto-alt-ref": "0"},
    },
    "gif": {"gif": {}},
}
PIXELS = {"mp4": "yuv420p", "webm": "yuv420p", "gif": "pal8"}
# the picture can be shown before the whole file has arrived
CONTAINER_OPTIONS = {"mp4": {"movflags": "+faststart"}}


class Palette:
    """255 colours shared by all frames of a GIF, so that what does not change between frames costs nothing.

    The last of the 256 stays transparent: the encoder writes it where a pixel is as before.
    """

    def __init__(self, pictures: Sequence[np.ndarray]) -> None:
        from PIL import Image

        sample = np.concatenate([picture[::2, ::2] for picture in pictures])
        self._image = Image.fromarray(sample).quantize(255, method=Image.Quantize.MEDIANCUT)
        found = np.array(self._image.getpalette("RGB"), np.uint8).reshape(-1, 3)[:255]
        self._colours = np.zeros((256, 4), np.uint8)  # alpha, red, green, blue
        self._colours[: len(found), 1:] = found
        self._colours[:255, 0] = 255

    def apply(self, picture: np.ndarray) -> "av.VideoFrame":
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

    Raises:
        OSError: the file cannot be written.
        RuntimeError: this installation of PyAV has no encoder for the format.
    """

    def __init__(
        self, path: Path, format: str, size: tuple[int, int], fps: float, palette: Palette | None = None
    ) -> None:
        import av

        self._palette = palette
        self._container = av.open(str(path), "w", format=format, options=CONTAINER_OPTIONS.get(format, {}))
        name, options = _encoder(format)
        even = 1 if format == "gif" else 2
        self._pad = (-size[0] % even, -size[1] % even)
        rate = Fraction(fps).limit_denominator(1001)
        self._stream = self._container.add_stream(name, rate=rate, options=options)
        self._stream.height, self._stream.width = size[0] + self._pad[0], size[1] + self._pad[1]
        self._stream.pix_fmt = PIXELS[format]
        self._stream.codec_context.thread_count = min(4, os.cpu_count() or 1)
        # GIF counts hundredths of a second
        self._tick = Fraction(1, 100) if format == "gif" else 1 / rate
        self._stream.codec_context.time_base = self._tick
        self._rate = rate
        self._count = 0

    def add(self, picture: np.ndarray) -> None:
        """Encode the next picture."""
        frame = self._palette.apply(picture) if self._palette else self._padded(picture)
        frame.pts = round(self._count / self._rate / self._tick)
        frame.time_base = self._tick
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        try:
            self._container.mux(self._stream.encode())
        finally:
            self._container.close()

    def abandon(self) -> None:
        """Give up the file: close it whatever state it is in."""
        import av

        with suppress(OSError, ValueError, av.error.FFmpegError):
            self._container.close()

    def _padded(self, picture: np.ndarray) -> "av.VideoFrame":
        import av

        if any(self._pad):
            picture = np.pad(picture, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")


def join(clips: Sequence[Path], path: Path, format: str, fps: float) -> bool:
    """Put clips one after the other by copying their packets.

    Returns False, leaving no file, if they were not encoded alike (another version or another machine).
    """
    import av

    tick = 1 / Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format=format, options=CONTAINER_OPTIONS.get(format, {})) as out:
        stream = None
        count = 0
        for clip in clips:
            with av.open(str(clip)) as part:
                source = part.streams.video[0]
                if stream is None:
                    stream = _like(out, source)
                    extra = source.codec_context.extradata
                if source.codec_context.extradata != extra:
                    break
                for packet in part.demux(source):
                    if packet.size:
                        _place(packet, count, tick, stream)
                        out.mux(packet)
                        count += 1
        else:
            return True
    path.unlink(missing_ok=True)
    return False


def _like(out: "OutputContainer", source: "av.VideoStream") -> "av.VideoStream":
    if hasattr(out, "add_stream_from_template"):
        return out.add_stream_from_template(source)
    older: Any = out.add_stream
    return older(template=source)  # PyAV before 14


def _place(packet: "av.Packet", number: int, tick: Fraction, stream: "av.VideoStream") -> None:
    """Make a packet the `number`-th of a stream whose frames follow each other at a constant rate."""
    packet.pts = packet.dts = round(number * tick / packet.time_base)
    packet.stream = stream


def encode_all(
    pictures: Iterable[np.ndarray], path: Path, format: str, fps: float, palette: Palette | None = None
) -> None:
    """Encode pictures of one size, at least one; a GIF needs a palette."""
    encoder: VideoEncoder | None = None
    try:
        for picture in pictures:
            if encoder is None:
                encoder = VideoEncoder(path, format, (picture.shape[0], picture.shape[1]), fps, palette)
            encoder.add(picture)
    except BaseException:
        if encoder is not None:
            encoder.abandon()
        raise
    if encoder is not None:
        encoder.close()


def _encoder(format: str) -> tuple[str, dict[str, str]]:
    import av

    for name, options in ENCODERS[format].items():
        if name in av.codecs_available:
            return name, options
    raise RuntimeError(f"this installation of PyAV has no encoder for {format}: {', '.join(ENCODERS[format])}")
