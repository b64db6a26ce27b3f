"""Axial rotary positions in real arithmetic (Su et al. 2021; SAM 2 paper, section 4: memory attention)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Rotation(NamedTuple):
    """Cosine and sine of every cell's angles: cells x C/2, an angle for every pair of channels. Cells are numbered row
    by row, with `columns` in each."""

    cos: Tensor
    sin: Tensor
    columns: int


def axial_rotation(height: int, width: int, channels: int, device: torch.device, pool: int = 1) -> Rotation:
    """Angles of a grid's cells: the first half of the channel pairs turns with x, the second half with y.

    Args:
        height, width: of the grid, in cells.
        channels: C, a multiple of 4.
        device: where the table goes.
        pool: give the middles of `pool` x `pool` cells (fewer at the right and bottom, where they do not fit).
    """
    bands = channels // 4
    speeds = torch.pow(10000.0, torch.arange(bands, device=device, dtype=torch.float32) / -bands)
    x, y = (_middles(length, pool, device) for length in (width, height))
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2)  # rows x columns x (x, y)
    angles = (places[..., None] * speeds).flatten(2).flatten(0, 1)
    return Rotation(angles.cos(), angles.sin(), len(x))


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn every pair of neighbouring channels of ... x cells x C by its cell's angle in float32, keeping x's dtype."""
    first, second = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = rotation.cos, rotation.sin
    turned = torch.stack((first * cos - second * sin, first * sin + second * cos), dim=-1)
    return turned.flatten(-2).to(x.dtype)


def _middles(length: int, pool: int, device: torch.device) -> Tensor:
    """Middles of runs of `pool` cells; the last run may be shorter."""
    first = torch.arange(0, length, pool, device=device, dtype=torch.float32)
    return (first + (first + pool - 1).clamp(max=length - 1)) / 2
