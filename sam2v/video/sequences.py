"""Frames that can be fetched by number: lists and arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.arrays import Array
from sam2v.video.base import EndOfVideo, FrameSource, check_size, normal_index
from sam2v.video.cache import CACHE_BYTES, FrameCache
from sam2v.video.frames import FrameLike, as_frame
from sam2v.video.process import PerProcess


class SequenceSource(FrameSource):
    """A list of arrays, tensors, PIL images, paths or open image files, or any sequence of those.

    Raises:
        ValueError: no frames, or (when it is reached) a frame of another size than the first.
    """

    def __init__(self, items: Sequence[FrameLike], fps: float | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        if len(items) == 0:
            raise ValueError("the video has no frames: the sequence is empty")
        self._items: Sequence[FrameLike] | None = items
        self._length = len(items)
        self._cache = PerProcess(partial(FrameCache, cache_bytes))
        self.fps = fps
        first = self._fetch(0)
        self.size = (first.shape[0], first.shape[1])
        self._cache.get().put(0, first)  # whoever opens a video looks at this one

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> np.ndarray:
        index = normal_index(index, self)
        if index >= self._length:
            raise EndOfVideo(f"there is no frame {index}, the video has {self._length}")
        frame = self._cache.get().get(index)
        if frame is None:
            frame = self._fetch(index)
            check_size(self, index, (frame.shape[0], frame.shape[1]))
            self._cache.get().put(index, frame)
        return frame

    def file_name(self, index: int) -> str:
        item = None if self._items is None else self._items[index]
        return Path(item).name if isinstance(item, str | os.PathLike) else super().file_name(index)

    def close(self) -> None:
        self._items = None
        self._cache.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> SequenceSource:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__, _cache=copy(self._cache))
        return twin

    def _fetch(self, index: int) -> np.ndarray:
        items = self._items
        if items is None:
            raise ValueError("this source is closed")
        return as_frame(items[index])


class ArraySource(SequenceSource):
    """A numpy array or torch tensor: T x H x W x 3 (or T x H x W, T x H x W x 4, T x 3 x H x W).

    The array is not copied. Types are those of `as_frame`.
    """

    def __init__(self, array: Array, fps: float | None = None) -> None:
        shape = tuple(array.shape)
        if len(shape) == 3 and (shape[-1] in (3, 4) or shape[0] == 3):
            raise ValueError(f"a video must be T x H x W x 3, got one image, shape {shape}; add a dimension")
        if len(shape) not in (3, 4):
            raise ValueError(f"a video must be T x H x W x 3, got shape {shape}")
        super().__init__(array, fps, cache_bytes=0)  # type: ignore[arg-type]
