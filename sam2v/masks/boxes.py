"""Boxes of masks.

There are two kinds. `mask_to_box` gives what is drawn and compared: x1, y1 are the last column and row that belong to
the object, so that the mask of the single pixel (x, y) has the box (x, y, x, y). `box_prompt` gives what a person draws
around an object: x1, y1 are the outer edges of the last column and row, so that the same mask has the box (x, y, x + 1,
y + 1).
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch

Array = TypeVar("Array", np.ndarray, torch.Tensor)
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
    columns, rows = _hit(masks)
    (x0, x1), (y0, y1) = _extent(columns), _extent(rows)
    boxes = torch.stack([x0, y0, x1, y1], dim=1).float()
    return boxes if isinstance(masks, torch.Tensor) else boxes.numpy()


def box_prompt(mask: np.ndarray | torch.Tensor) -> Box:
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
    masks: Any = mask[None]
    x0, y0, x1, y1 = mask_to_box(masks)[0].tolist()
    return x0, y0, x1 + 1, y1 + 1


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """N x M intersections over unions of boxes N x 4 and M x 4 (x0, y0, x1, y1); 0 where both are empty."""
    common = _common_area(boxes, others)
    return common / np.maximum(_areas(boxes)[:, None] + _areas(others) - common, 1e-12)


def box_covered(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """N x M shares of each box that lie in each of M others; 0 of an empty box."""
    return _common_area(boxes, others) / np.maximum(_areas(boxes)[:, None], 1e-12)


def _hit(masks: np.ndarray | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which columns (N x W) and rows (N x H) of masks hold something, as 0 and 1 in uint8: bytes reduce fastest."""
    if isinstance(masks, np.ndarray):
        if masks.dtype.kind not in "bui":
            raise TypeError(f"masks are bool or integer, got {masks.dtype}; compare logits with 0 first")
        columns, rows = (torch.from_numpy(masks.any(axis=axis)).view(torch.uint8) for axis in (1, 2))
        return columns, rows
    if masks.is_floating_point() or masks.is_complex():
        raise TypeError(f"masks are bool or integer, got {masks.dtype}; compare logits with 0 first")
    bits = (masks if masks.dtype == torch.bool else masks != 0).view(torch.uint8)
    if bits.numel() == 0:
        return bits.sum(dim=1, dtype=torch.uint8), bits.sum(dim=2, dtype=torch.uint8)
    return bits.amax(dim=1), bits.amax(dim=2)


def _extent(hit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First and last 1 in every row of an N x L uint8 tensor of 0 and 1 (0, 0 for a row with none)."""
    if hit.numel() == 0:
        return hit.sum(dim=1), hit.sum(dim=1)
    last = hit.shape[1] - 1 - hit.flip(1).argmax(dim=1)
    return hit.argmax(dim=1), last * hit.amax(dim=1)


def _common_area(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    first = np.maximum(boxes[:, None, :2], others[None, :, :2])
    last = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray((last - first).clip(0).prod(axis=2))


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1))
