"""Axial rotary positions in real arithmetic (Su et al. 2021; SAM 2 paper, section 4: memory attention)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sam2v.nn.products import linear


class Rotation(NamedTuple):
    """Cosine and sine of every cell's angles: cells x axes (x, y) x bands. Cells are numbered row by row, with
    ``columns`` in each."""

    cos: Tensor
    sin: Tensor
    columns: int

    def along_row(self) -> Rotation:
        """What turns with x, the same in every row: columns x 1 x bands."""
        return Rotation(self.cos[: self.columns, :1], self.sin[: self.columns, :1], self.columns)

    def of_rows(self) -> Rotation:
        """What turns with y: rows x 1 x bands."""
        return Rotation(self.cos[:: self.columns, 1:], self.sin[:: self.columns, 1:], 1)


def axial_rotation(height: int, width: int, channels: int, device: torch.device, pool: int = 1) -> Rotation:
    """Angles of a grid: half of the channel pairs turns with x, the other half with y, in whole cells; with ``pool``,
    of the middles of ``pool`` x ``pool`` cells (fewer at the right and bottom, where they do not fit)."""
    bands = channels // 4
    speeds = torch.pow(10000.0, torch.arange(bands, device=device, dtype=torch.float32) / -bands)
    x, y = (_middles(length, pool, device) for length in (width, height))
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2)  # rows x columns x 2
    angles = (places[..., None] * speeds).flatten(0, 1)
    return Rotation(angles.cos(), angles.sin(), len(x))


def _middles(length: int, pool: int, device: torch.device) -> Tensor:
    """Middles of runs of ``pool`` cells; the last run may be shorter."""
    first = torch.arange(0, length, pool, device=device, dtype=torch.float32)
    return (first + (first + pool - 1).clamp(max=length - 1)) / 2


def by_axes(x: Tensor) -> Tensor:
    """Reorder C x ... projected channels, whose neighbours 2i and 2i + 1 are a pair and whose first half turns with x:
    to axis x member x band.

    Attention does not care about the order of channels as long as queries and keys agree on it; whole members turn
    faster than neighbours, and each axis can be had by itself.
    """
    return x.unflatten(0, (2, -1, 2)).transpose(1, 2).flatten(0, 2)


def project_by_axes(layer: nn.Linear, x: Tensor) -> Tensor:
    """Apply a layer, with its outputs ordered as by :func:`by_axes`."""
    return linear(x, by_axes(layer.weight), by_axes(layer.bias))


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn ... x cells x channels, channels being axis x member x band, by their cell's angles, in float32, keeping x's
    dtype."""
    cos, sin = rotation.cos, rotation.sin
    first, second = x.float().unflatten(-1, (cos.shape[-2], 2, -1)).unbind(-2)
    turned = (torch.addcmul(first * cos, second, sin, value=-1), torch.addcmul(first * sin, second, cos))
    return torch.stack(turned, dim=-2).flatten(-3).to(x.dtype)
