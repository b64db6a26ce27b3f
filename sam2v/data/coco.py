"""Masks of a video in a COCO data set (one JSON file), or in the lines that sam2v writes while it tracks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.data.masklets import read_json
from sam2v.masks.outline import filled
from sam2v.masks.rle import MAX_PIXELS, decode_rle

#: Where tools write which object an annotation is of; without any, each annotation is an object of its own.
_TRACK_KEYS = ("track_id", "instance_id", "object_id")


@dataclass(frozen=True)
class CocoMasks:
    """Masks of a COCO data set; its images are frames.

    Attributes:
        path: the JSON file.
        frame_of: a frame's number by the name of its picture; None for a name that is no frame.
    """

    path: Path
    frame_of: Callable[[str], int | None]

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the images, None if the file does not tell."""
        image = next(iter(self._images.values()))
        return (int(image["height"]), int(image["width"])) if "height" in image and "width" in image else None

    @property
    def annotated(self) -> tuple[int, ...]:
        """Numbers of the frames that it has, ascending."""
        return tuple(sorted(self._images))

    def file(self, frame_idx: int) -> Path:
        return self.path

    def masks(self, frame_idx: int) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}
        for obj_id, shape in self._annotations.get(frame_idx, ()):
            mask = self._mask(frame_idx, shape)
            found[obj_id] = found[obj_id] | mask if obj_id in found else mask
        return {obj_id: mask for obj_id, mask in found.items() if mask.any()}

    @cached_property
    def _document(self) -> dict[str, Any]:
        return read_json(self.path, ("images", "annotations"))

    @cached_property
    def _images(self) -> dict[int, Mapping[str, Any]]:
        """Frame's number -> image."""
        found: dict[int, Mapping[str, Any]] = {}
        try:
            for image in self._document["images"]:
                index = image.get("frame_idx")
                index = index if isinstance(index, int) else self.frame_of(str(image["file_name"]))
                if index is not None:
                    found[index] = {**image, "id": image["id"]}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.path}: every image needs 'id' and 'file_name' ({error!r})") from None
        if not found:
            raise ValueError(f"{self.path}: none of its images is a frame of the video, going by their names")
        return found

    @cached_property
    def _annotations(self) -> dict[int, list[tuple[int, Any]]]:
        """Frame's number -> (object's id, segmentation)."""
        frames = {image["id"]: index for index, image in self._images.items()}
        found: dict[int, list[tuple[int, Any]]] = {}
        try:
            for item in self._document["annotations"]:
                if item["image_id"] in frames and item.get("segmentation"):
                    entry = (_object_of(item), item["segmentation"])
                    found.setdefault(frames[item["image_id"]], []).append(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{self.path}: every annotation needs 'id' and 'image_id' ({error!r})") from None
        return found

    def _mask(self, frame_idx: int, shape: Any) -> np.ndarray:
        try:
            return _polygons(shape, self.size) if isinstance(shape, list) else decode_rle(shape)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.path}: frame {frame_idx}: {error}") from None


@dataclass(frozen=True)
class MaskLines:
    """masks.jsonl: a line per frame, of which the last one counts; one is read at a time."""

    path: Path

    @property
    def annotated(self) -> tuple[int, ...]:
        """Numbers of the frames that it has, ascending."""
        return tuple(sorted(self._places))

    def file(self, frame_idx: int) -> Path:
        return self.path

    def masks(self, frame_idx: int) -> dict[int, np.ndarray]:
        found = {}
        try:
            for item in self._line(frame_idx)["objects"]:
                mask = decode_rle(item["segmentation"])
                if mask.any():
                    found[int(item["id"])] = mask
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path}: the line of frame {frame_idx} holds no masks ({error})") from None
        return found

    @cached_property
    def _places(self) -> dict[int, int]:
        """Frame's number -> where its line starts; a line that was cut off does not count."""
        found: dict[int, int] = {}
        start = 0
        with open(self.path, "rb") as file:
            for line in file:
                try:
                    found[int(json.loads(line)["frame_idx"])] = start
                except (ValueError, KeyError, TypeError):
                    if line.endswith(b"\n"):
                        raise ValueError(f"{self.path}: not a line of masks at byte {start}") from None
                start += len(line)
        return found

    def _line(self, frame_idx: int) -> dict[str, Any]:
        with open(self.path, "rb") as file:
            file.seek(self._places[frame_idx])
            line: dict[str, Any] = json.loads(file.readline())
            return line


def _object_of(item: Mapping[str, Any]) -> int:
    places = (item, item.get("attributes") or {})
    ids = [place[key] for place in places for key in _TRACK_KEYS if isinstance(place, Mapping) and key in place]
    return int(ids[0] if ids else item["id"])


def _polygons(parts: list[Any], size: tuple[int, int] | None) -> np.ndarray:
    """The mask of polygons [x0, y0, x1, y1, ...]."""
    if size is None:
        raise ValueError("polygons need the height and width of their image")
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"an image of {size[1]} x {size[0]} pixels")
    mask = np.zeros(size, bool)
    for part in parts:
        corners = np.asarray(part, float)
        if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2 or not np.isfinite(corners).all():
            raise ValueError("a polygon is a list x0, y0, x1, y1, ... of three corners or more")
        mask |= filled([corners.reshape(-1, 2)], size)
    return mask
