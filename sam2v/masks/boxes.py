"""Boxes of masks.

There are two kinds. `mask_to_box` gives what is drawn and compared: x1, y1 are the last column and row that belong to
the object, so that the mask of the single pixel (x, y) has the box (x, y, x, y). `box_prompt` gives what a person draws
around an object: x1, y1 are the outer edges of the last column and row, so that the same mask has the box (x, y, x + 1,
y + 1).
"""

from __future__ import annotations

import numpy as np

from sam2v.arrays import Array, device_of, floats, is_on_host, namespace, on_device, to_numpy

Box = tuple[float, float, float, float]


def mask_to_box(masks: Array) -> Array:
    """Tight boxes of masks, last column and row included.

    Args:
        masks: N x H x W bool or integer, 0 is background.

    Returns:
        N x 4 float32 (x0, y0, x1, y1); NumPy for NumPy, a tensor on the same device for a tensor. An empty mask has the
        box (0, 0, 0, 0); ask `masks.any` where that must be told from a single corner pixel.

    Raises:
        ValueError: another number of dimensions. TypeError: floating masks.
    """
    if masks.ndim != 3:
        raise ValueError(f"masks are N x H x W, got shape {tuple(masks.shape)}")
    if not namespace(masks).isdtype(masks.dtype, ("bool", "integral")):
        raise TypeError(f"masks are bool or integer, got {masks.dtype}; compare logits with 0 first")
    given = to_numpy(masks) if is_on_host(masks) else masks
    xp = namespace(given)
    bits = given if given.dtype == xp.bool else given != 0
    (x0, x1), (y0, y1) = (_extent(xp.any(bits, axis=axis)) for axis in (1, 2))
    return on_device(floats(xp.stack([x0, y0, x1, y1], axis=1)), device_of(masks))


def box_prompt(mask: Array) -> Box:
    """The box (x0, y0, x1, y1) that prompts for the object of a mask, H x W bool or integer, 0 is background.

    It reaches from the outer edge of the first column and row to that of the last, so that it has an area even around a
    single pixel, and lies inside the picture.

    Raises:
        ValueError: an empty mask, or another number of dimensions. TypeError: a floating mask.
    """
    if mask.ndim != 2:
        raise ValueError(f"a mask is H x W, got shape {tuple(mask.shape)}")
    if not mask.any():
        raise ValueError("an empty mask has no box")
    x0, y0, x1, y1 = mask_to_box(mask[None])[0].tolist()
    return x0, y0, x1 + 1, y1 + 1


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """N x M intersections over unions of boxes N x 4 and M x 4 (x0, y0, x1, y1); 0 where both are empty."""
    common = _common_area(boxes, others)
    return common / np.maximum(_areas(boxes)[:, None] + _areas(others) - common, 1e-12)


def box_covered(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """N x M shares of each box that lie in each of M others; 0 of an empty box."""
    return _common_area(boxes, others) / np.maximum(_areas(boxes)[:, None], 1e-12)


def _extent(hit: Array) -> tuple[Array, Array]:
    """First and last of what is set in every row of N x L booleans (0, 0 for a row with none)."""
    xp = namespace(hit)
    if 0 in hit.shape:
        nothing = xp.zeros(hit.shape[0], dtype=xp.int64, device=device_of(hit))
        return nothing, nothing
    bits = xp.astype(hit, xp.uint8)
    last = hit.shape[1] - 1 - xp.argmax(xp.flip(bits, axis=1), axis=1)
    return xp.argmax(bits, axis=1), last * xp.max(bits, axis=1)


def _common_area(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    first = np.maximum(boxes[:, None, :2], others[None, :, :2])
    last = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray((last - first).clip(0).prod(axis=2))


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1))
