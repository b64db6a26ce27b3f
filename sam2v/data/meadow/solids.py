"""Bodies of rounded limbs: their outline, their relief, and how light falls on them.

A body is a number of parts. Each is a ball that moves and grows from one end of a segment to the other; where parts
meet they melt into each other. They are seen along parallel rays, so that a body's outline is exact: a signed distance,
from which both the picture's smooth edge and the mask are taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sam2v.data.meadow.camera import Grid

Colour = tuple[float, float, float]
Point = tuple[float, float, float]
_FAR = -1e3


@dataclass(frozen=True)
class Part:
    """One limb, or a piece of one.

    Attributes:
        start, end: centres (x, y, z) in metres; x to the right, y up, z towards the viewer.
        radii: at both ends.
        colour: RGB in [0, 1] at the start. tip: at the end, None: the same.
        under: colour of what faces the ground, None: the same.
        flat: how thick it is towards the viewer, as a share of its radius.
        gloss: strength of the highlight.
    """

    start: Point
    end: Point
    radii: tuple[float, float]
    colour: Colour
    tip: Colour | None = None
    under: Colour | None = None
    flat: float = 1.0
    gloss: float = 0.0

    def disc(self) -> tuple[float, float, float]:
        """Centre (x, y) and radius of a disc around it."""
        (x0, y0, _), (x1, y1, _) = self.start, self.end
        return (x0 + x1) / 2, (y0 + y1) / 2, math.hypot(x1 - x0, y1 - y0) / 2 + max(self.radii)

    def across(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """At points: share of the way along the axis, radius there, and offset (x, y) from the axis."""
        (x0, y0, _), (x1, y1, _) = self.start, self.end
        dx, dy = x1 - x0, y1 - y0
        share = (((x - x0) * dx + (y - y0) * dy) / max(dx * dx + dy * dy, 1e-9)).clamp(0, 1)
        radius = self.radii[0] + share * (self.radii[1] - self.radii[0])
        return share, radius, x - x0 - share * dx, y - y0 - share * dy


@dataclass(frozen=True)
class Light:
    """What falls on bodies.

    Attributes:
        direction: unit vector towards the sun (x, y, z).
        sun, sky, ground: colours of the direct light, and of what comes from above and from below.
    """

    direction: Point
    sun: Colour
    sky: Colour
    ground: Colour

    def mirrored(self) -> Light:
        """The same light with left and right exchanged."""
        x, y, z = self.direction
        return replace(self, direction=(-x, y, z))


@dataclass(frozen=True)
class Surface:
    """A body over a grid.

    Attributes:
        inside: signed distance to the outline in metres, positive inside.
        normal: 3 x H x W. colour: 3 x H x W. gloss: H x W.
        skin: 2 x H x W, coordinates in metres that stay on the skin as it moves.
    """

    inside: Tensor
    normal: Tensor
    colour: Tensor
    gloss: Tensor
    skin: Tensor


@dataclass(frozen=True)
class Body:
    """A pose: parts, and over how many metres they melt into each other."""

    parts: Sequence[Part]
    melt: float = 0.02

    def disc(self) -> tuple[float, float, float]:
        """Centre (x, y) and radius of a disc around the body."""
        discs = [part.disc() for part in self.parts]
        left, right = min(x - r for x, _, r in discs), max(x + r for x, _, r in discs)
        low, high = min(y - r for _, y, r in discs), max(y + r for _, y, r in discs)
        return (left + right) / 2, (low + high) / 2, math.hypot(right - left, high - low) / 2

    def outline(self, grid: Grid) -> Tensor:
        """Signed distance to the outline over a grid in metres, positive inside."""
        total = _Sum(grid, 0)
        for part, rows, columns in self._shown(grid):
            _, radius, off_x, off_y = part.across(*grid.points(rows, columns))
            total.add(rows, columns, (radius - torch.hypot(off_x, off_y)) * self.sharpness)
        return total.log() / self.sharpness

    def surface(self, grid: Grid) -> Surface:
        """What is seen of the body over a grid."""
        total, relief = _Sum(grid, 0), _Sum(grid, 13)
        for number, (part, rows, columns) in enumerate(self._shown(grid)):
            distance, depth, values = _seen(part, *grid.points(rows, columns), 0.37 * number)
            total.add(rows, columns, distance * self.sharpness)
            relief.add(rows, columns, depth * self.sharpness, values)
        mean = relief.mean()
        normal = mean[:3] * mean[:3].square().sum(0).clamp_min(1e-9).rsqrt()
        below = (0.35 - 1.6 * normal[1]).clamp(0, 1) * mean[9]
        colour = torch.lerp(mean[3:6], mean[6:9] / mean[9].clamp_min(1e-3), below)
        return Surface(total.log() / self.sharpness, normal, colour, mean[10], mean[11:13])

    @property
    def sharpness(self) -> float:
        """Of the melting, per metre."""
        return 3 / self.melt

    def _shown(self, grid: Grid) -> Iterator[tuple[Part, slice, slice]]:
        """Parts with the rows and columns in which they matter."""
        for part in self.parts:
            x, y, reach = part.disc()
            rows, columns = grid.window(x, y, reach + 1.5 * self.melt + 1.5 / grid.scale)
            if rows.stop > rows.start and columns.stop > columns.start:
                yield part, rows, columns


class _Sum:
    """A running sum of exponentials over a grid, and of values that they weigh; no exponential overflows."""

    def __init__(self, grid: Grid, values: int) -> None:
        self.top = torch.full(grid.shape, _FAR)
        self.sums = torch.zeros(values + 1, *grid.shape)  # the last one is that of the weights

    def add(self, rows: slice, columns: slice, exponent: Tensor, values: Sequence[Tensor] = ()) -> None:
        """Add exp(exponent), and the values with that weight."""
        top = self.top[rows, columns]
        higher = torch.maximum(top, exponent)
        weight = (exponent - higher).exp_()
        added = torch.stack([*values, torch.ones_like(weight)]).mul_(weight)
        sums = self.sums[:, rows, columns]
        self.sums[:, rows, columns] = added.addcmul_(sums, (top - higher).exp_())
        self.top[rows, columns] = higher

    def mean(self) -> Tensor:
        """The weighted mean of the values."""
        return self.sums[:-1] / self.sums[-1].clamp_min(1e-6)

    def log(self) -> Tensor:
        """Logarithm of the sum of exponentials."""
        return self.top + self.sums[-1].clamp_min(1e-6).log()


def _seen(part: Part, x: Tensor, y: Tensor, number: float) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Distance to a part's outline, its relief, and what it shows: normal, colour, colour below, gloss, skin."""
    share, radius, off_x, off_y = part.across(x, y)
    nx, ny = off_x / radius, off_y / radius
    nz = (1 - nx * nx - ny * ny).clamp_min(0).sqrt()
    distance = radius - torch.hypot(off_x, off_y)
    z0, z1 = part.start[2], part.end[2]
    depth = z0 + share * (z1 - z0) + part.flat * radius * nz - 6 * (-distance).clamp_min(0)
    tip, whole = part.tip or part.colour, torch.ones_like(share)
    colour = [a + share * (b - a) for a, b in zip(part.colour, tip)]
    under = [c * whole for c in part.under] if part.under else [0 * whole] * 3
    dx, dy = part.end[0] - part.start[0], part.end[1] - part.start[1]
    length = max(math.hypot(dx, dy), 1e-6)
    skin = [number + share * length, (off_y * dx - off_x * dy) / length]
    shown = float(part.under is not None) * whole
    return distance, depth, [
        nx * part.flat, ny * part.flat, nz + 0.05, *colour, *under, shown, part.gloss * whole, *skin
    ]  # fmt: skip


def shade(surface: Surface, light: Light, colour: Tensor) -> Tensor:
    """Light a surface: 3 x H x W linear colour."""
    sun, sky, ground = (torch.tensor(part)[:, None, None] for part in (light.sun, light.sky, light.ground))
    lx, ly, lz = light.direction
    nx, ny, nz = surface.normal
    facing = nx * lx + ny * ly + nz * lz
    direct = ((facing + 0.15) / 1.15).clamp_min(0)
    around = torch.lerp(ground, sky, (ny * 0.5 + 0.5)[None])
    edge = (1 - nz).clamp(0, 1) ** 3 * (0.4 + 0.6 * (nx * lx + ny * ly).clamp(0, 1))
    half = math.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)
    shine = ((nx * lx + ny * ly + nz * (lz + 1)) / half).clamp(0, 1) ** 24 * surface.gloss
    return colour * (direct[None] * sun + around + edge[None] * sun * 0.35) + shine[None] * sun
