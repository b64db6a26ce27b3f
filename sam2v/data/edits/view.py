"""Where pictures are looked at: smooth cameras over frames, in units of the shorter half side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.data.synthetic.motion import sample_camera, view_to_world
from sam2v.data.synthetic.render import LATTICE, full_grid


def aspect_of(size: tuple[int, int]) -> Tensor:
    """Half extents (x, y) of a view of (height, width) pixels: the shorter is 1."""
    height, width = size
    return torch.tensor([width, height], dtype=torch.float32) / min(size)


def draw_camera(
    rng: np.random.Generator, frames: int, aspect: Tensor, zoom: float, motion: float, target: np.ndarray | None = None
) -> np.ndarray:
    """T x 4 camera (x, y, log zoom, angle): a drifting, shaken view of a part of the picture that stays inside it.

    Args:
        rng: draws it.
        frames: T.
        aspect: half extents (x, y) of the picture.
        zoom: largest enlargement.
        motion: factor on the speed.
        target: (x, y) that the first view shows, well inside; None: any part of the picture.
    """
    path = sample_camera(rng, frames, motion)
    path[:, :2] *= 1.5
    path = path - path[0]
    path[:, 2] += rng.uniform(0, math.log(zoom))
    path[:, 3] += rng.normal(0, 0.06)
    extent = aspect.numpy()
    room = extent * (1 - np.exp(-path[:, 2:3].clip(0)))  # how far the view may go at each frame's zoom
    centre = rng.uniform(-1, 1, 2) * room[0]
    if target is not None:
        reach = 0.7 * (extent - room[0])
        centre = np.clip(centre, target - reach, target + reach)
    path[:, :2] = (path[:, :2] + centre).clip(-room, room)
    return path


def lattice_of(camera: np.ndarray, size: tuple[int, int]) -> Tensor:
    """T x n x n x 2 points of the picture's plane (x, y) that a T x 4 camera sees over a view of (height, width)."""
    return view_to_world(torch.from_numpy(camera[None]).float(), *size, LATTICE)[0]


def look_at(pictures: Tensor, lattice: Tensor, size: tuple[int, int], padding: str = "zeros") -> Tensor:
    """See T pictures through a lattice.

    Args:
        pictures: T x C x H x W, or one for all frames.
        lattice: T x n x n x 2 (x, y), -1 to 1 over the picture.
        size: (height, width) of the view.
        padding: what lies outside, as in `grid_sample`.

    Returns:
        T x C x height x width.
    """
    grid = full_grid(lattice, *size)
    return F.grid_sample(pictures.expand(len(grid), -1, -1, -1), grid, padding_mode=padding, align_corners=False)


@dataclass(frozen=True)
class Layer:
    """An object on its way through a view, within the window that it ever reaches.

    Attributes:
        picture: T x 4 x h x w, colours times coverage, and coverage.
        rows, columns: where that window lies in the view.
    """

    picture: Tensor
    rows: slice
    columns: slice

    @property
    def window(self) -> tuple[slice, slice, slice, slice]:
        """The window as an index of T x C x H x W."""
        return slice(None), slice(None), self.rows, self.columns

    @property
    def solid(self) -> Tensor:
        """T x 1 x h x w bool, the pixels that it owns."""
        return self.picture[:, 3:] > 0.5


def draw_layer(pictures: Tensor, lattice: Tensor, size: tuple[int, int]) -> Layer:
    """See T (or one) RGBA pictures, colours times coverage, as `look_at` does, with zeros outside."""
    grid = full_grid(lattice, *size)
    inside = (grid.abs() < 1).all(dim=-1).any(dim=0)
    rows, columns = _span(inside.any(dim=1)), _span(inside.any(dim=0))
    grid = grid[:, rows, columns].contiguous()
    pictures = pictures.expand(len(grid), -1, -1, -1)
    return Layer(F.grid_sample(pictures, grid, align_corners=False), rows, columns)


def _span(line: Tensor) -> slice:
    """From the first to the last True; one place at least."""
    found = line.nonzero().flatten()
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 1)


def middle_of(mask: Tensor, aspect: Tensor) -> np.ndarray:
    """(x, y) of the middle of an H x W bool mask in the picture's plane; the picture's middle for an empty one."""
    rows, columns = mask.nonzero().unbind(1)
    if len(rows) == 0:
        return np.zeros(2)
    share = torch.stack([columns.float().mean() / mask.shape[1], rows.float().mean() / mask.shape[0]])
    return ((2 * share - 1) * aspect).numpy().astype(float)


def share_at_border(mask: Tensor) -> float:
    """Pixels of an H x W mask along the picture's border over the length of its box's outline; 0 for an empty mask."""
    edges = sum(int(line.sum()) for line in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    return edges / max(1, 2 * int(mask.any(dim=0).sum() + mask.any(dim=1).sum()))
