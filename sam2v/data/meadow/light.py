"""An hour of the day: what falls on things, what colour they have, and the shadows that they throw."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sam2v.data.meadow.camera import Grid
from sam2v.data.meadow.solids import Body, Colour, Light

_SHADOW = 96  # pixels of a shadow's outline


@dataclass(frozen=True)
class Mood:
    """Colours of an hour of the day.

    Attributes:
        light: what falls on bodies.
        zenith, middle, haze: the sky from top to horizon. distance: veils what is far.
        glow: the sky around the sun. cloud: of clouds in the sun.
        grass: dark and light. sand: the path. leaves: of trees. flowers: two.
    """

    light: Light
    zenith: Colour
    middle: Colour
    haze: Colour
    distance: Colour
    glow: Colour
    cloud: Colour
    grass: tuple[Colour, Colour]
    sand: Colour
    leaves: Colour
    flowers: tuple[Colour, Colour]


class Shadow:
    """What a body takes of the sun on the ground behind it.

    Args:
        body: who throws it.
        x, y, distance: where its origin is. side: -1 where it looks to the left.
        light: the sun.
    """

    most = 0.85  # of the sun, where it is darkest

    def __init__(self, body: Body, x: float, y: float, distance: float, side: int, light: Light) -> None:
        self.x, self.y, self.distance, self.side, self.light = x, y, distance, side, light
        middle_x, middle_y, self.reach = body.disc()
        self.reach += 0.15
        self.middle = (middle_x, middle_y)
        scale = _SHADOW / 2 / self.reach
        grid = Grid((_SHADOW, _SHADOW), _SHADOW / 2 - middle_x * scale, _SHADOW / 2 + middle_y * scale, scale)
        self.outline = body.outline(grid).clamp_min(-self.reach)[None, None]

    def fall(self, lit: Tensor, across: Tensor, far: Tensor) -> None:
        """Take from the light at points of the ground, in place; softer the higher up the shadow comes from."""
        lx, ly, lz = self.light.direction
        deep = lz / ly
        lowest, highest = self.y + self.middle[1] - self.reach, self.y + self.middle[1] + self.reach
        near, end = self.distance + lowest * deep, self.distance + highest * deep
        rows = ((far.amin(1) < end) & (far.amax(1) > near)).nonzero().flatten()
        if len(rows) == 0:
            return
        strip = slice(int(rows[0]), int(rows[-1]) + 1)
        up = (far[strip] - self.distance) / deep
        x = (across[strip] - self.x + up * lx / ly) * self.side - self.middle[0]
        places = torch.stack([x / self.reach, (self.middle[1] + self.y - up) / self.reach], dim=-1)[None]
        inside = functional.grid_sample(self.outline + self.reach, places, align_corners=False)[0, 0] - self.reach
        lit[strip] *= 1 - self.most * (inside / (0.03 + 0.2 * up.abs()) + 0.5).clamp(0, 1)


def of(colour: Colour) -> Tensor:
    """A colour as 3 x 1 x 1."""
    return torch.tensor(colour)[:, None, None]
