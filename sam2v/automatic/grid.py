"""Where masks are proposed: regular grids of points, and crops of a picture in layers."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from sam2v.automatic.options import MaskOptions


class Crop(NamedTuple):
    """A part of a picture, in pixels: columns x0 to x1 and rows y0 to y1, the ends excluded; layer 0 is all of it."""

    x0: int
    y0: int
    x1: int
    y1: int
    layer: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1)."""
        return self[:4]


def point_grid(side: int) -> np.ndarray:
    """The centres of `side` x `side` equal cells of the unit square, row by row: P x 2 float64 (x, y)."""
    centres = (np.arange(side) + 0.5) / side
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def point_grids(options: MaskOptions) -> list[np.ndarray]:
    """The grid of the picture and of every layer of crops."""
    if options.point_grids is not None:
        return list(options.point_grids)
    assert options.points_per_side is not None
    factor = options.crop_n_points_downscale_factor
    return [point_grid(options.points_per_side // factor**layer) for layer in range(options.crop_n_layers + 1)]


def crops_of(size: tuple[int, int], layers: int, overlap_ratio: float) -> list[Crop]:
    """The whole picture, then 2**n x 2**n crops for every layer n that reach into each other.

    Args:
        size: (height, width) of the picture.
        layers: how many layers of crops.
        overlap_ratio: how far crops of the first layer overlap, as a share of the shorter side.

    Returns:
        Crops, each with at least one pixel: of a picture with fewer pixels than crops there are fewer.
    """
    height, width = size
    crops = [Crop(0, 0, width, height, 0)]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(size) * 2 / count)
        columns, rows = (_cuts(side, count, overlap) for side in (width, height))
        crops += [Crop(x0, y0, x1, y1, layer) for (x0, x1), (y0, y1) in itertools.product(columns, rows)]
    return crops


def _cuts(side: int, count: int, overlap: int) -> list[tuple[int, int]]:
    """Starts and ends of `count` equal parts of a side that overlap; those beyond it are left out."""
    length = math.ceil((side + overlap * (count - 1)) / count)
    starts = [(length - overlap) * i for i in range(count)]
    return [(start, min(start + length, side)) for start in starts if start < side]
