"""Work in pieces: what a piece needs stays in the cache, and no large buffer is ever asked of the system."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Bytes that the widest intermediate of a piece should take.
PIECE_BYTES = 16 << 20


def in_pieces(function: Callable[[Tensor], Tensor], x: Tensor, width: int, step: int = 1) -> Tensor:
    """Apply a function that treats the slices of x along its second dimension by themselves.

    Args:
        function: called with parts of x; it may shrink them along that dimension, all by the same factor.
        x: the input.
        width: values that the widest intermediate holds per value of x's last dimension.
        step: parts are multiples of this long (the last one may end early).

    Returns:
        `function(x)`, computed in parts.
    """
    slices = x.numel() * width * x.element_size() / PIECE_BYTES
    length = max(1, round(x.shape[1] / max(slices, 1) / step)) * step
    if length >= x.shape[1]:
        return function(x)
    return torch.cat([function(part) for part in x.split(length, 1)], 1)
