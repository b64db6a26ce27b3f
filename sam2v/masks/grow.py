"""Masks made larger by a margin."""

from __future__ import annotations

import math

import numpy as np

from sam2v.masks.window import around


def grown(mask: np.ndarray, radius: int) -> np.ndarray:
    """An H x W mask with everything that lies within `radius` pixels of it.

    Args:
        mask: H x W bool. radius: 0 or more.
    """
    window = around(mask, radius)
    if window is None or radius <= 0:
        return mask.copy()
    part = mask[window]
    found = part.copy()
    for up in range(-radius, radius + 1):
        source = slice(max(0, up), len(part) + min(0, up))
        target = slice(max(0, -up), len(part) + min(0, -up))
        found[target] |= _widened(part[source], math.isqrt(radius * radius - up * up))
    whole = np.zeros_like(mask)
    whole[window] = found
    return whole


def _widened(mask: np.ndarray, by: int) -> np.ndarray:
    """Rows of a mask, each reaching `by` pixels further to both sides."""
    if by == 0:
        return mask
    count = np.cumsum(np.pad(mask, ((0, 0), (by + 1, by))), axis=1, dtype=np.int32)
    return np.asarray(count[:, 2 * by + 1 :] > count[:, : -2 * by - 1])
