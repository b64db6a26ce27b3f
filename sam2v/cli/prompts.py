"""Prompts of ``sam2v track``: from arguments and from JSON files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sam2v.cli.options import numbers

_POINT, _BOX, _MASK = "F:ID:X,Y[,LABEL]", "F:ID:X0,Y0,X1,Y1", "F:ID:FILE"


@dataclass
class FramePrompt:
    """Everything that one object is prompted with on one frame, in pixels of the video."""

    frame_idx: int
    obj_id: int
    points: list[list[float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: list[float] | None = None
    mask: Path | None = None

    def check(self) -> None:
        """Raise ValueError unless there is something to prompt with."""
        if not self.points and self.box is None and self.mask is None:
            raise ValueError(f"frame {self.frame_idx}, object {self.obj_id}: no points, box or mask")
        if len(self.labels) != len(self.points):
            raise ValueError(f"frame {self.frame_idx}, object {self.obj_id}: one label per point is needed")
        if self.mask is not None and not self.mask.is_file():
            raise FileNotFoundError(f"no mask file {self.mask}")


def gather_prompts(
    points: Sequence[str], boxes: Sequence[str], masks: Sequence[str], files: Sequence[str]
) -> list[FramePrompt]:
    """All prompts of a command line, one value per frame and object, ordered by frame.

    Raises:
        ValueError: malformed, or none at all. FileNotFoundError: a prompt or mask file is missing.
    """
    found: dict[tuple[int, int], FramePrompt] = {}

    def at(frame_idx: int, obj_id: int) -> FramePrompt:
        return found.setdefault((frame_idx, obj_id), FramePrompt(frame_idx, obj_id))

    for text in points:
        frame_idx, obj_id, rest = _split(text, "--point", _POINT)
        values = numbers(rest, f"--point {_POINT}")
        if len(values) not in (2, 3):
            raise ValueError(f"{text!r}: expected --point {_POINT}")
        prompt = at(frame_idx, obj_id)
        prompt.points.append(values[:2])
        prompt.labels.append(int(values[2]) if len(values) == 3 else 1)
    for text in boxes:
        frame_idx, obj_id, rest = _split(text, "--box", _BOX)
        values = numbers(rest, f"--box {_BOX}")
        if len(values) != 4:
            raise ValueError(f"{text!r}: expected --box {_BOX}")
        at(frame_idx, obj_id).box = values
    for text in masks:
        frame_idx, obj_id, rest = _split(text, "--mask", _MASK)
        at(frame_idx, obj_id).mask = Path(rest)
    for file in files:
        for prompt in read_prompt_file(Path(file)):
            found[prompt.frame_idx, prompt.obj_id] = prompt
    if not found:
        raise ValueError("nothing to track: give --point, --box, --mask or --prompts")
    for prompt in found.values():
        prompt.check()
    return [found[key] for key in sorted(found)]


def read_prompt_file(path: Path) -> list[FramePrompt]:
    """Prompts of a JSON file: a list of {"frame", "object", and "points" with "labels", "box" or "mask"}.

    ``mask`` is an image file, relative to the JSON file; non-zero pixels are the object. ``labels`` default to 1.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no prompt file {path}")
    try:
        entries = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(entries, list):
        raise ValueError(f"{path}: expected a list of prompts")
    return [_from_entry(entry, path, number) for number, entry in enumerate(entries)]


def _from_entry(entry: Any, path: Path, number: int) -> FramePrompt:
    known = {"frame", "object", "points", "labels", "box", "mask"}
    if not isinstance(entry, dict) or not {"frame", "object"} <= set(entry) or set(entry) - known:
        raise ValueError(
            f"{path}: prompt {number} must have frame and object, and may have {sorted(known)[:1] + ['...']}"
        )
    points = entry.get("points") or []
    labels = entry.get("labels") or [1] * len(points)
    mask = path.parent / entry["mask"] if entry.get("mask") else None
    return FramePrompt(entry["frame"], entry["object"], points, labels, entry.get("box"), mask)


def _split(text: str, flag: str, form: str) -> tuple[int, int, str]:
    parts = text.split(":", 2)
    try:
        return int(parts[0]), int(parts[1]), parts[2]
    except (ValueError, IndexError):
        raise ValueError(f"{text!r}: expected {flag} {form} (F: frame from 0, ID: object number)") from None
