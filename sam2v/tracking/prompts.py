"""Checking prompts and bringing them to the network's coordinates."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.model.prompt_encoder import BOX_END, BOX_START, PADDING

#: What a caller may pass where numbers are expected.
ArrayLike = Any


@dataclass(frozen=True)
class PointPrompt:
    """Points of one object on one frame.

    Attributes:
        coords: P x 2 float32 (x, y) in pixels of the network input.
        labels: P int64: 0 negative, 1 positive, 2 and 3 corners of a box (they come first).
    """

    coords: Tensor
    labels: Tensor

    def joined(self, newer: PointPrompt) -> PointPrompt:
        """These points, then the newer ones."""
        return PointPrompt(torch.cat([self.coords, newer.coords]), torch.cat([self.labels, newer.labels]))

    def __len__(self) -> int:
        return len(self.labels)


def as_numbers(value: ArrayLike, name: str) -> np.ndarray:
    """A float64 array of finite numbers from an array, tensor or nested list.

    Raises:
        TypeError: not numeric. ValueError: NaN or infinity inside.
    """
    kind = type(value).__name__
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()  # NumPy has no bfloat16
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers in an array, tensor or list, got {kind}") from None
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers, found NaN or infinity")
    return array


def check_points(
    points: ArrayLike, labels: ArrayLike | None, size: tuple[int, int], normalized: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Check clicks.

    Args:
        points: ... x P x 2 (x, y).
        labels: ... x P of 0, 1 (also 2 and 3 for box corners, -1 for padding); None means all 1.
        size: (height, width) of the frame in pixels.
        normalized: coordinates are in [0, 1] instead of pixels.

    Returns:
        The points as float64 in the given units and the labels as int64.

    Raises:
        ValueError: wrong shape, NaN, labels of another length, unknown labels, points outside the frame.
    """
    coords = as_numbers(points, "points")
    if coords.ndim == 1 and coords.size == 2:
        coords = coords[None]
    if coords.ndim < 2 or coords.shape[-1] != 2:
        raise ValueError(f"points must have shape P x 2 with (x, y) rows, got {_shape(coords)}")
    marks = np.ones(coords.shape[:-1]) if labels is None else as_numbers(labels, "labels")
    if marks.ndim == 0:
        marks = marks[None]
    if marks.shape != coords.shape[:-1]:
        raise ValueError(
            f"labels must have one entry per point: {_shape(coords[..., 0])} expected, got {_shape(marks)}"
        )
    unknown = sorted({float(m) for m in marks.ravel()} - {-1.0, 0.0, 1.0, 2.0, 3.0})
    if unknown:
        shown = int(unknown[0]) if unknown[0].is_integer() else unknown[0]
        raise ValueError(
            f"unknown label {shown}: use 1 for the object, 0 for not the object (2, 3: corners of a box, -1: padding)"
        )
    _check_inside(coords[marks >= 0], size, normalized, "point")
    return coords, marks.astype(np.int64)


def check_boxes(box: ArrayLike, size: tuple[int, int], normalized: bool) -> np.ndarray:
    """Check boxes ... x 4 (x0, y0, x1, y1) against a frame of ``size`` (height, width) and return them as float64.

    Raises:
        ValueError: wrong shape, NaN, x1 <= x0 or y1 <= y0, a corner outside the frame.
    """
    boxes = as_numbers(box, "box")
    if boxes.shape == (2, 2):
        boxes = boxes.reshape(4)
    if boxes.ndim < 1 or boxes.shape[-1] != 4 or boxes.size == 0:
        raise ValueError(f"box must be (x0, y0, x1, y1), got shape {_shape(boxes)}")
    corners = boxes.reshape(-1, 2, 2)
    for first, last in corners:
        if not (last > first).all():
            raise ValueError(f"box {_numbers(first)}-{_numbers(last)} is empty: x1 must exceed x0 and y1 exceed y0")
    _check_inside(corners.reshape(-1, 2), size, normalized, "box corner")
    return boxes


def to_network(coords: np.ndarray, size: tuple[int, int], image_size: int, normalized: bool) -> Tensor:
    """Bring (x, y) from frame pixels (or [0, 1]) to pixels of the square network input, float32."""
    scale = np.array([1.0, 1.0]) if normalized else np.array([size[1], size[0]], dtype=np.float64)
    return torch.from_numpy((coords / scale * image_size).astype(np.float32))


def point_prompt(
    points: ArrayLike | None,
    labels: ArrayLike | None,
    box: ArrayLike | None,
    size: tuple[int, int],
    image_size: int,
    normalize_coords: bool = True,
) -> PointPrompt:
    """One object's clicks and box as a prompt in network coordinates; the box's corners come first.

    Raises:
        ValueError: neither points nor box, or one of them is wrong.
    """
    if points is None and labels is not None:
        raise ValueError("labels were given without points")
    if points is None and box is None:
        raise ValueError("give at least one of points and box")
    coords, marks = np.zeros((0, 2)), np.zeros(0, dtype=np.int64)
    if points is not None:
        coords, marks = check_points(points, labels, size, not normalize_coords)
        if coords.ndim == 3 and len(coords) == 1:
            coords, marks = coords[0], marks[0]
        if coords.ndim != 2:
            raise ValueError(f"points must have shape P x 2 for one object, got {_shape(coords)}")
    if box is not None:
        corners = check_boxes(box, size, not normalize_coords)
        if corners.size != 4:
            raise ValueError(f"box must be one box (x0, y0, x1, y1) for one object, got shape {_shape(corners)}")
        coords = np.concatenate([corners.reshape(2, 2), coords])
        marks = np.concatenate([[BOX_START, BOX_END], marks])
    if not (marks >= 0).any():
        raise ValueError("give at least one point or a box: points is empty")
    return PointPrompt(to_network(coords, size, image_size, not normalize_coords), torch.from_numpy(marks))


def mask_prompt(mask: ArrayLike, image_size: int) -> Tensor:
    """One object's mask (H x W booleans or numbers, positive = object) as image_size x image_size of 0 and 1.

    Any H x W is accepted; it covers the whole frame. Resizing is bilinear with antialiasing and a threshold of one
    half.

    Raises:
        ValueError: not two-dimensional, empty, or NaN inside.
    """
    given = mask.cpu().numpy() if isinstance(mask, Tensor) and mask.dtype == torch.bool else mask
    is_boolean = isinstance(given, np.ndarray) and given.dtype == bool
    array = given if is_boolean else as_numbers(given, "mask") > 0
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"mask must have shape H x W, got {_shape(array)}")
    plane = torch.from_numpy(np.ascontiguousarray(array)).float()[None, None]
    if array.shape != (image_size, image_size):
        plane = F.interpolate(plane, (image_size, image_size), mode="bilinear", align_corners=False, antialias=True)
    plane = (plane >= 0.5).float()
    cells = image_size // 4
    kept = F.interpolate(plane, (cells, cells), mode="bilinear", align_corners=False, antialias=True) > 0.5
    if array.any() and not kept.any():
        warnings.warn(
            f"the mask's object, {int(array.sum())} pixels of {_shape(array)}, is too small to be kept: the model's "
            f"masks are {cells} x {cells} (a larger model.image_size makes them finer)",
            stacklevel=3,
        )
    return plane[0, 0]


def with_padding(coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Append the padding point the released models expect behind every set of points: N x (P + 1)."""
    pad = coords.new_zeros(len(coords), 1, 2)
    return torch.cat([coords, pad], dim=1), torch.cat([labels, labels.new_full((len(labels), 1), PADDING)], dim=1)


def no_points(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What the released models see where there is no prompt: two padding points, for ``count`` objects."""
    return torch.zeros(count, 2, 2, device=device), torch.full((count, 2), PADDING, device=device)


def check_index(value: object, name: str) -> int:
    """An integer from a Python or numpy integer.

    Raises:
        TypeError: anything else, booleans included.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        if isinstance(value, Tensor) and value.ndim == 0 and not value.dtype.is_floating_point:
            return int(value)
        raise TypeError(f"{name} must be an integer, got {value!r}")
    return int(value)


def _check_inside(coords: np.ndarray, size: tuple[int, int], normalized: bool, what: str) -> None:
    limit = np.array([1.0, 1.0] if normalized else [size[1], size[0]])
    outside = ((coords < 0) | (coords > limit)).any(axis=-1)
    if outside.any():
        unit = (
            "the unit square (normalize_coords=False)" if normalized else f"the frame of {size[1]} x {size[0]} pixels"
        )
        raise ValueError(f"{what} {_numbers(coords[outside][0])} lies outside {unit}")


def _shape(array: np.ndarray | Sequence[int]) -> str:
    shape = getattr(array, "shape", array)
    return " x ".join(str(s) for s in shape) or "a single number"


def _numbers(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{v:g}" if math.isfinite(v) else str(v) for v in values) + ")"
