"""Ground truth in JSON files of run-length masks: SA-V's masklets and SA-1B's segments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.data.annotations import Layout
from sam2v.files import parse_json
from sam2v.masks.bounds import decode_one
from sam2v.masks.rle import rle_area
from sam2v.output.sav import OBJECT_IDS

#: The longest side of a picture, and frames that a video may have beyond those that its masks are of.
_MOST_SIDE, _MORE_FRAMES = 1 << 16, 100_000


@dataclass(frozen=True)
class SavMasklets:
    """Masklets of one SA-V training video: a row of RLEs for every `step`-th frame.

    Attributes:
        files: ID_manual.json, ID_auto.json or both. The ids of a second file follow after those of the first.
        step: frames between annotated ones (6 fps over 24 fps: 4).
        own_ids: take the ids that objects had before they became masklets, where a file tells them.
        video_size: (height, width) that masks must have, if it is known otherwise than by the files.
    """

    files: tuple[Path, ...]
    step: int = 4
    own_ids: bool = False
    video_size: tuple[int, int] | None = None

    @property
    def layout(self) -> Layout:
        return "objects"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the video in pixels, as the first file says."""
        return int(self._documents[0]["video_height"]), int(self._documents[0]["video_width"])

    @property
    def num_frames(self) -> int:
        return int(self._documents[0]["video_frame_count"])

    @property
    def annotated(self) -> tuple[int, ...]:
        rows = min(len(document["masklet"]) for document in self._documents)
        return tuple(range(0, self.num_frames, self.step)[:rows])

    @cached_property
    def mean_areas(self) -> dict[int, float]:
        """Object id -> mean area in pixels over the frames where it is visible, as the files say."""
        columns = self._columns.items()
        try:
            return {obj: float(self._documents[doc]["masklet_size_abs"][col]) for obj, (doc, col) in columns}
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{self.files[0]}: masklet_size_abs must be a number per masklet ({error!r})") from None

    def file(self, frame_idx: int) -> Path:
        return self.files[0]

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        wanted = {obj: rle for obj, rle in self._row(frame_idx).items() if objects is None or obj in objects}
        read = partial(decode_one, count=len(wanted), size=self.video_size or self.size)
        found = {obj: self._guarded(read, obj, rle) for obj, rle in wanted.items()}
        return {obj: mask for obj, mask in found.items() if mask.any()}

    def areas(self, frame_idx: int) -> dict[int, int]:
        found = {obj: self._guarded(rle_area, obj, rle) for obj, rle in self._row(frame_idx).items()}
        return {obj: area for obj, area in found.items() if area}

    def void(self, frame_idx: int) -> np.ndarray | None:
        return None

    def first_frames(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for index in self.annotated:
            for obj in self.areas(index):
                found.setdefault(obj, index)
            if len(found) == len(self._columns):
                break
        return found

    def object_name(self, obj_id: int) -> str:
        return f"{obj_id:03d}"

    @cached_property
    def _documents(self) -> tuple[dict[str, Any], ...]:
        keys = ("masklet", "masklet_id", "video_frame_count", "video_height", "video_width")
        documents = tuple(read_json(path, keys) for path in self.files)
        for path, document in zip(self.files, documents, strict=True):
            _check_masklets(path, document, self.step)
        return documents

    @cached_property
    def _columns(self) -> dict[int, tuple[int, int]]:
        """Object id -> (document, column of the masklet table)."""
        columns: dict[int, tuple[int, int]] = {}
        for index, document in enumerate(self._documents):
            start = max(columns, default=-1) + 1
            columns |= {start + obj: (index, col) for col, obj in enumerate(self._ids(index, document))}
        return columns

    def _ids(self, index: int, document: Mapping[str, Any]) -> list[int]:
        """The ids of a file's masklets, column by column."""
        key = OBJECT_IDS if self.own_ids and OBJECT_IDS in document else "masklet_id"
        ids, count = document[key], len(document["masklet_id"])
        if not isinstance(ids, list) or not all(type(obj) is int for obj in ids) or len(set(ids)) != count:
            raise ValueError(
                f"{self.files[index]}: {key} must be a list of {count} different whole numbers, got {ids!r}"
            )
        return ids

    def _row(self, frame_idx: int) -> dict[int, Mapping[str, Any]]:
        row = frame_idx // self.step
        return {
            obj: rle
            for obj, (doc, col) in self._columns.items()
            if (rle := self._documents[doc]["masklet"][row][col]) is not None
        }

    def _guarded(self, read: Any, obj: int, rle: Mapping[str, Any]) -> Any:
        try:
            return read(rle)
        except ValueError as error:
            raise ValueError(f"{self.files[self._columns[obj][0]]}: masklet {obj}: {error}") from error


@dataclass(frozen=True)
class SegmentFile:
    """Segments of one SA-1B image; it has the single frame 0 and ids as in the file."""

    path: Path

    @property
    def layout(self) -> Layout:
        return "objects"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self._document["image"]["height"]), int(self._document["image"]["width"])

    def file(self, frame_idx: int) -> Path:
        return self.path

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        wanted = {obj: rle for obj, rle in self._segments.items() if objects is None or obj in objects}
        read = partial(decode_one, count=len(wanted), size=self.size)
        found = {obj: self._guarded(read, obj, rle) for obj, rle in wanted.items()}
        return {obj: mask for obj, mask in found.items() if mask.any()}

    def areas(self, frame_idx: int) -> dict[int, int]:
        found = {obj: self._guarded(rle_area, obj, rle) for obj, rle in self._segments.items()}
        return {obj: area for obj, area in found.items() if area}

    def void(self, frame_idx: int) -> np.ndarray | None:
        return None

    def first_frames(self) -> dict[int, int]:
        return dict.fromkeys(self.areas(0), 0)

    def object_name(self, obj_id: int) -> str:
        return str(obj_id)

    @cached_property
    def _document(self) -> dict[str, Any]:
        document = read_json(self.path, ("image", "annotations"))
        image = document["image"]
        if not isinstance(image, dict) or not all(_is_whole(image.get(key), _MOST_SIDE) for key in ("height", "width")):
            raise ValueError(f"{self.path}: image needs 'height' and 'width', whole numbers of at most {_MOST_SIDE}")
        return document

    @cached_property
    def _segments(self) -> dict[int, Mapping[str, Any]]:
        annotations = self._document["annotations"]
        try:
            found = {int(item["id"]): item["segmentation"] for item in annotations}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{self.path}: every annotation needs 'id' and 'segmentation' ({error!r})") from error
        if len(found) < len(annotations):
            raise ValueError(f"{self.path}: {len(annotations)} annotations have {len(found)} different ids")
        return found

    def _guarded(self, read: Any, obj: int, rle: Mapping[str, Any]) -> Any:
        try:
            return read(rle)
        except ValueError as error:
            raise ValueError(f"{self.path}: segment {obj}: {error}") from error


def _check_masklets(path: Path, document: Mapping[str, Any], step: int) -> None:
    """Raise ValueError unless a SA-V document has rows of as many masks as it has masklets, and a video's sizes."""
    rows, ids = document["masklet"], document["masklet_id"]
    if not isinstance(rows, list) or not isinstance(ids, list):
        raise ValueError(f"{path}: masklet and masklet_id must be lists")
    if not all(isinstance(row, list) and len(row) == len(ids) for row in rows):
        raise ValueError(f"{path}: every row of masklet must be a list of {len(ids)} masks, as many as masklet_id has")
    most = {
        "video_frame_count": len(rows) * step + _MORE_FRAMES,
        "video_height": _MOST_SIDE,
        "video_width": _MOST_SIDE,
    }
    for key, largest in most.items():
        if not _is_whole(document[key], largest):
            raise ValueError(f"{path}: {key} must be a whole number from 1 to {largest}, got {document[key]!r:.60}")


def _is_whole(value: Any, most: int) -> bool:
    return type(value) in (int, float) and 1 <= value <= most and int(value) == value


def read_json(path: Path, keys: Collection[str] = ()) -> dict[str, Any]:
    """A JSON object with at least the given keys. Raises OSError for no file, ValueError naming what is wrong
    in it.
    """
    document = parse_json(path.read_bytes(), path)
    if not isinstance(document, dict) or not set(keys) <= set(document):
        missing = ", ".join(key for key in keys if not isinstance(document, dict) or key not in document)
        raise ValueError(f"{path}: the JSON object lacks {missing or 'its top level'}")
    return document
