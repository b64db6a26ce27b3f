"""Filling a hole from what is around it: the smoothest surface through its edge (Laplace's equation)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from sam2v.masks.window import around

#: Rounds at small sizes and at large ones, where the sizes below have brought what is wide to rest.
_ROUNDS, _ROUNDS_LARGE, _LARGE = 24, 8, 64


def diffused(picture: np.ndarray, hole: np.ndarray, coarse: int = 1) -> np.ndarray:
    """A picture whose hole is filled from the colours around it.

    Args:
        picture: H x W x C, uint8 or float. hole: H x W bool.
        coarse: compute at so small a share of the size, for what need not meet the edge exactly.

    Returns:
        H x W x C float32: the picture, and in the hole the fill; zeros where all is hole.
    """
    filled = picture.astype(np.float32)
    margin = max(4, max(hole.shape) // 64)
    window = around(hole, margin)
    if window is None:
        return filled
    planes = torch.from_numpy(filled[window]).permute(2, 0, 1)[None]
    unknown = torch.from_numpy(hole[window])[None, None]
    surface = _reduced(torch.where(unknown, 0.0, planes), (~unknown).float(), coarse)[0].permute(1, 2, 0).numpy()
    np.copyto(filled[window], surface, where=hole[window][..., None])
    return filled


def _surface(planes: Tensor, known: Tensor) -> Tensor:
    """1 x C x h x w with what is unknown filled, from the same at half the size and then smoothed.

    Args:
        planes: 1 x C x h x w, zero where unknown. known: 1 x 1 x h x w, 0 or 1.
    """
    if not known.any() or known.all():
        return planes
    h, w = planes.shape[-2:]
    if min(h, w) > 1:
        guess = _reduced(planes, known, 2)
    else:
        guess = (planes * known).sum((2, 3), keepdim=True) / known.sum()
    filled = torch.where(known > 0, planes, guess)
    for _ in range(_ROUNDS if min(h, w) < _LARGE else _ROUNDS_LARGE):
        edge = pad(filled, (1, 1, 1, 1), mode="replicate")
        mean = (edge[..., :-2, 1:-1] + edge[..., 2:, 1:-1] + edge[..., 1:-1, :-2] + edge[..., 1:-1, 2:]) / 4
        filled = torch.where(known > 0, planes, mean)
    return filled


def _reduced(planes: Tensor, known: Tensor, step: int) -> Tensor:
    """`_surface` computed at a `step`-th of the size, and enlarged."""
    if step == 1:
        return _surface(planes, known)
    h, w = planes.shape[-2:]
    odd = (0, -w % step, 0, -h % step)
    weight = avg_pool2d(pad(known, odd), step)
    small = avg_pool2d(pad(planes * known, odd), step) / weight.clamp(min=1e-6)
    below = _surface(small * (weight > 0), (weight > 0).float())
    return interpolate(below, scale_factor=step, mode="bilinear", align_corners=False)[..., :h, :w]
