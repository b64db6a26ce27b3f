"""Filling a hole from what is around it: the smoothest surface through its edge (Laplace's equation)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from sam2v.effects.canvas import around

#: Rounds at each size; the sizes below have brought what is wide to rest.
_ROUNDS = 24


def diffused(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """A picture whose hole is filled from the colours around it.

    Args:
        picture: H x W x C, uint8 or float. hole: H x W bool.

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
    surface = _surface(torch.where(unknown, 0.0, planes), (~unknown).float())[0].permute(1, 2, 0).numpy()
    filled[window] = np.where(hole[window][..., None], surface, filled[window])
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
        odd = (0, w % 2, 0, h % 2)
        weight = avg_pool2d(pad(known, odd), 2)
        half = avg_pool2d(pad(planes * known, odd), 2) / weight.clamp(min=1e-6)
        below = _surface(half * (weight > 0), (weight > 0).float())
        guess = interpolate(below, scale_factor=2, mode="bilinear", align_corners=False)[..., :h, :w]
    else:
        guess = (planes * known).sum((2, 3), keepdim=True) / known.sum()
    filled = torch.where(known > 0, planes, guess)
    for _ in range(_ROUNDS):
        edge = pad(filled, (1, 1, 1, 1), mode="replicate")
        mean = (edge[..., :-2, 1:-1] + edge[..., 2:, 1:-1] + edge[..., 1:-1, :-2] + edge[..., 1:-1, 2:]) / 4
        filled = torch.where(known > 0, planes, mean)
    return filled
