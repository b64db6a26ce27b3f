"""What every frame source offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from sam2v.closing import Closing
from sam2v.video.media import MediaFile

#: Width over height of pixels that are as wide as high.
SQUARE = Fraction(1)


class EndOfVideo(IndexError, ValueError):
    """The frame lies behind the last one that can be decoded. Ends a `for` loop over a source."""


class FrameDropped(ValueError):
    """The frame was seen, but a stream keeps only its newest frames and this one is gone."""


class FrameSource(ABC, Closing):
    """A video as a lazy sequence of H x W x 3 uint8 RGB frames. Safe to use from several threads.

    A source can be copied (`copy.deepcopy`) and pickled. Files and folders are opened again by their path, at the first
    frame that the copy is asked for, and again in a forked process; a copy shares pixels, which nobody changes.

    Attributes:
        size: (height, width) in pixels, as shown (rotation applied).
        fps: frames per second; the average when the rate varies, None when unknown.
        is_seekable: whether every frame can be asked for at any time; otherwise only new and recent ones.
        is_live: whether frames are pushed into it instead of being read from somewhere.
        path: the file or folder behind it, absolute; None if there is none.
        stream: the stream of a video file that is shown; None for everything else.
        media: the bytes of a video file, which may hold sound as well; None for everything else.
        pixel_aspect: width of a pixel over its height, as a player shows it (rotation applied).
    """

    size: tuple[int, int]
    fps: float | None = None
    is_seekable: bool = True
    is_live: bool = False
    path: Path | None = None
    stream: int | None = None
    media: MediaFile | None = None
    pixel_aspect: Fraction = SQUARE

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames. TypeError while it is unknown (an iterator that has not ended).

        Where it is not known yet, a video file is read to its end; `known_length` never does that.
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
        """`len(self)`, or None where finding it out would take reading the video."""
        try:
            return len(self)
        except TypeError:
            return None

    def frame_name(self, index: int) -> str:
        """What files about this frame are called: the image's stem, or the index with five digits."""
        return f"{index:05d}"

    def file_name(self, index: int) -> str:
        """The name, with its ending, of the image file that the frame is; that of one made from it, if it is none."""
        return f"{self.frame_name(index)}.png"

    def shown(self, index: int) -> tuple[Fraction, Fraction]:
        """From when to when a frame is shown, in seconds on the clock of its file, which sound goes by as well.

        By the rate where frames have no times of their own, 25 a second where there is none.

        Raises:
            EndOfVideo: behind the last frame.
        """
        rate = exact_rate(self.fps or 25)
        return index / rate, (index + 1) / rate

    @property
    def frame_names(self) -> list[str]:
        """`frame_name` of all frames. TypeError while the length is unknown."""
        return [self.frame_name(index) for index in range(len(self))]

    def close(self) -> None:
        """Give back files, decoders and frames. Closing twice is harmless; frames cannot be read afterwards."""


def exact_rate(fps: float) -> Fraction:
    """Frames per second as the fraction that is meant, such as 30000/1001; below 1, one in so many seconds."""
    return Fraction(fps).limit_denominator(1001) if fps >= 1 else 1 / Fraction(1 / fps).limit_denominator(1001)


def normal_index(index: int, source: FrameSource) -> int:
    """A checked, non-negative index; negative ones count from the end where the length is known.

    Raises:
        TypeError: not an integer, or a negative index into a source of unknown length.
        EndOfVideo: outside the video.
    """
    if isinstance(index, bool) or not isinstance(index, int | np.integer):
        raise TypeError(f"a frame index must be an integer, got {type(index).__name__}")
    if index < 0:
        try:
            length = len(source)
        except TypeError:
            raise TypeError("negative frame indices need a source of known length") from None
        if index < -length:
            raise EndOfVideo(f"frame {index} is outside the video: it has {length} frames")
        return int(index) + length
    return int(index)


def check_size(source: FrameSource, index: int, size: tuple[int, int]) -> None:
    """Refuse a frame that is not as big as the source's first one (ValueError)."""
    if size != source.size:
        height, width = source.size
        raise ValueError(
            f"frame {source.frame_name(index)} is {size[1]} x {size[0]} pixels, but the first is "
            f"{width} x {height}: all frames of a video must have the same size"
        )
