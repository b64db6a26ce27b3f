"""Boxes of masks.

A box is (x0, y0, x1, y1) in pixels, and x1, y1 are the indices of the last column and row that belong to the
object (pixel-inclusive): a mask of the single pixel (x, y) has the box (x, y, x, y). So drawing a box, or
giving it as a prompt, uses coordinates of pixels that exist.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

Array = TypeVar("Array", np.ndarray, torch.Tensor)


def mask_to_box(masks: Array) -> Array:
    """Tight boxes of masks, N x H x W bool or integer (0 is background) -> N x 4 float32 (x0, y0, x1, y1),
    inclusive.

    An empty mask has the box (0, 0, 0, 0); ask ``masks.any`` where that must be told from a single corner
    pixel. NumPy in, NumPy out; a tensor stays on its device. Raises ValueError for another number of
    dimensions, TypeError for floating masks.
    """
    tensor = masks if isinstance(masks, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(masks))
    if tensor.ndim != 3:
        raise ValueError(f"masks are N x H x W, got shape {tuple(tensor.shape)}")
    if tensor.is_floating_point() or tensor.is_complex():
        raise TypeError(f"masks are bool or integer, got {tensor.dtype}; compare logits with 0 first")
    if tensor.numel() == 0:
        boxes = torch.zeros(len(tensor), 4, device=tensor.device)
    else:
        hit = tensor != 0
        x0, x1 = _extent(hit.any(dim=1))  # N x W
        y0, y1 = _extent(hit.any(dim=2))  # N x H
        boxes = torch.stack([x0, y0, x1, y1], dim=1).float()
    return boxes if isinstance(masks, torch.Tensor) else boxes.numpy()


def _extent(hit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First and last true index of every row of an N x L bool tensor (0, 0 for a row with none)."""
    length = hit.shape[1]
    first = hit.to(torch.uint8).argmax(dim=1)
    last = length - 1 - hit.flip(1).to(torch.uint8).argmax(dim=1)
    return first, torch.where(hit.any(dim=1), last, torch.zeros_like(last))
