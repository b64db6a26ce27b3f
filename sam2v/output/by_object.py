"""What writers of records that go object by object have in common: results come frame by frame."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from sam2v.files import inside, whole_file
from sam2v.masks.crops import MaskCrop
from sam2v.masks.result import MaskletFrame
from sam2v.output.base import MaskWriter, Target, is_object
from sam2v.output.journal import Journal


class ObjectRecordWriter(MaskWriter):
    """A hidden line per object and frame while they come, and one per frame; a record of all of them on close.

    Memory holds where the lines are, and no more.

    Attributes:
        format: as in `FORMATS`. file_name: the record's.
    """

    format = ""
    file_name = ""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.path = target.folder / self.file_name
        self._journal = Journal(self.record_path(target.folder, self.format), target.resume)
        self._places: dict[int, dict[int, int]] = {}  # frame -> object -> where its line starts
        waiting: dict[int, int] = {}
        for number, (start, entry) in enumerate(self._journal.entries(), 1):
            target.check_entry(entry, self._journal.path, number)
            ids = entry.get("ids")
            if is_object(entry, ("id", "shape")) and self._is_shape(entry["shape"]):
                waiting[entry["id"]] = start
            elif isinstance(ids, list) and all(type(obj_id) is int and obj_id in waiting for obj_id in ids):
                self._places[entry["frame_idx"]] = {obj_id: waiting[obj_id] for obj_id in ids}
                waiting = {}
            else:
                raise ValueError(f"{self._journal.path}: line {number} is no record of masks")

    @staticmethod
    def remove_results(folder: Path, format: str) -> None:
        journal = Journal(MaskWriter.record_path(folder, format), resume=True)
        for name in {entry["record"] for _, entry in journal.entries() if isinstance(entry.get("record"), str)}:
            inside(folder, name).unlink(missing_ok=True)
        journal.path.unlink(missing_ok=True)

    def done_frames(self) -> set[int]:
        return set(self._places)

    @abstractmethod
    def _shape(self, crop: MaskCrop) -> dict[str, Any]:
        """What is written of a mask that is not empty, as JSON holds it."""

    @abstractmethod
    def _is_shape(self, shape: Any) -> bool:
        """Whether a line's shape is one that `_shape` gives."""

    @abstractmethod
    def _write_record(self, file: TextIO) -> None:
        """Write the record of `_objects`."""

    @cached_property
    def _length(self) -> int:
        """Frames of the video, or where that is unknown up to the last one with a result. For records, in the end."""
        return max(self.target.count() or 0, max(self._places, default=-1) + 1)

    def _objects(self) -> list[int]:
        """Ids of all objects, ascending."""
        return sorted({obj_id for places in self._places.values() for obj_id in places})

    def _shapes(self, obj_id: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """(frame, shape) of an object, in the order of frames."""
        with open(self._journal.path, "rb") as lines:
            for frame_idx in sorted(self._places):
                if obj_id in self._places[frame_idx]:
                    lines.seek(self._places[frame_idx][obj_id])
                    yield frame_idx, json.loads(lines.readline())["shape"]

    def _write(self, result: MaskletFrame) -> None:
        places = {}
        for obj_id, crop in zip(result.obj_ids, result.crops, strict=True):
            if crop is not None:
                line = {"frame_idx": result.frame_idx, "id": int(obj_id), "shape": self._shape(crop)}
                places[int(obj_id)] = self._journal.append(line)
        self._journal.append({"frame_idx": result.frame_idx, "ids": list(places), "record": self.file_name})
        self._places[result.frame_idx] = places

    def _finish(self, finished: bool) -> None:
        self._journal.close()
        with whole_file(self.path) as temporary, temporary.open("w", encoding="utf-8") as file:
            self._write_record(file)
