"""The sound of a video beside new pictures: copied as it is, or encoded anew where the format does not take it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from sam2v.video.media import MediaFile
from sam2v.video.streams import OpenVideo

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer

# file format -> kinds of sound that are copied into it, and the encoder for others with its rate (None: as it is)
_COPIED = {"mp4": ("aac", "mp3", "ac3", "eac3", "alac", "opus"), "webm": ("opus", "vorbis")}
_ENCODER: dict[str, tuple[str, int | None]] = {"mp4": ("aac", None), "webm": ("libopus", 48000)}
_AAC_RATES = (8000, 96000)


class Sound:
    """All sound of a video file, on its way into another one, at the same times.

    Args:
        media: the video file.
        out: the file that it goes to, before anything is written to it.
        format: "mp4" or "webm".
    """

    def __init__(self, media: MediaFile, out: OutputContainer, format: str) -> None:
        self._video, self._out = OpenVideo(media), out
        self._ways = {
            stream.index: _Way(stream, out, format)
            for stream in self._video.container.streams.audio
            if stream.codec_context is not None
        }
        self._packets = self._read()
        self._heard: Fraction | None = None  # time of the packet that was written last

    def __len__(self) -> int:
        """How many streams of sound there are."""
        return len(self._ways)

    def write_until(self, time: Fraction) -> None:
        """Write what is heard before a time, in seconds: files are laid out in the order of time."""
        while self._heard is None or self._heard < time:
            found = next(self._packets, None)
            if found is None:
                return
            self._heard, packet = found
            self._ways[packet.stream.index].write(packet, self._out)

    def finish(self) -> None:
        """Write all the rest."""
        for _, packet in self._packets:
            self._ways[packet.stream.index].write(packet, self._out)
        for way in self._ways.values():
            way.finish(self._out)

    def close(self) -> None:
        """Close the video file."""
        self._packets = iter(())
        self._video.close()

    def _read(self) -> Iterator[tuple[Fraction, av.Packet]]:
        """Packets with their times, as far as the file can be read."""
        import av

        if not self._ways:
            return
        streams = [self._video.container.streams[index] for index in self._ways]
        with suppress(EOFError, av.error.FFmpegError):
            for packet in self._video.container.demux(streams):
                if packet.size and packet.pts is not None and packet.time_base:
                    yield packet.pts * packet.time_base, packet


class _Way:
    """How one stream of sound goes into the other file."""

    def __init__(self, stream: Any, out: OutputContainer, format: str) -> None:
        self._encodes = stream.codec_context.name.removesuffix("float") not in _COPIED[format]
        maker: Any = out
        if not self._encodes:
            self._stream = maker.add_stream_from_template(stream)
            return
        name, rate = _ENCODER[format]
        low, high = _AAC_RATES
        self._stream = maker.add_stream(name, rate=rate or min(max(stream.codec_context.rate, low), high))
        mono = stream.codec_context.layout.nb_channels == 1
        self._stream.codec_context.layout = "mono" if mono else "stereo"

    def write(self, packet: av.Packet, out: OutputContainer) -> None:
        """Take the next packet."""
        import av

        if not self._encodes:
            packet.stream = self._stream
            out.mux(packet)
            return
        frames: list[Any] = []
        with suppress(EOFError, av.error.FFmpegError):  # a damaged packet is silence
            frames.extend(packet.decode())
        for frame in frames:
            out.mux(self._stream.encode(frame))

    def finish(self, out: OutputContainer) -> None:
        """Write what is still in the encoder."""
        if self._encodes:
            out.mux(self._stream.encode(None))
