"""Prompts of `sam2v track`: from arguments and from JSON files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sam2v.cli.options import box, click
from sam2v.tracking.prompts import check_index

_POINT, _BOX, _MASK = "F:ID:X,Y[,LABEL]", "F:ID:X0,Y0,X1,Y1", "F:ID:FILE"
_ENTRY = {"frame", "object", "points", "labels", "box", "mask"}
_JSON: dict[type, str] = {list: "list", str: "string"}


@dataclass
class FramePrompt:
    """Everything that one object is prompted with on one frame, in pixels of the video."""

    frame_idx: int
    obj_id: int
    points: list[list[float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: list[float] | None = None
    mask: Path | None = None

    def only(self, what: str, earlier: object) -> None:
        """Raise ValueError if there was one already."""
        if earlier is not None:
            raise ValueError(f"frame {self.frame_idx}, object {self.obj_id}: more than one {what}")

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

    def at(text: str, flag: str, form: str) -> tuple[FramePrompt, str]:
        frame_idx, obj_id, rest = _split(text, flag, form)
        return found.setdefault((frame_idx, obj_id), FramePrompt(frame_idx, obj_id)), rest

    for text in points:
        prompt, rest = at(text, "--point", _POINT)
        point, label = click(rest, "--point", _POINT)
        prompt.points.append(point)
        prompt.labels.append(label)
    for text in boxes:
        prompt, rest = at(text, "--box", _BOX)
        prompt.only("box", prompt.box)
        prompt.box = box(rest, "--box", _BOX)
    for text in masks:
        prompt, rest = at(text, "--mask", _MASK)
        prompt.only("mask", prompt.mask)
        prompt.mask = Path(rest)
    for file in files:
        for prompt in read_prompt_file(Path(file)):
            prompt.only("prompt", found.get((prompt.frame_idx, prompt.obj_id)))
            found[prompt.frame_idx, prompt.obj_id] = prompt
    if not found:
        raise ValueError("nothing to track: give --point, --box, --mask or --prompts")
    for prompt in found.values():
        prompt.check()
    return [found[key] for key in sorted(found)]


def read_prompt_file(path: Path) -> list[FramePrompt]:
    """Prompts of a JSON file: a list of {"frame", "object", and "points" with "labels", "box" or "mask"}.

    `mask` is an image file, relative to the JSON file; non-zero pixels are the object. `labels` default to 1.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no prompt file {path}")
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(entries, list):
        raise ValueError(f"{path}: expected a list of prompts")
    return [_from_entry(entry, path, number) for number, entry in enumerate(entries)]


def _from_entry(entry: Any, path: Path, number: int) -> FramePrompt:
    if not isinstance(entry, dict) or not {"frame", "object"} <= set(entry) or set(entry) - _ENTRY:
        raise ValueError(f"{path}: prompt {number} must have frame and object, and points with labels, box or mask")
    points = entry.get("points") or []
    if not isinstance(points, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(map(_is_number, p)) for p in points
    ):
        raise ValueError(f"{path}: prompt {number}: points must be a list of [x, y], got {points!r}")
    labels, box, mask = entry.get("labels") or [1] * len(points), entry.get("box"), entry.get("mask")
    for name, value, kind in (("labels", labels, list), ("box", box or [], list), ("mask", mask or "", str)):
        if not isinstance(value, kind):
            raise ValueError(f"{path}: prompt {number}: {name} must be a {_JSON[kind]}, got {value!r}")
    frame_idx, obj_id = (check_index(entry[name], f"{path}: prompt {number}: {name}") for name in ("frame", "object"))
    return FramePrompt(frame_idx, obj_id, points, labels, box, path.parent / mask if mask else None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _split(text: str, flag: str, form: str) -> tuple[int, int, str]:
    parts = text.split(":", 2)
    try:
        return int(parts[0]), int(parts[1]), parts[2]
    except (ValueError, IndexError):
        raise ValueError(f"{text!r}: expected {flag} {form} (F: frame from 0, ID: object number)") from None
