"""Masks drawn by rule."""

from __future__ import annotations

import numpy as np

SIZE = (48, 64)


def disk(x: float, y: float, radius: float, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A filled circle, H x W bool."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def two_disks(frame: int, shift: int = 0) -> np.ndarray:
    """Label map of two disks that move right; object 2 is the smaller one."""
    labels = np.zeros(SIZE, np.uint8)
    labels[disk(16 + frame + shift, 20, 11)] = 1
    labels[disk(44 + frame, 30 + shift, 7)] = 2
    return labels
