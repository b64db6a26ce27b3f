"""From what policies select to what the network reads; inference and training both go through this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sam2v.arrays import Array, device_of, namespace, on_device
from sam2v.memory import Read, Selection
from sam2v.model.values import TokenGroup


def gather_memory(selections: Sequence[Selection], max_pointers: Sequence[int]) -> list[TokenGroup]:
    """Stack what N rows read: their memories, then their object pointers, cut into tokens as wide as a memory's.

    Rows that read less than others are filled up with hidden tokens.

    Args:
        selections: one per row, each with at least one memory.
        max_pointers: every row's pointer limit; distances are given to the network relative to it less one.
    """
    memories = [s.memories for s in selections]
    tokens = _stacked([[read.entry.memory for read in row] for row in memories])
    groups = [_group(tokens, memories, [[read.time for read in row] for row in memories], has_grid=True)]
    pointers = [s.pointers for s in selections]
    if any(pointers):
        tokens_of = _stacked([[read.entry.pointer for read in row] for row in pointers])
        limits = zip(pointers, max_pointers, strict=True)
        shares = [[read.time / (limit - 1) for read in row] for row, limit in limits]
        cut = namespace(tokens_of).reshape(tokens_of, (*tokens_of.shape[:2], -1, tokens.shape[3]))
        groups.append(_group(cut, pointers, shares, has_grid=False))
    return groups


def _stacked(rows: Sequence[Sequence[Array]]) -> Array:
    """N x T x ... of up to T values in each of N rows, filled up with zeros."""
    most, some = max(map(len, rows)), next(value for row in rows for value in row)
    xp = namespace(some)
    filler = [xp.zeros_like(some)] if any(len(row) < most for row in rows) else []
    values = [value for row in rows for value in (*row, *filler * (most - len(row)))]
    return xp.reshape(xp.stack(values), (len(rows), most, *some.shape))


def _group(
    tokens: Array, rows: Sequence[Sequence[Read]], times: Sequence[Sequence[float]], has_grid: bool
) -> TokenGroup:
    most = tokens.shape[1]

    def table(values: Sequence[Sequence[float]], rest: float, dtype: Any = np.float32) -> Array:
        filled = [[*row, *[rest] * (most - len(row))] for row in values]
        return on_device(np.array(filled, dtype), device_of(tokens))

    bias = scale = None
    if any(len(row) < most for row in rows):
        bias = table([[0.0] * len(row) for row in rows], float("-inf"))
    if any(read.scale != 1.0 for row in rows for read in row):
        scale = table([[read.scale for read in row] for row in rows], 1.0)
    return TokenGroup(tokens, table(times, 0, np.int64 if has_grid else np.float32), has_grid, bias, scale)
