"""Axial rotary positions in real arithmetic (Su et al. 2021; SAM 2 paper, section 4: memory attention)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Rotation(NamedTuple):
    """Cosine and sine of every cell's angles, both cells x channels/2; cells are numbered row by row."""

    cos: Tensor
    sin: Tensor


def axial_rotation(height: int, width: int, channels: int, device: torch.device, pool: int = 1) -> Rotation:
    """Angles of a grid: the first half of the channel pairs turns with x, the second half with y, in whole cells; with
    ``pool``, of the middles of ``pool`` x ``pool`` cells (fewer at the right and bottom, where they do not fit)."""
    bands = channels // 4
    speeds = torch.pow(10000.0, torch.arange(bands, device=device, dtype=torch.float32) / -bands)
    x, y = (_middles(length, pool, device) for length in (width, height))
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2)  # rows x columns x 2
    angles = (places[..., None] * speeds).reshape(-1, 2 * bands)
    return Rotation(angles.cos(), angles.sin())


def _middles(length: int, pool: int, device: torch.device) -> Tensor:
    """Middles of runs of ``pool`` cells; the last run may be shorter."""
    first = torch.arange(0, length, pool, device=device, dtype=torch.float32)
    return (first + (first + pool - 1).clamp(max=length - 1)) / 2


def project_paired(layer: nn.Linear, x: Tensor) -> Tensor:
    """Apply a layer whose neighbouring outputs 2i and 2i + 1 are a pair, with the pairs' first members in front.

    Attention does not care about the order of channels as long as queries and keys agree on it, and halves turn faster
    than neighbours.
    """
    weight, bias = (torch.cat((p[0::2], p[1::2])) for p in (layer.weight, layer.bias))
    return F.linear(x, weight, bias)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn the pairs (i, channels/2 + i) of ... x cells x channels by their cell's angles, in float32, keeping x's
    dtype."""
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = rotation
    turned = (torch.addcmul(first * cos, second, sin, value=-1), torch.addcmul(first * sin, second, cos))
    return torch.cat(turned, dim=-1).to(x.dtype)
