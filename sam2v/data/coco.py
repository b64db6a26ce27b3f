"""Masks of a video in a COCO data set (one JSON file), or in the lines that sam2v writes while it tracks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.data.masklets import read_json
from sam2v.data.names import FrameNames
from sam2v.files import parse_json
from sam2v.masks.bounds import check_masks, decode_one
from sam2v.masks.outline import filled
from sam2v.masks.rle import MAX_PIXELS

#: Where tools write which object an annotation is of; without any, each annotation is an object of its own.
_TRACK_KEYS = ("track_id", "instance_id", "object_id")


@dataclass(frozen=True)
class CocoMasks:
    """Masks of a COCO data set; its images are frames.

    Attributes:
        path: the JSON file.
        names: those of the video's frames.
    """

    path: Path
    names: FrameNames

    @property
    def annotated(self) -> tuple[int, ...]:
        """Numbers of the frames that it has, ascending."""
        return tuple(sorted(self._images))

    def file(self, frame_idx: int) -> Path:
        return self.path

    def masks(self, frame_idx: int) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}
        entries = self._annotations.get(frame_idx, [])
        objects = len({obj_id for obj_id, _ in entries})
        for obj_id, shape in entries:
            mask = self._mask(frame_idx, shape, objects)
            found[obj_id] = found[obj_id] | mask if obj_id in found else mask
        return {obj_id: mask for obj_id, mask in found.items() if mask.any()}

    @cached_property
    def _document(self) -> dict[str, Any]:
        return read_json(self.path, ("images", "annotations"))

    @cached_property
    def _images(self) -> dict[int, Mapping[str, Any]]:
        """Frame's number -> image, of the images of this video."""
        try:
            images = [(_name_of(image), image) for image in self._document["images"]]
            ours = [(name, image) for name, image in images if self.names.video & set(Path(name).parts[:-1])] or images
            frames = self.names.match([name for name, image in ours if not isinstance(image.get("frame_idx"), int)])
            numbered = [(image.get("frame_idx"), name, {**image, "id": image["id"]}) for name, image in ours]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.path}: every image needs 'id' and 'file_name' ({error!r})") from None
        found: dict[int, Mapping[str, Any]] = {}
        named: dict[int, str] = {}
        for said, name, image in numbered:
            index = said if isinstance(said, int) else frames.get(name)
            if index in found:
                raise ValueError(
                    f"{self.path}: {named[index]} and {name} are both frame {index} of the video; images of several "
                    "videos are told apart by a folder in 'file_name' that is called as the video"
                )
            if index is not None:
                found[index], named[index] = image, name
        if not found:
            raise ValueError(f"{self.path}: none of its images is a frame of the video, going by their names")
        return found

    @cached_property
    def _annotations(self) -> dict[int, list[tuple[int, Any]]]:
        """Frame's number -> (object's id, segmentation)."""
        found: dict[int, list[tuple[int, Any]]] = {}
        try:
            frames = {image["id"]: index for index, image in self._images.items()}
            if len(frames) < len(self._images):
                raise ValueError("several images have the same 'id'")
            items = [
                item
                for item in self._document["annotations"]
                if item["image_id"] in frames and item.get("segmentation")
            ]
            for item, obj_id in zip(items, _objects_of(items), strict=True):
                found.setdefault(frames[item["image_id"]], []).append((obj_id, item["segmentation"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.path}: every annotation needs 'id' and 'image_id' ({error!r})") from None
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None
        return found

    def _mask(self, frame_idx: int, shape: Any, objects: int) -> np.ndarray:
        """The mask of an annotation, of which a frame has some for each of its objects."""
        try:
            if not isinstance(shape, list):
                return decode_one(shape, objects, self.names.size)
            if (size := self._size(frame_idx)) is not None:
                check_masks(objects, size, self.names.size)
            return _polygons(shape, size)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{self.path}: frame {frame_idx}: {error}") from None

    def _size(self, frame_idx: int) -> tuple[int, int] | None:
        """(height, width) of an image, None if the file does not tell."""
        image = self._images[frame_idx]
        return (int(image["height"]), int(image["width"])) if "height" in image and "width" in image else None


@dataclass(frozen=True)
class MaskLines:
    """masks.jsonl: a line per frame, of which the last one counts; one is read at a time.

    Attributes:
        path: the file.
        size: (height, width) of the video.
    """

    path: Path
    size: tuple[int, int]

    @property
    def annotated(self) -> tuple[int, ...]:
        """Numbers of the frames that it has, ascending."""
        return tuple(sorted(self._places))

    def file(self, frame_idx: int) -> Path:
        return self.path

    def masks(self, frame_idx: int) -> dict[int, np.ndarray]:
        found = {}
        try:
            items = self._line(frame_idx)["objects"]
            for item in items:
                if int(item["id"]) in found:
                    raise ValueError(f"object {item['id']} stands there twice")
                mask = decode_one(item["segmentation"], len(items), self.size)
                if mask.any():
                    found[int(item["id"])] = mask
        except (KeyError, TypeError, ValueError, OverflowError) as error:
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
                    found[int(parse_json(line, self.path)["frame_idx"])] = start
                except (ValueError, KeyError, TypeError, OverflowError):
                    if line.endswith(b"\n"):
                        raise ValueError(f"{self.path}: not a line of masks at byte {start}") from None
                start += len(line)
        return found

    def _line(self, frame_idx: int) -> dict[str, Any]:
        with open(self.path, "rb") as file:
            file.seek(self._places[frame_idx])
            line: dict[str, Any] = json.loads(file.readline())
            return line


def _name_of(image: Mapping[str, Any]) -> str:
    """The name of an image, which need not have one if it says which frame it is."""
    return str(image.get("file_name", "") if isinstance(image.get("frame_idx"), int) else image["file_name"])


def _objects_of(items: Sequence[Mapping[str, Any]]) -> list[int]:
    """Which object each annotation is of.

    Where some have a track and others, which are objects of their own, have its number as their id, these move behind
    all tracks.
    """
    told = [_object_of(item) for item in items]
    tracks = {obj_id for key, obj_id in told if key != "id"}
    alone = [obj_id for key, obj_id in told if key == "id"]
    places = [(item["image_id"], obj_id) for item, (key, obj_id) in zip(items, told, strict=True) if key == "id"]
    if len(set(places)) < len(places):
        raise ValueError("several annotations of an image have the same 'id'")
    shift = max(tracks) + 1 - min(alone) if tracks & set(alone) else 0
    return [obj_id + shift * (key == "id") for key, obj_id in told]


def _object_of(item: Mapping[str, Any]) -> tuple[str, int]:
    """What tells which object an annotation is of, and its number."""
    places = (item, item.get("attributes") or {})
    ids = [(key, place[key]) for place in places for key in _TRACK_KEYS if isinstance(place, Mapping) and key in place]
    key, value = ids[0] if ids else ("id", item["id"])
    try:
        if int(value) != value and not isinstance(value, str):
            raise ValueError("a fraction")
        return key, int(value)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"objects are told by whole numbers, got {key!r}: {value!r}") from None


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
