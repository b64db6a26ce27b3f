"""The masks of a project on disk: every version that an event made, so that undoing needs no computation."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sam2v.output.journal import Journal

#: Of masks: answers to prompts, tracked, painted by hand, and none any more.
KINDS = ("prompt", "track", "drawn", "")


class StoredMask(NamedTuple):
    """One object's mask on a frame.

    Attributes:
        counts: the runs of its COCO RLE, "" where the object is absent.
        iou: predicted IoU, 0 to 1. score: the object score, above 0 where the object is present.
        kind: "prompt", "track" or "drawn" (painted by hand, and kept as it was painted).
    """

    counts: str
    iou: float
    score: float
    kind: str

    @property
    def is_absent(self) -> bool:
        """Whether there is nothing of the object."""
        return not self.counts or self.score <= 0


#: What an object shows where nothing is known of it.
ABSENT = StoredMask("", 0.0, -10.0, "track")


class _Version(NamedTuple):
    event: int
    start: int | None  # of its line; None: no mask any more
    iou: float
    score: float
    kind: str
    empty: bool


class MaskStore:
    """Masks by object and frame, one line per write, complete or absent. In memory is only where they are.

    Args:
        path: the file; made on the first write.
        holds: whether the event of a number still holds; masks of others are passed over.

    Raises:
        ValueError: the file is no list of masks.
    """

    def __init__(self, path: Path, holds: Callable[[int], bool]) -> None:
        self._journal, self._holds = Journal(path, resume=True), holds
        self._versions: dict[int, dict[int, list[_Version]]] = {}
        self.writes = 0  # since it was opened: masks may be others when this is
        for start, entry in self._journal.entries():
            try:
                self._index(start, entry)
            except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
                raise ValueError(f"{path}: the line at byte {start} is no record of masks") from None

    def write(self, frame: int, event: int, masks: Mapping[int, StoredMask | None]) -> None:
        """Record the masks that an event made of some objects on a frame; None takes the object's mask away.

        Raises:
            ValueError: a score is no number, as of a network that overflows; nothing is written then. OSError.
        """
        for obj_id, mask in masks.items():
            if mask is not None and not (math.isfinite(mask.iou) and math.isfinite(mask.score)):
                raise ValueError(f"frame {frame}: the network's scores of object {obj_id} are no numbers")
        entry = {
            "frame_idx": frame,
            "event": event,
            "masks": {str(i): None if mask is None else list(mask) for i, mask in masks.items()},
        }
        self._index(self._journal.append(entry), entry)
        self.writes += 1

    def frame(self, frame: int, obj_ids: Iterable[int], kinds: Collection[str] = KINDS) -> dict[int, StoredMask]:
        """The masks of some objects on a frame, of those that have one; the newest of some kinds."""
        lines: dict[int, dict[str, Any]] = {}
        found = {}
        for obj_id in obj_ids:
            version = self._current(obj_id, frame, kinds)
            if version is not None and version.start is not None:
                if version.start not in lines:
                    lines[version.start] = self._journal.entry_at(version.start)["masks"]
                found[obj_id] = StoredMask(*lines[version.start][str(obj_id)])
        return found

    def frames(self, obj_id: int) -> list[int]:
        """Where an object has a mask, ascending."""
        return sorted(f for f in self._versions.get(obj_id, {}) if self._has(self._current(obj_id, f)))

    def written(self, events: Collection[int]) -> dict[int, int]:
        """By frame the newest of some events that wrote its masks, even none of any object; reads the whole file."""
        return {entry["frame_idx"]: entry["event"] for _, entry in self._journal.entries() if entry["event"] in events}

    def strip(self, obj_id: int, length: int) -> str:
        """What is known of an object, a character per frame: "-" nothing, "x" absent, "0" to "9" the predicted IoU."""
        row = ["-"] * length
        for frame in self._versions.get(obj_id, {}):
            version = self._current(obj_id, frame)
            if version is not None and version.start is not None and frame < length:
                row[frame] = "x" if version.empty else str(min(9, max(0, int(version.iou * 10))))
        return "".join(row)

    def qualities(self, obj_id: int) -> list[tuple[float, int]]:
        """(predicted IoU, frame) wherever an object was tracked and is present."""
        found = []
        for frame in self._versions.get(obj_id, {}):
            version = self._current(obj_id, frame)
            if version is not None and version.start is not None and version.kind == "track" and not version.empty:
                found.append((version.iou, frame))
        return found

    def close(self) -> None:
        """Close the file."""
        self._journal.close()

    def _index(self, start: int, entry: dict[str, Any]) -> None:
        for obj_id, parts in entry["masks"].items():
            if parts is None:
                version = _Version(entry["event"], None, 0.0, 0.0, "", True)
            else:
                mask = StoredMask(*parts)
                if not (math.isfinite(mask.iou) and math.isfinite(mask.score)):
                    raise ValueError("scores are numbers")
                version = _Version(entry["event"], start, float(mask.iou), float(mask.score), mask.kind, mask.is_absent)
            versions = self._versions.setdefault(int(obj_id), {}).setdefault(entry["frame_idx"], [])
            if versions and versions[-1].event == version.event:
                versions.pop()
            versions.append(version)

    def _current(self, obj_id: int, frame: int, kinds: Collection[str] = KINDS) -> _Version | None:
        for version in reversed(self._versions.get(obj_id, {}).get(frame, ())):
            if version.kind in kinds and self._holds(version.event):
                return version
        return None

    @staticmethod
    def _has(version: _Version | None) -> bool:
        return version is not None and version.start is not None
