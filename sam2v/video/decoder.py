"""A position in a video file that moves forward frame by frame, or jumps to a keyframe. All of PyAV's
reading is here.
"""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import av
    from av.container import InputContainer


if hasattr(os, "register_at_fork"):
    # Frames that wait for the garbage collector (see `orientation_of`) hold threads of FFmpeg, which a forked process,
    # such as a worker of a DataLoader, does not have: freeing them there would wait for ever. So it leaves them alone.
    os.register_at_fork(after_in_child=gc.freeze)


def open_container(path: Path) -> "InputContainer":
    """Open a video file and check that it has a picture stream.

    Raises:
        FileNotFoundError: no such file.
        ValueError: empty, not a video, cut off before its index, or without a video stream.
    """
    import av

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if os.path.getsize(path) == 0:
        raise ValueError(f"{path}: the file is empty")
    try:
        container = av.open(str(path))
    except av.error.FFmpegError as error:
        raise ValueError(f"{path}: not a video that can be read, or cut off ({error.strerror})") from error
    if not container.streams.video:
        container.close()
        raise ValueError(f"{path}: the file has no video stream (only sound?)")
    return container


class Decoder:
    """Decodes one file. `current` is the newest frame, `previous_time` the time of the one before it.

    `position` is the number of the current frame as long as there was no jump. Not locked: its owner locks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.current: av.VideoFrame | None = None
        self.previous_time: int | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._open()

    def restart(self) -> None:
        """Go back to the start by opening the file again, which works for every format."""
        self._container.close()
        self._open()

    def jump(self, time: int) -> None:
        """Continue from the keyframe at or before `time` (in the stream's time base)."""
        self._container.seek(time, stream=self.stream, backward=True)
        self._reset()

    def advance(self) -> "av.VideoFrame | None":
        """Decode the next frame; None at the end of what can be decoded."""
        frame = next(self._frames, None)
        if frame is not None:
            self.previous_time = self.time
            self.current = frame
            self.position += 1
        return frame

    @property
    def format_name(self) -> str:
        """FFmpeg's name of the file format, such as "mov,mp4,m4a,3gp,3g2,mj2" or "gif"."""
        return self._container.format.name

    def mean_rate(self) -> float | None:
        """Frames per second, the mean where the rate varies; None if the file does not tell."""
        stream = self.stream
        if self.format_name == "gif" and stream.frames and stream.duration and stream.time_base:
            # the average that FFmpeg gives is a guess from a few delays of whole hundredths of a second
            return stream.frames / float(stream.duration * stream.time_base)
        rate = stream.average_rate or stream.guessed_rate
        return float(rate) if rate else None

    @property
    def time(self) -> int | None:
        """When the current frame is shown."""
        return None if self.current is None else self.current.pts

    def close(self) -> None:
        self._container.close()
        self.current = None
        self._frames = iter(())

    def _open(self) -> None:
        self._container = open_container(self.path)
        self.stream = self._container.streams.video[0]
        self.stream.thread_type = "AUTO"
        # every thread of the decoder keeps frames of its own: few are enough, and memory stays flat
        self.stream.codec_context.thread_count = min(4, os.cpu_count() or 1)
        self._reset()
        self.position = -1

    def _reset(self) -> None:
        self.current, self.previous_time = None, None
        self._frames = self._decode()

    def _decode(self) -> Iterator["av.VideoFrame"]:
        import av

        packets = self._container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, EOFError, av.error.FFmpegError):
                break
            if packet.size == 0:
                break
            yield from _tolerant(packet.decode)
        # frames still inside the decoder
        yield from _tolerant(lambda: self.stream.codec_context.decode(None))


def _tolerant(decode: Callable[[], list["av.VideoFrame"]]) -> list["av.VideoFrame"]:
    """A packet that cannot be decoded gives no frame; the next may be fine."""
    import av

    try:
        return list(decode())
    except (EOFError, av.error.FFmpegError):
        return []


class Orientation(NamedTuple):
    """How stored pixels become the upright picture: swap the sides, then flip x, then flip y."""

    swap: bool = False
    flip_x: bool = False
    flip_y: bool = False


def orientation_of(frame: "av.VideoFrame") -> Orientation:
    """Read the display matrix (x' = a x + c y, y' = b x + d y). It holds for the whole stream.

    To be asked once: PyAV ties a frame and its side data into a cycle, so that the frame would stay in memory until
    the garbage collector comes by.
    """
    from av.sidedata.sidedata import Type

    side = frame.side_data.get(Type.DISPLAYMATRIX)
    if side is None:
        return Orientation()
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side), dtype=np.int32)[:5])
    if abs(b) > abs(a):
        return Orientation(True, c < 0, b < 0)
    return Orientation(False, a < 0, d < 0)


def to_rgb(frame: "av.VideoFrame", turn: Orientation, size: tuple[int, int] | None = None) -> np.ndarray:
    """H x W x 3 uint8, upright; scaled to `size` = (height, width) where a stream changes its picture size."""
    stored = size[::-1] if size is not None and turn.swap else size
    if stored is not None and stored != (frame.height, frame.width):
        frame = frame.reformat(width=stored[1], height=stored[0], format="rgb24")
    pixels = frame.to_ndarray(format="rgb24")
    pixels = pixels.transpose(1, 0, 2) if turn.swap else pixels
    pixels = pixels[:, ::-1] if turn.flip_x else pixels
    pixels = pixels[::-1] if turn.flip_y else pixels
    return np.ascontiguousarray(pixels)
