"""One record type for every data set: a video with its annotated frames, and an image with its segments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar, overload

import numpy as np

from sam2v.data.annotations import Annotations, Layout
from sam2v.data.frames import FrameFolder, Frames

Record = TypeVar("Record", "VideoRecord", "ImageRecord")


@dataclass(frozen=True, eq=False)
class VideoRecord:
    """A video and its ground truth. Cheap to make and to pickle: pixels are read when asked for.

    Attributes:
        name: the video's name in its data set.
        frames: where the pictures come from.
        annotated: indices of the frames that carry ground truth, ascending.
        fps: frames per second of `frames`.
        annotations: where the masks come from.
        scored: indices of the frames whose predictions the benchmark asks for; empty = all of them.
        categories: object id -> category name, where the data set says so.
    """

    name: str
    frames: Frames
    annotated: tuple[int, ...]
    fps: float
    annotations: Annotations
    scored: tuple[int, ...] = ()
    categories: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scored:
            object.__setattr__(self, "scored", tuple(range(len(self.frame_names))))

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames.names)

    @property
    def source(self) -> Path:
        """The folder of frames or the video file."""
        return self.frames.source

    @property
    def frame_names(self) -> tuple[str, ...]:
        """Stems of all frames in order; predictions are named after them."""
        return self.frames.names

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.frames.size

    @property
    def layout(self) -> Layout:
        """How masks are stored: "labels", "binary" (one PNG a frame) or "objects" (one folder per object)."""
        return self.annotations.layout

    @cached_property
    def first_frame(self) -> Mapping[int, int]:
        """Object id -> index of the frame whose annotation introduces it, in ascending ids.

        Read on first use: where the data set does not list it, from the annotations.
        """
        return dict(sorted(self.annotations.first_frames().items()))

    def object_name(self, obj_id: int) -> str:
        """What the data set calls the object in file names ("000" in SA-V, else the number)."""
        return self.annotations.object_name(obj_id)

    def frame(self, frame_idx: int) -> np.ndarray:
        """H x W x 3 uint8 RGB. Raises IndexError outside the video, OSError or ValueError for an unreadable
        file.
        """
        self._check_index(frame_idx)
        return self.frames.read(frame_idx)

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        """Object id -> H x W bool.

        Without `objects`: every object that is visible on the frame. With it: exactly those ids, all False
        where one is not to be seen; the others are not decoded.

        Raises ValueError for a frame without annotation, or masks of another size than the frames (naming the
        file).
        """
        self._check_annotated(frame_idx)
        masks = self.annotations.masks(frame_idx, objects)
        for mask in masks.values():
            self._check_size(mask, frame_idx)
        if objects is None:
            return masks
        return {obj: masks[obj] if obj in masks else np.zeros(self.size, bool) for obj in objects}

    def areas(self, frame_idx: int) -> dict[int, int]:
        """Object id -> number of pixels, of the objects visible on an annotated frame; no mask of JSON is
        decoded.
        """
        self._check_annotated(frame_idx)
        return self.annotations.areas(frame_idx)

    def void(self, frame_idx: int) -> np.ndarray | None:
        """H x W bool, the pixels to ignore on an annotated frame; None if there are none."""
        self._check_annotated(frame_idx)
        void = self.annotations.void(frame_idx)
        if void is not None:
            self._check_size(void, frame_idx)
        return void

    @cached_property
    def _annotated_set(self) -> frozenset[int]:
        return frozenset(self.annotated)

    def _check_index(self, frame_idx: int) -> None:
        if not 0 <= frame_idx < len(self):
            raise IndexError(f"video {self.name} has frames 0 to {len(self) - 1}, not {frame_idx}")

    def _check_annotated(self, frame_idx: int) -> None:
        self._check_index(frame_idx)
        if frame_idx not in self._annotated_set:
            few = ", ".join(map(str, self.annotated[:4])) + (", ..." if len(self.annotated) > 4 else "")
            raise ValueError(f"video {self.name}: frame {frame_idx} carries no annotation, these do: {few}")

    def _check_size(self, mask: np.ndarray, frame_idx: int) -> None:
        if mask.shape != self.size:
            raise ValueError(
                f"{self.annotations.file(frame_idx)}: masks of {mask.shape[0]} x {mask.shape[1]} pixels, "
                f"but frames of {self.size[0]} x {self.size[1]} in {self.source}"
            )


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """An image and the masks of its segments, by id; pixels are read when asked for."""

    name: str
    source: Path
    annotations: Annotations

    @cached_property
    def _video(self) -> VideoRecord:
        frames = FrameFolder(self.source.parent, (self.source.name,))
        return VideoRecord(self.name, frames, (0,), 1.0, self.annotations)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self._video.size

    def image(self) -> np.ndarray:
        """H x W x 3 uint8 RGB."""
        return self._video.frame(0)

    def masks(self, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        """Object id -> H x W bool, of all objects or exactly those asked for."""
        return self._video.masks(0, objects)

    def areas(self) -> dict[int, int]:
        """Object id -> number of pixels."""
        return self._video.areas(0)

    def as_video(self) -> VideoRecord:
        """The same as a video of one frame."""
        return self._video


class Records(Sequence[Record], Generic[Record]):
    """The records of a data set, each made when it is asked for: by index, by name, or a slice of them.

    `len` and `names` cost nothing, so a data set of 50,000 videos opens as fast as its names are listed.
    """

    def __init__(self, names: Sequence[str], make: Callable[[str], Record]) -> None:
        self.names = tuple(names)
        self._make: Callable[[str], Record] = make

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, key: int | str) -> Record: ...

    @overload
    def __getitem__(self, key: slice) -> Records[Record]: ...

    def __getitem__(self, key: int | str | slice) -> Record | Records[Record]:
        if isinstance(key, slice):
            return Records(self.names[key], self._make)
        if isinstance(key, str):
            if key not in self.names:
                raise KeyError(f"no record named {key!r} among {len(self)}: {_few(self.names)}")
            return self._make(key)
        return self._make(self.names[key])

    def __iter__(self) -> Iterator[Record]:
        return (self._make(name) for name in self.names)

    def select(self, names: Sequence[str]) -> Records[Record]:
        """The records of these names, in this order. Raises ValueError for names that are not there."""
        known = set(self.names)
        absent = [name for name in names if name not in known]
        if absent:
            raise ValueError(f"no record named {_few(absent)}; there are {len(self)}: {_few(self.names)}")
        return Records(names, self._make)

    def __repr__(self) -> str:
        return f"Records({len(self)}: {_few(self.names)})"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
