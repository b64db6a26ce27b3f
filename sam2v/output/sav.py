"""ID_auto.json: masklets as the SA-V data set records those that were found automatically (Ravi et al. 2024)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

from sam2v.arrays import Array, to_numpy
from sam2v.files import whole_file
from sam2v.masks.result import MaskletFrame
from sam2v.masks.rle import encode_rle, rle_area
from sam2v.output.base import MaskWriter, Target, is_object
from sam2v.output.journal import Journal

#: Frames from one that the record has to the next: 6 a second of 24.
STEP = 4
#: Key of the record for the ids that its masklets have as objects. Other readers do not know it.
OBJECT_IDS = "sam2v_object_id"
#: Pixels of the mean mask below which an object is small, or medium.
_SMALL, _MEDIUM = 32**2, 96**2


@dataclass
class _Column:
    """What the record tells of a masklet, added up over its rows."""

    pixels: int = 0
    visible: int = 0
    changes: int = 0
    first: int | None = None
    was_visible: bool = False

    def add(self, row: int, area: int) -> None:
        """Take the next row."""
        now = area > 0
        self.changes += self.first is not None and self.was_visible != now
        self.pixels, self.visible, self.was_visible = self.pixels + area, self.visible + now, now
        if now and self.first is None:
            self.first = row


class SavWriter(MaskWriter):
    """ID_auto.json on close, ID being the video's name; until then a hidden line per frame.

    A row of its masklet table is every fourth frame of the video; objects are columns, in the order of their ids, from
    the first row to the last: empty where they are not to be seen. Masklets are numbered from 0, as in the data set; a
    key of sam2v's own has the objects' ids. `sam2v.data.sav` and `sam2v.data.results.open_masks` read it.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.path = target.folder / f"{target.video_name}_auto.json"
        self._journal = Journal(self.record_path(target.folder, "sav"), target.resume)
        self._line_of: dict[int, int] = {}
        self._ids: set[int] = set()
        self._frames = 0
        for number, (start, entry) in enumerate(self._journal.entries(), 1):
            objects = entry.get("objects")
            if not isinstance(objects, list) or not all(_is_mask(item, target.size) for item in objects):
                raise ValueError(f"{self._journal.path}: line {number} holds no masks as this writer leaves them")
            target.check_entry(entry, self._journal.path, number)
            self._note(start, entry)

    @staticmethod
    def remove_results(folder: Path, format: str) -> None:
        journal = Journal(MaskWriter.record_path(folder, format), resume=True)
        for name in {entry.get("record") for _, entry in journal.entries()}:
            if isinstance(name, str) and Path(name).name == name and name.endswith("_auto.json"):
                (folder / name).unlink(missing_ok=True)
        journal.path.unlink(missing_ok=True)

    def done_frames(self) -> set[int]:
        return set(self._line_of)

    def _write(self, result: MaskletFrame) -> None:
        objects = []
        if result.frame_idx % STEP == 0:
            stability = stability_of(result.low_res).tolist()
            for obj_id, mask, stable in zip(result.obj_ids, result.binary(), stability, strict=True):
                objects.append({"id": int(obj_id), "rle": encode_rle(mask), "stability": round(stable, 6)})
        entry = {"frame_idx": result.frame_idx, "record": self.path.name, "objects": objects}
        self._note(self._journal.append(entry), entry)

    def _note(self, start: int, entry: dict[str, Any]) -> None:
        self._line_of[entry["frame_idx"]] = start
        self._ids |= {item["id"] for item in entry["objects"]}
        self._frames = max(self._frames, entry["frame_idx"] + 1)

    def _finish(self, finished: bool) -> None:
        self._journal.close()
        with whole_file(self.path) as temporary, temporary.open("w", encoding="utf-8") as file:
            self._write_record(file)

    def _write_record(self, file: TextIO) -> None:
        about = SavAbout(self.target.video_name, self.target.size, self._frames, self.target.rate)
        ids = sorted(self._ids)
        write_record(file, about, ids, self._rows, {OBJECT_IDS: ids})

    def _rows(self) -> Iterator[dict[int, dict[str, Any]]]:
        """The objects of every fourth frame, by id."""
        if not self._line_of:
            return
        with open(self._journal.path, "rb") as lines:
            for frame_idx in range(0, self._frames, STEP):
                found: dict[int, dict[str, Any]] = {}
                if frame_idx in self._line_of:
                    lines.seek(self._line_of[frame_idx])
                    found = {item["id"]: item for item in json.loads(lines.readline())["objects"]}
                yield found


def _is_mask(item: Any, size: tuple[int, int]) -> bool:
    """Whether a line has all that the record tells of an object on a frame of `size`."""
    try:
        rle, stable = item["rle"], item["stability"]
        rle_area(rle)
        return is_object(item, ("id",)) and list(rle["size"]) == list(size) and 0 <= stable <= 1
    except (KeyError, TypeError, ValueError):
        return False


@dataclass(frozen=True)
class SavAbout:
    """What a record tells of its video, and of all its masklets alike.

    Attributes:
        video_id: its name. size: (height, width) in pixels. frames, rate: how many, and how many a second.
        kind: "auto" or "manual". environment, split: what the data set calls them, if known.
        edited: of every masklet, how many of its frames people edited; None: of none.
    """

    video_id: str
    size: tuple[int, int]
    frames: int
    rate: float
    kind: Literal["auto", "manual"] = "auto"
    environment: str | None = None
    split: str | None = None
    edited: Sequence[int] | None = None


def write_record(
    file: TextIO,
    about: SavAbout,
    ids: Sequence[int],
    rows: Callable[[], Iterable[Mapping[int, Mapping[str, Any]]]],
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write the record of a video row by row, so that memory does not grow with the video.

    Args:
        file: where to. about: the video. ids: of the objects, in the order of their columns.
        rows: called twice, gives for every fourth frame, by id, `rle` and `stability` of the objects that are known
            there. more: keys of one's own.
    """
    height, width = about.size
    head = {
        "video_id": about.video_id,
        "video_duration": about.frames / about.rate,
        "video_frame_count": float(about.frames),
        "video_height": float(height),
        "video_width": float(width),
        "video_resolution": float(height * width),
        "video_environment": about.environment,
        "video_split": about.split,
    }
    columns = {obj_id: _Column() for obj_id in ids}
    empty = encode_rle(np.zeros((height, width), bool))
    file.write(json.dumps(head)[:-1] + ',\n"masklet":[')
    for number, row in enumerate(rows()):
        masks = [row[i]["rle"] if i in row else empty for i in ids]
        for obj_id, rle in zip(ids, masks, strict=True):
            columns[obj_id].add(number, rle_area(rle))
        file.write((",\n" if number else "\n") + json.dumps(masks, separators=(",", ":")))
    file.write('],\n"masklet_stability_score":')
    if about.kind == "manual":  # as in the data set: one null per masklet
        file.write(json.dumps([None] * len(columns)))
    else:
        file.write("[")
        for number, row in enumerate(rows()):
            scores = [row[i]["stability"] if i in row else 1.0 for i in ids]
            file.write((",\n" if number else "\n") + json.dumps(scores, separators=(",", ":")))
        file.write("]")
    summary = {**_summary(columns, about), **(more or {})}
    file.write(",\n" + json.dumps(summary)[1:] + "\n")


def _summary(columns: Mapping[int, _Column], about: SavAbout) -> dict[str, Any]:
    """What a record tells of every masklet."""
    height, width = about.size
    rows = len(range(0, about.frames, STEP))
    means = [column.pixels / max(column.visible, 1) for column in columns.values()]
    number = float if about.kind == "manual" else int  # as in the data set
    return {
        "masklet_id": list(range(len(columns))),
        "masklet_size_rel": [mean / (height * width) for mean in means],
        "masklet_size_abs": means,
        "masklet_size_bucket": [
            "small" if mean < _SMALL else "medium" if mean < _MEDIUM else "large" for mean in means
        ],
        "masklet_visibility_changes": [column.changes for column in columns.values()],
        "masklet_first_appeared_frame": [number(column.first or 0) for column in columns.values()],
        "masklet_frame_count": [rows] * len(columns),
        "masklet_edited_frame_count": list(about.edited or [0] * len(columns)),
        "masklet_type": [about.kind] * len(columns),
        "masklet_num": len(columns),
    }


def stability_of(logits: Array, delta: float = 1.0) -> np.ndarray:
    """N: overlap of masks N x 1 x h x w cut slightly above and slightly below zero; 1 where there is none."""
    host = to_numpy(logits)
    cuts = [(host > level).sum(axis=(1, 2, 3)) for level in (delta, -delta)]
    inner, outer = (count.astype(np.float32) for count in cuts)
    return (inner + (outer == 0)) / np.maximum(outer, 1)
