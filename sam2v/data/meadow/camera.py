"""A camera held by hand: where points of the meadow appear in the picture.

World coordinates are metres: x to the right, y up from the ground, and the distance from the camera's plane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Pixels that look at a plane parallel to the picture.

    Attributes:
        shape: (height, width) in pixels.
        column, row: where the plane's origin is seen.
        scale: pixels of a metre.
        roll: rotation of the picture in radians.
        side: 1, or -1 where left and right are exchanged on the plane.
    """

    shape: tuple[int, int]
    column: float
    row: float
    scale: float
    roll: float = 0.0
    side: int = 1

    def points(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """Where pixels look at: x and y (up) in metres from the origin, both h x w."""
        across = torch.arange(columns.start, columns.stop) + (0.5 - self.column)
        down = torch.arange(rows.start, rows.stop)[:, None] + (0.5 - self.row)
        cos, sin = math.cos(self.roll) / self.scale, math.sin(self.roll) / self.scale
        return (across * cos - down * sin) * self.side, -(across * sin + down * cos)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Column and row at which a point of the plane is seen."""
        cos, sin = math.cos(self.roll) * self.scale, math.sin(self.roll) * self.scale
        x = x * self.side
        return self.column + x * cos - y * sin, self.row - x * sin - y * cos

    def window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns of the grid that a disc can touch; empty slices where it is out of sight."""
        column, row = self.place(x, y)
        radius = reach * self.scale + 1
        height, width = self.shape
        rows = slice(min(max(0, math.floor(row - radius)), height), max(0, min(height, math.ceil(row + radius))))
        return rows, slice(
            min(max(0, math.floor(column - radius)), width), max(0, min(width, math.ceil(column + radius)))
        )

    def cut(self, rows: slice, columns: slice) -> Grid:
        """A part of this grid."""
        shape = (max(0, rows.stop - rows.start), max(0, columns.stop - columns.start))
        return replace(self, shape=shape, column=self.column - columns.start, row=self.row - rows.start)


@dataclass(frozen=True)
class Camera:
    """One frame's view.

    Attributes:
        shape: (height, width) of the picture in pixels.
        x, y: where it is, in metres.
        focal: pixels of a metre at a distance of a metre.
        horizon: the horizon's row, in the middle of the picture.
        roll: rotation of the picture in radians.
    """

    shape: tuple[int, int]
    x: float
    y: float
    focal: float
    horizon: float
    roll: float

    def plane(self, x: float, distance: float, side: int = 1, y: float = 0.0) -> Grid:
        """The plane at a distance, with its origin at (x, y)."""
        scale = self.focal / distance
        middle = Grid(self.shape, self.shape[1] / 2, self.horizon, scale, self.roll)
        column, row = middle.place(x - self.x, y - self.y)
        return Grid(self.shape, column, row, scale, self.roll, side)

    def rays(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Directions of whole rows as (x, y) per metre of distance; y is positive above the horizon."""
        grid = Grid(self.shape, self.shape[1] / 2, self.horizon, self.focal, self.roll)
        return grid.points(rows, slice(0, self.shape[1]))
