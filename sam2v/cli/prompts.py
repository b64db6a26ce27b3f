"""Prompts of `sam2v track`: from arguments and from JSON files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.cli.options import box, click, few
from sam2v.files import read_json, user_path
from sam2v.jobs.parts import plain
from sam2v.masks.png import read_objects
from sam2v.tracking.prompts import check_index

_POINT, _BOX, _MASK = "F:ID:X,Y[,LABEL]", "F:ID:X0,Y0,X1,Y1", "F:ID:FILE or F:FILE"
_ENTRY = {"frame", "object", "points", "labels", "box", "mask"}
_JSON: dict[type, str] = {list: "list", str: "string"}


@dataclass(eq=False)
class FramePrompt:
    """Everything that one object is prompted with on one frame, in pixels of the video.

    `pixels` is what the mask file says of the object, H x W bool.
    """

    frame_idx: int
    obj_id: int
    points: list[list[float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: list[float] | None = None
    mask: Path | None = None
    pixels: np.ndarray | None = None

    def take_mask(self, path: Path, pixels: np.ndarray) -> None:
        """Raise ValueError if there was a mask already."""
        self.only("mask", self.mask)
        self.mask, self.pixels = path, pixels

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

    def record(self) -> dict[str, Any]:
        """The prompt as JSON holds it; of a mask a checksum of its pixels, which a file may have others of by now."""
        parts = {"points": self.points, "labels": self.labels, "box": self.box, "mask": plain(self.pixels)}
        return {"frame_idx": self.frame_idx, "obj_id": self.obj_id, **parts}


def gather_prompts(
    points: Sequence[str],
    boxes: Sequence[str],
    masks: Sequence[str],
    files: Sequence[str],
    imported: Sequence[FramePrompt] = (),
    needed: bool = True,
) -> list[FramePrompt]:
    """All prompts of a command line, one value per frame and object, ordered by frame.

    Raises:
        ValueError: malformed, or none at all though they are `needed`. FileNotFoundError: a prompt or mask file is
            missing.
    """
    found: dict[tuple[int, int], FramePrompt] = {}

    def at_frame(frame_idx: int, obj_id: int) -> FramePrompt:
        return found.setdefault((frame_idx, obj_id), FramePrompt(frame_idx, obj_id))

    def at(text: str, flag: str, form: str) -> tuple[FramePrompt, str]:
        frame_idx, obj_id, rest = _split(text, flag, form)
        return at_frame(frame_idx, obj_id), rest

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
        frame_idx, obj_id, path = _split_mask(text)
        for found_id, pixels in _objects_of(path, obj_id).items():
            at_frame(frame_idx, found_id).take_mask(path, pixels)
    for prompt in (*(prompt for file in files for prompt in read_prompt_file(user_path(file))), *imported):
        prompt.only("prompt", found.get((prompt.frame_idx, prompt.obj_id)))
        found[prompt.frame_idx, prompt.obj_id] = prompt
    if not found and needed:
        raise ValueError("nothing to track: give --point, --box, --mask, --prompts, --masks or --exemplar")
    for prompt in found.values():
        prompt.check()
    return [found[key] for key in sorted(found)]


def object_files(texts: Sequence[str], flag: str) -> list[tuple[int, Path]]:
    """Objects and files of ID:FILE.

    Raises:
        ValueError: malformed.
    """
    found = []
    for text in texts:
        obj_id, _, file = text.partition(":")
        if not obj_id.strip().isdecimal() or not file:
            raise ValueError(f"{text!r}: expected {flag} ID:FILE (ID: object number)")
        found.append((int(obj_id), user_path(file)))
    return found


def imported_prompts(path: Path, frames: str | None, video: Path, out: Path) -> list[FramePrompt]:
    """Masks that somebody left, as prompts.

    Args:
        path: a folder or file, see `sam2v.data.results.open_masks`. frames: "F,F,..."; None takes each object's first.
        video: what they are of. out: where results will go, which must not be among the masks.

    Raises:
        ValueError, FileNotFoundError: not masks of this video, no such frames, or results that would replace them.
    """
    from sam2v.data.results import open_masks
    from sam2v.video.sources import open_source

    chosen = mask_frames(frames)
    check_masks_stay(path, out)
    with open_source(video) as source:
        prompts = open_masks(path, source).prompts(chosen)
    return [
        FramePrompt(index, obj_id, mask=path, pixels=prompt.mask)
        for index, several in prompts.items()
        for obj_id, prompt in several.items()
    ]


def mask_frames(text: str | None) -> list[int] | None:
    """Frames of --masks-frames F,F,...; raises ValueError for something else."""
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{text!r}: expected --masks-frames F,F,... (frames from 0)") from None


def check_masks_stay(path: Path, out: Path) -> None:
    """Raise ValueError if results in a folder would lie among the masks of --masks."""
    place, target = path.resolve(), out.resolve()
    if place == target or place.is_relative_to(target) or (path.is_dir() and target.is_relative_to(place)):
        raise ValueError(f"--out {out}: results would go among the masks of {path}; name another folder")


def classes_of(texts: Sequence[str]) -> dict[int, str]:
    """Classes by object from ID=NAME.

    Raises:
        ValueError: something else, or an object twice.
    """
    found: dict[int, str] = {}
    for text in texts:
        obj_id, _, name = text.partition("=")
        if not (obj_id.isascii() and obj_id.isdecimal()) or not name.strip():
            raise ValueError(f"{text!r}: expected --class ID=NAME")
        if int(obj_id) in found:
            raise ValueError(f"--class {text}: object {int(obj_id)} has a class already, {found[int(obj_id)]}")
        found[int(obj_id)] = name.strip()
    return found


def read_prompt_file(path: Path) -> list[FramePrompt]:
    """Prompts of a JSON file: a list of {"frame", "object", and "points" with "labels", "box" or "mask"}.

    `mask` is an image file, relative to the JSON file; without "object" every id in it is an object. `labels` default
    to 1.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no prompt file {path}")
    entries = read_json(path)
    if not isinstance(entries, list):
        raise ValueError(f"{path}: expected a list of prompts")
    return [prompt for number, entry in enumerate(entries) for prompt in _from_entry(entry, path, number)]


def _from_entry(entry: Any, path: Path, number: int) -> list[FramePrompt]:
    known = isinstance(entry, dict) and "frame" in entry and not set(entry) - _ENTRY
    if not known or ("object" not in entry and set(entry) != {"frame", "mask"}):
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
    frame_idx = check_index(entry["frame"], f"{path}: prompt {number}: frame")
    obj_id = check_index(entry["object"], f"{path}: prompt {number}: object") if "object" in entry else None
    if not mask:
        assert obj_id is not None
        return [FramePrompt(frame_idx, obj_id, points, labels, box)]
    mask = path.parent / user_path(mask)
    found = _objects_of(mask, obj_id)
    return [FramePrompt(frame_idx, i, points, labels, box, mask, pixels) for i, pixels in found.items()]


def _objects_of(path: Path, obj_id: int | None) -> dict[int, np.ndarray]:
    """The masks in a picture by object: by its own ids, or the only one as the object asked for."""
    if not path.is_file():
        raise FileNotFoundError(f"no mask file {path}")
    objects = read_objects(path)
    if obj_id is None:
        return objects
    if len(objects) > 1:
        raise ValueError(
            f"{path}: holds {len(objects)} objects ({few(objects)}), and object {obj_id} is one; without an object "
            "each of them is tracked under its own number"
        )
    return {obj_id: next(iter(objects.values()))}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _split_mask(text: str) -> tuple[int, int | None, Path]:
    """Frame, object and file of F:ID:FILE, or of F:FILE without an object."""
    frame, _, rest = text.partition(":")
    obj_id, colon, file = rest.partition(":")
    if not colon or not obj_id.strip().isdecimal():
        obj_id, file = "", rest
    try:
        frame_idx = int(frame)
    except ValueError:
        raise ValueError(f"{text!r}: expected --mask {_MASK} (F: frame from 0, ID: object number)") from None
    if not file:
        raise ValueError(f"{text!r}: expected --mask {_MASK}, and names no file")
    return frame_idx, int(obj_id) if obj_id else None, user_path(file)


def _split(text: str, flag: str, form: str) -> tuple[int, int, str]:
    parts = text.split(":", 2)
    try:
        return int(parts[0]), int(parts[1]), parts[2]
    except (ValueError, IndexError):
        raise ValueError(f"{text!r}: expected {flag} {form} (F: frame from 0, ID: object number)") from None
