"""What every frame source offers, and the small cache they share."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from typing_extensions import Self

# room for the frames that are read ahead and the one being drawn, also in 4K
CACHE_BYTES = 192 * 2**20
CACHE_FRAMES = 64  # small frames fill the cache early in a video too, so that memory is flat from then on


class EndOfVideo(IndexError, ValueError):
    """The frame lies behind the last one that can be decoded. Ends a `for` loop over a source."""


class FrameDropped(ValueError):
    """The frame was seen, but a stream keeps only its newest frames and this one is gone."""


class FrameSource(ABC):
    """A video as a lazy sequence of H x W x 3 uint8 RGB frames. Safe to use from several threads.

    Attributes:
        size: (height, width) in pixels, as shown (rotation applied).
        fps: frames per second; the average when the rate varies, None when unknown.
        is_seekable: whether every frame can be asked for at any time; otherwise only new and recent ones.
        path: the file or folder behind it, if any.
    """

    size: tuple[int, int]
    fps: float | None = None
    is_seekable: bool = True
    path: Path | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames. TypeError while it is unknown (an iterator that has not ended).

        For video files it is what the container announces until the decoder has seen the end, then what is
        there.
        """

    @abstractmethod
    def __getitem__(self, index: int) -> np.ndarray:
        """The frame, H x W x 3 uint8. Treat it as read-only: it may be cached.

        Raises:
            EndOfVideo: behind the last frame.
            FrameDropped: no longer kept by a stream.
        """

    def __iter__(self) -> Iterator[np.ndarray]:
        index = 0
        while True:
            try:
                frame = self[index]
            except EndOfVideo:
                return
            yield frame
            index += 1

    def known_length(self) -> int | None:
        """`len(self)`, or None while it is unknown."""
        try:
            return len(self)
        except TypeError:
            return None

    def frame_name(self, index: int) -> str:
        """What files about this frame are called: the image's stem, or the index with five digits."""
        return f"{index:05d}"

    @property
    def frame_names(self) -> list[str]:
        """`frame_name` of all frames. TypeError while the length is unknown."""
        return [self.frame_name(index) for index in range(len(self))]

    def close(self) -> None:  # noqa: B027 - sources in memory hold nothing to give back
        """Give back files and decoders. Closing twice is harmless; frames cannot be read afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def normal_index(index: int, source: "FrameSource") -> int:
    """A checked, non-negative index; negative ones count from the end where the length is known.

    Raises:
        TypeError: not an integer, or a negative index into a source of unknown length.
        EndOfVideo: outside the video.
    """
    if isinstance(index, bool) or not isinstance(index, int | np.integer):
        raise TypeError(f"a frame index must be an integer, got {type(index).__name__}")
    if index < 0:
        length = source.known_length()
        if length is None:
            raise TypeError("negative frame indices need a source of known length")
        if index < -length:
            raise EndOfVideo(f"frame {index} is outside the video: it has {length} frames")
        return int(index) + length
    return int(index)


def check_size(source: "FrameSource", index: int, size: tuple[int, int]) -> None:
    """Refuse a frame that is not as big as the source's first one (ValueError)."""
    if size != source.size:
        height, width = source.size
        raise ValueError(
            f"frame {source.frame_name(index)} is {size[1]} x {size[0]} pixels, but the first is "
            f"{width} x {height}: all frames of a video must have the same size"
        )


class FrameCache:
    """The most recently used frames, bounded in bytes and in number; the newest frame always stays.

    Not locked: its owner locks.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._frames: OrderedDict[int, np.ndarray] = OrderedDict()

    def get(self, index: int) -> np.ndarray | None:
        frame = self._frames.get(index)
        if frame is not None:
            self._frames.move_to_end(index)
        return frame

    def put(self, index: int, frame: np.ndarray) -> None:
        old = self._frames.pop(index, None)
        self.bytes += frame.nbytes - (0 if old is None else old.nbytes)
        self._frames[index] = frame
        while len(self._frames) > 1 and (self.bytes > self.max_bytes or len(self._frames) > CACHE_FRAMES):
            _, dropped = self._frames.popitem(last=False)
            self.bytes -= dropped.nbytes

    def clear(self) -> None:
        self._frames.clear()
        self.bytes = 0
