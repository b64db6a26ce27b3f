"""Axial rotary positions in real arithmetic (Su et al. 2021; SAM 2 paper, section 4: memory attention)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Rotation(NamedTuple):
    """Cosine and sine of every cell's angles, both cells x channels/2; cells are numbered row by row."""

    cos: Tensor
    sin: Tensor


def axial_rotation(height: int, width: int, channels: int, device: torch.device) -> Rotation:
    """Angles of a grid: the first half of the channel pairs turns with x, the second half with y, in whole cells."""
    bands = channels // 4
    speeds = torch.pow(10000.0, torch.arange(bands, device=device, dtype=torch.float32) / -bands)
    x = torch.arange(width, device=device, dtype=torch.float32)[None, :, None].expand(height, width, bands)
    y = torch.arange(height, device=device, dtype=torch.float32)[:, None, None].expand(height, width, bands)
    angles = (torch.stack((x, y), dim=2) * speeds).reshape(height * width, 2 * bands)
    return Rotation(angles.cos(), angles.sin())


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn neighbouring channel pairs of ... x cells x channels by their cell's angles, in float32, keeping x's
    dtype."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = rotation
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).to(x.dtype)
