"""Ground truth of one video in PNG files: label maps, or a folder of binary masks per object."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from sam2v.masks.bounds import check_picture
from sam2v.masks.grey import VOID, is_mask, one_object, void_pixels
from sam2v.masks.png import read_binary, read_label_map

Layout = Literal["labels", "binary", "objects"]
Style = Literal["ids", "binary", "auto"]


class Annotations(Protocol):
    """Ground truth of one video. Objects are told apart by integer ids; frames are indices into the video."""

    @property
    def layout(self) -> Layout:
        """How the data set stores masks, and wants predictions: one label map or one binary mask a frame, or one
        folder of binary masks per object (then objects may overlap).
        """

    def file(self, frame_idx: int) -> Path:
        """The file, or the folder of files, that a frame's masks come from; for messages."""

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        """Object id -> H x W bool of the objects visible on a frame; with `objects`, of those of them."""

    def areas(self, frame_idx: int) -> dict[int, int]:
        """Object id -> number of pixels, of the objects visible on a frame."""

    def void(self, frame_idx: int) -> np.ndarray | None:
        """H x W bool, the pixels that are neither object nor background; None if there are none."""

    def first_frames(self) -> dict[int, int]:
        """Object id -> index of the frame that introduces it."""

    def object_name(self, obj_id: int) -> str:
        """What the data set calls an object in file names."""


@dataclass(frozen=True)
class LabelMaps:
    """One PNG per annotated frame.

    Attributes:
        files: frame index -> PNG, in order.
        style: "ids": values are object ids, 255 is void in 8 bits; "binary": masks of object 1; "auto": binary if the
            first annotation that is not empty is black and white (see `sam2v.masks.grey.is_mask`).
        first: object id -> the earliest frame that may introduce it, where that is known; None = look, see `appearing`.
        appearing: whether objects may appear after the first annotated frame, so that looking means reading all.
        size: (height, width) of the video, if masks of another are to be refused before they are made.
    """

    files: Mapping[int, Path]
    style: Style = "ids"
    first: Mapping[int, int] | None = None
    appearing: bool = True
    size: tuple[int, int] | None = None

    @property
    def layout(self) -> Layout:
        return "binary" if self._is_binary else "labels"

    def file(self, frame_idx: int) -> Path:
        return self.files[frame_idx]

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        labels = self._labels(frame_idx)
        chosen = [obj for obj in _counts(labels) if objects is None or obj in objects]
        if chosen:
            check_picture(self.files[frame_idx], len(chosen), labels.shape, self.size)
        return {obj: labels == obj for obj in chosen}

    def areas(self, frame_idx: int) -> dict[int, int]:
        return _counts(self._labels(frame_idx))

    def void(self, frame_idx: int) -> np.ndarray | None:
        if self._is_binary:
            return None
        return void_pixels(read_label_map(self.files[frame_idx]))

    def first_frames(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for index in self.files if self.appearing else list(self.files)[:1]:
            if self.first is None or any(index >= start for obj, start in self.first.items() if obj not in found):
                for obj in self.areas(index):
                    if self.first is None or index >= self.first.get(obj, index + 1):
                        found.setdefault(obj, index)
        return found

    def object_name(self, obj_id: int) -> str:
        return str(obj_id)

    @cached_property
    def _is_binary(self) -> bool:
        if self.style != "auto":
            return self.style == "binary"
        for path in self.files.values():
            values = read_label_map(path)
            if values.any():
                return is_mask(values)
        return False

    def _labels(self, frame_idx: int) -> np.ndarray:
        """H x W ids; void pixels still 255 unless the style is binary."""
        labels = read_label_map(self.files[frame_idx])
        return one_object(labels).astype(np.uint8) if self._is_binary else labels


@dataclass(frozen=True)
class ObjectFolders:
    """One folder per object, in it a binary PNG per annotated frame.

    Attributes:
        root: the folder of the objects' folders.
        objects: object id -> name of its folder.
        files: frame index -> name of the PNG, in order; an object's folder need not have all of them.
        size: as of `LabelMaps`.
    """

    root: Path
    objects: Mapping[int, str]
    files: Mapping[int, str]
    size: tuple[int, int] | None = None

    @property
    def layout(self) -> Layout:
        return "objects"

    def file(self, frame_idx: int) -> Path:
        return self.root / "*" / self.files[frame_idx]

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}
        for obj in self.objects if objects is None else [obj for obj in self.objects if obj in objects]:
            mask = self._read(obj, frame_idx)
            if mask is not None and mask.any():
                check_picture(self.file(frame_idx), len(found) + 1, mask.shape, self.size)
                found[obj] = mask
        return found

    def areas(self, frame_idx: int) -> dict[int, int]:
        return {obj: int(mask.sum()) for obj, mask in self.masks(frame_idx).items()}

    def void(self, frame_idx: int) -> np.ndarray | None:
        return None

    def first_frames(self) -> dict[int, int]:
        found = {}
        for obj in self.objects:
            for index in self.files:
                if obj in self.masks(index, [obj]):
                    found[obj] = index
                    break
        return found

    def object_name(self, obj_id: int) -> str:
        return self.objects[obj_id]

    def frames_of(self, obj_id: int) -> list[int]:
        """Indices of the frames that an object's folder has a PNG for."""
        return [index for index, name in self.files.items() if (self.root / self.objects[obj_id] / name).exists()]

    def _read(self, obj: int, frame_idx: int) -> np.ndarray | None:
        path = self.root / self.objects[obj] / self.files[frame_idx]
        return read_binary(path) if path.exists() else None


def _counts(labels: np.ndarray) -> dict[int, int]:
    """Object id -> pixels of a label map, background and (in 8 bits) void left out."""
    counts = np.bincount(labels.reshape(-1))
    none = (0, VOID) if labels.dtype == np.uint8 else (0,)
    return {int(obj): int(counts[obj]) for obj in np.flatnonzero(counts) if obj not in none}
