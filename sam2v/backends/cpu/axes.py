"""Rotary positions with channels ordered so that each axis, and each member of the pairs, is a block of its own."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sam2v.nn.rotary import Rotation


class Turn(NamedTuple):
    """Cosine and sine of every cell's angles: cells x axes (x, y) x bands."""

    cos: Tensor
    sin: Tensor


def turn_of(rotation: Rotation) -> Turn:
    """The same angles, by axes."""
    return Turn(*(table.unflatten(1, (2, -1)) for table in (rotation.cos, rotation.sin)))


def by_axes(x: Tensor) -> Tensor:
    """Reorder C x ... projected channels, whose neighbours 2i and 2i + 1 are a pair and whose first half turns with x:
    to axis x member x band.

    Attention does not care about the order of channels as long as queries and keys agree on it; whole members turn
    faster than neighbours, and each axis can be had by itself.
    """
    return x.unflatten(0, (2, -1, 2)).transpose(1, 2).flatten(0, 2)


def turn(x: Tensor, by: Turn) -> Tensor:
    """Turn ... x cells x channels, channels being axis x member x band, by their cell's angles, in float32, keeping x's
    dtype."""
    cos, sin = by
    first, second = x.float().unflatten(-1, (cos.shape[-2], 2, -1)).unbind(-2)
    turned = (torch.addcmul(first * cos, second, sin, value=-1), torch.addcmul(first * sin, second, cos))
    return torch.stack(turned, dim=-2).flatten(-3).to(x.dtype)
