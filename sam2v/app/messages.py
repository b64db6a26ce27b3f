"""Checking what a page sends: every mistake is one ValueError that names it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from sam2v.app.state import FramePrompt
from sam2v.masks.rle import rle_area
from sam2v.tracking.prompts import check_boxes, check_points

#: Bounds of what one message may ask for.
MOST_POINTS, MOST_OBJECTS, LONGEST_NAME = 1000, 1000, 200

_LARGEST = 2**53  # of the whole numbers that are exact as floats, too
_COLOUR = re.compile(r"#[0-9a-f]{6}")


def whole(message: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    value = message.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{key} must be a whole number from {low} to {high}, got {_short(value)}")
    return value


def wholes(message: Mapping[str, Any], key: str, known: Collection[int], what: str) -> list[int]:
    """A list of whole numbers, each one of the known ones, without repetition."""
    values = message.get(key)
    if not isinstance(values, list) or not values or len(values) > max(MOST_OBJECTS, len(known)):
        raise ValueError(f"{key} must be a list of {what}s, got {_short(values)}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or value not in known:
            raise ValueError(f"{key}: there is no {what} {_short(value)}")
    return list(dict.fromkeys(values))


def choice(message: Mapping[str, Any], key: str, accepted: Collection[str]) -> str:
    """One of some words."""
    value = message.get(key)
    if not isinstance(value, str) or value not in accepted:
        raise ValueError(f"{key} must be one of {', '.join(accepted)}, got {_short(value)}")
    return value


def flag(message: Mapping[str, Any], key: str) -> bool:
    """True or false."""
    value = message.get(key)
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false, got {_short(value)}")
    return value


def about_object(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a message says about an object: name, class and colour, as far as it does."""
    about: dict[str, Any] = {}
    for key in ("name", "label"):
        if key in message:
            value = message[key]
            if not isinstance(value, str) or len(value) > LONGEST_NAME or not value.isprintable():
                raise ValueError(f"{key} must be a text of at most {LONGEST_NAME} characters, got {_short(value)}")
            about[key] = value.strip()
    if "colour" in message:
        value = message["colour"]
        if not isinstance(value, str) or not _COLOUR.fullmatch(value):
            raise ValueError(f"colour must be written like #1f77b4, got {_short(value)}")
        about["colour"] = value
    return about


def frame_prompt(message: Any, size: tuple[int, int], known: FramePrompt) -> FramePrompt:
    """An object's prompts on a frame of `size` = (height, width); with `mask: true` the known one's mask stays.

    A mask is checked before anything is decoded.
    """
    if not isinstance(message, dict):
        raise ValueError(f"a prompt is an object with points, box and mask, got {_short(message)}")
    points, box, counts = message.get("points") or [], message.get("box"), message.get("mask")
    if not isinstance(points, list) or len(points) > MOST_POINTS:
        raise ValueError(f"points must be a list of at most {MOST_POINTS}")
    for point in points:
        _check_numbers(point, 3, "a point is [x, y, label]")
        if point[2] not in (0, 1):
            raise ValueError(f"a point's label is 1 (object) or 0 (not the object), got {_short(point[2])}")
    if points:
        check_points([point[:2] for point in points], None, size, normalized=False)
    if box is not None:
        _check_numbers(box, 4, "a box is [x0, y0, x1, y1]")
        check_boxes(box, size, normalized=False)
    if counts is True:
        return FramePrompt(points, box, known.mask)
    if counts is None:
        return FramePrompt(points, box)
    if not isinstance(counts, str):
        raise ValueError("mask must be the counts of a COCO run-length mask, as text")
    rle = {"size": list(size), "counts": counts}
    if rle_area(rle) == 0:
        raise ValueError("the painted mask is empty")
    return FramePrompt(points, box, rle)


def _check_numbers(values: Any, count: int, what: str) -> None:
    fine = isinstance(values, list) and len(values) == count
    if not fine or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise ValueError(f"{what}, got {_short(values)}")
    if any(isinstance(v, int) and abs(v) > _LARGEST for v in values):
        raise ValueError(f"{what}; a number in it is too large: {_short(values)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
