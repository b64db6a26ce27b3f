"""Checking prompts and bringing them to the network's coordinates."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sam2v.arrays import HOST, Array, Device, floats, is_torch_array, namespace, on_device, resized, to_numpy
from sam2v.model.values import BOX_END, BOX_START

#: What a caller may pass where numbers are expected.
ArrayLike = Any


@dataclass(frozen=True, eq=False)
class Prompt:
    """What an object is prompted with on a frame: clicks, a box, a mask, or several of them.

    With a mask, points and box refine what the mask says.

    Attributes:
        points: P x 2 (x, y) in pixels of the frame. labels: P of 1 (object) and 0 (not the object); None means all 1.
        box: (x0, y0, x1, y1) in pixels of the frame.
        mask: H x W booleans or numbers (positive = object), covering the whole frame.
    """

    points: ArrayLike | None = None
    labels: ArrayLike | None = None
    box: ArrayLike | None = None
    mask: ArrayLike | None = None


@dataclass(frozen=True, eq=False)
class PointPrompt:
    """Points of one object on one frame.

    Attributes:
        coords: P x 2 float32 (x, y) in pixels of the network input.
        labels: P int64: 0 negative, 1 positive, 2 and 3 corners of a box (they come first).
    """

    coords: np.ndarray
    labels: np.ndarray

    def joined(self, newer: PointPrompt) -> PointPrompt:
        """These points, then the newer ones."""
        coords, labels = ((self.coords, newer.coords), (self.labels, newer.labels))
        return PointPrompt(np.concatenate(coords), np.concatenate(labels))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """A mask of one object on one frame, as bits.

    Attributes:
        bits: packed bits of h x w booleans at the network's input size. size: (h, w).
    """

    bits: np.ndarray
    size: tuple[int, int]

    @classmethod
    def of(cls, plane: Array) -> MaskPrompt:
        """Pack h x w booleans."""
        return cls(np.packbits(to_numpy(plane)), (plane.shape[0], plane.shape[1]))

    def plane(self) -> np.ndarray:
        """h x w booleans."""
        h, w = self.size
        return np.unpackbits(self.bits, count=h * w).reshape(h, w).astype(bool)


class CheckedPrompt(NamedTuple):
    """A prompt in the network's terms: points, a mask, or a mask and points that refine it."""

    points: PointPrompt | None
    mask: MaskPrompt | None


def checked_prompt(
    prompt: Prompt,
    size: tuple[int, int],
    input_size: tuple[int, int],
    normalize_coords: bool = True,
    device: Device = HOST,
) -> CheckedPrompt:
    """Check a prompt and bring it to the network's coordinates.

    Args:
        prompt: as the caller gave it. size: (height, width) of the frame. input_size: of the network's input.
        normalize_coords: True for pixels, False for coordinates in [0, 1]. device: whose library resizes a mask.

    Raises:
        ValueError, TypeError: it is empty, or a part of it is wrong.
    """
    mask = None if prompt.mask is None else mask_prompt(prompt.mask, input_size, device)
    if prompt.points is None and prompt.box is None and prompt.labels is None:
        if mask is None:
            raise ValueError("a prompt is empty: give at least one of points, box and mask")
        return CheckedPrompt(None, mask)
    points = point_prompt(prompt.points, prompt.labels, prompt.box, size, input_size, normalize_coords)
    return CheckedPrompt(points, mask)


def as_numbers(value: ArrayLike, name: str) -> np.ndarray:
    """A float64 array of finite numbers from an array, tensor or nested list.

    Raises:
        TypeError: not numeric. ValueError: NaN or infinity inside.
    """
    kind = type(value).__name__
    if is_torch_array(value):
        value = to_numpy(value)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers in an array, tensor or list, got {kind}") from None
    except OverflowError:
        raise ValueError(f"{name} must be finite numbers, found one that is too large") from None
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
    clicks = coords[marks >= 0]
    outside = ((clicks < 0) | (clicks > _limit(size, normalized))).any(axis=-1)
    if outside.any():  # not clipped as boxes are: nobody clicks beside the picture, and its edge is another place
        raise ValueError(f"point {_numbers(clicks[outside][0])} lies outside {_frame(size, normalized)}")
    return coords, marks.astype(np.int64)


def check_boxes(box: ArrayLike, size: tuple[int, int], normalized: bool) -> np.ndarray:
    """Check boxes ... x 4 (x0, y0, x1, y1) against a frame of `size` (height, width) and clip them to it.

    Detectors give boxes that reach over the edge, by a fraction of a pixel or because the object does.

    Returns:
        The part of each box that lies in the frame, float64, in the given units.

    Raises:
        ValueError: wrong shape, NaN, x1 <= x0 or y1 <= y0, a box that lies outside the frame.
    """
    boxes = as_numbers(box, "box")
    if boxes.shape == (2, 2):
        boxes = boxes.reshape(4)
    if boxes.ndim < 1 or boxes.shape[-1] != 4 or boxes.size == 0:
        raise ValueError(f"box must be (x0, y0, x1, y1), got shape {_shape(boxes)}")
    corners = boxes.reshape(-1, 2, 2)
    clipped = corners.clip(0, _limit(size, normalized))
    for (first, last), (left, right) in zip(corners, clipped, strict=True):
        if not (last > first).all():
            raise ValueError(f"box {_numbers(first)}-{_numbers(last)} is empty: x1 must exceed x0 and y1 exceed y0")
        if not (right > left).all():
            raise ValueError(f"box {_numbers(first)}-{_numbers(last)} lies outside {_frame(size, normalized)}")
    return np.asarray(clipped.reshape(boxes.shape))


def to_network(coords: np.ndarray, size: tuple[int, int], input_size: tuple[int, int], normalized: bool) -> np.ndarray:
    """Bring (x, y) from frame pixels (or [0, 1]) to pixels of the network input, float32; sizes are (height, width)."""
    scale = np.array([1.0, 1.0]) if normalized else np.array(size[::-1], dtype=np.float64)
    return np.asarray(coords / scale * np.array(input_size[::-1]), np.float32)


def point_prompt(
    points: ArrayLike | None,
    labels: ArrayLike | None,
    box: ArrayLike | None,
    size: tuple[int, int],
    input_size: tuple[int, int],
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
    return PointPrompt(to_network(coords, size, input_size, not normalize_coords), marks)


def check_mask(mask: ArrayLike) -> np.ndarray:
    """A mask as H x W booleans.

    Raises:
        ValueError, TypeError: not numbers, not two-dimensional, empty, or NaN inside.
    """
    given = to_numpy(mask) if is_torch_array(mask) else mask
    is_boolean = isinstance(given, np.ndarray) and given.dtype == bool
    array = given if is_boolean else as_numbers(given, "mask") > 0
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"mask must have shape H x W, got {_shape(array)}")
    return array


def mask_prompt(mask: ArrayLike, input_size: tuple[int, int], device: Device = HOST) -> MaskPrompt:
    """One object's mask (H x W booleans or numbers, positive = object) at the network's input size.

    Any H x W is accepted; it covers the whole frame. Resizing is bilinear with antialiasing and a threshold of one
    half, by the library of a device on the host.

    Raises:
        ValueError: not two-dimensional, empty, or NaN inside.
    """
    array = check_mask(mask)
    plane = _resized(on_device(np.ascontiguousarray(array), device), input_size) >= 0.5
    cells = (input_size[0] // 4, input_size[1] // 4)
    if array.any() and not (_resized(plane, cells) > 0.5).any():
        warnings.warn(
            f"the mask's object, {int(array.sum())} pixels of {_shape(array)}, is too small to be kept: the model's "
            f"masks are {cells[0]} x {cells[1]} (a larger model.image_size makes them finer)",
            stacklevel=4,
        )
    return MaskPrompt.of(plane)


def _resized(plane: Array, size: tuple[int, int]) -> Array:
    """Cover, 0 to 1, of a boolean H x W plane at another size."""
    if tuple(plane.shape) == size:
        return floats(plane)
    return resized(floats(plane)[None, None], size, antialias=True)[0, 0]


def check_index(value: object, name: str) -> int:
    """An integer from a Python or numpy integer.

    Raises:
        TypeError: anything else, booleans included.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        if is_torch_array(value) and value.ndim == 0 and namespace(value).isdtype(value.dtype, ("bool", "integral")):
            return int(value)
        raise TypeError(f"{name} must be an integer, got {value!r}")
    return int(value)


def check_count(value: object, name: str) -> int:
    """An integer of at least 0.

    Raises:
        TypeError: not an integer. ValueError: below 0.
    """
    count = check_index(value, name)
    if count < 0:
        raise ValueError(f"{name} must not be negative, got {count}")
    return count


def _limit(size: tuple[int, int], normalized: bool) -> np.ndarray:
    """The largest (x, y) in a frame of (height, width)."""
    return np.array([1.0, 1.0] if normalized else [size[1], size[0]], dtype=np.float64)


def _frame(size: tuple[int, int], normalized: bool) -> str:
    return "the unit square (normalize_coords=False)" if normalized else f"the frame of {size[1]} x {size[0]} pixels"


def _shape(array: np.ndarray | Sequence[int]) -> str:
    shape = getattr(array, "shape", array)
    return " x ".join(str(s) for s in shape) or "a single number"


def _numbers(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{v:g}" if math.isfinite(v) else str(v) for v in values) + ")"
