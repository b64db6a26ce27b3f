"""What grows in the meadow, drawn once: trees, bushes, tufts of grass and flowers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sam2v.data.meadow.camera import Grid
from sam2v.data.meadow.light import Mood, of
from sam2v.data.meadow.noise import cloudy, sample
from sam2v.data.meadow.solids import Body, Colour, Part, shade


@dataclass(frozen=True)
class Picture:
    """Something flat that stands in the meadow, drawn once.

    Attributes:
        layers: 4 x h x w, colour times coverage, and coverage.
        height: in metres.
    """

    layers: Tensor
    height: float

    @property
    def width(self) -> float:
        """In metres."""
        return self.height * self.layers.shape[2] / self.layers.shape[1]


def tree(rng: np.random.Generator, mood: Mood, height: float) -> Picture:
    """A tree with a round crown."""
    bark: Colour = (0.16, 0.10, 0.06)
    parts = [
        Part((0, 0, 0), (0.04, 0.45 * height, 0), (0.13, 0.09), bark),
        Part((0.04, 0.4 * height, 0), (-0.4, 0.62 * height, 0), (0.07, 0.04), bark),
        Part((0.04, 0.4 * height, 0), (0.45, 0.66 * height, 0), (0.07, 0.04), bark),
    ]
    parts += _crown(rng, mood, 34, (0.0, 0.64 * height), (0.28 * height, 0.22 * height), 0.1 * height)
    return _drawn(rng, mood, parts, height, 0.05 * height)


def bush(rng: np.random.Generator, mood: Mood) -> Picture:
    """A bush, wider than high."""
    return _drawn(rng, mood, _crown(rng, mood, 24, (0.0, 0.4), (0.75, 0.33), 0.24), 1.1, 0.07)


def _crown(
    rng: np.random.Generator,
    mood: Mood,
    count: int,
    middle: tuple[float, float],
    reach: tuple[float, float],
    size: float,
) -> list[Part]:
    """Balls of leaves, spread over an ellipse."""
    parts = []
    for _ in range(count):
        angle, share = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform())
        x, y = middle[0] + reach[0] * share * math.cos(angle), middle[1] + reach[1] * share * math.sin(angle)
        z, radius = 0.8 * reach[0] * math.sqrt(1 - share**2) * rng.uniform(-0.3, 1), size * rng.uniform(0.7, 1.25)
        tone = rng.uniform(0.8, 1.15)
        leaf: Colour = tuple(tone * c for c in mood.leaves)  # type: ignore[assignment]
        parts.append(Part((x, y, z), (x + 0.01, y, z), (radius, radius), leaf))
    return parts


def _drawn(rng: np.random.Generator, mood: Mood, parts: list[Part], height: float, rough: float) -> Picture:
    """Draw something green once; `rough` metres of leaves make its outline uneven."""
    body, rows = Body(parts, melt=0.12 * height / 4), 256
    half = max(abs(x) + reach for x, _, reach in (part.disc() for part in parts)) + rough
    columns = int(rows * 2 * half / height)
    grid = Grid((rows, columns), columns / 2, rows, rows / height)
    x, y = grid.points(slice(0, rows), slice(0, columns))
    x, y = x.expand(rows, columns), y.expand(rows, columns)
    leaves = torch.stack([cloudy(rng, 256, 256, 0.55), cloudy(rng, 256, 256, 1.0)])
    grain = sample(leaves, x / (0.32 * height), y / (0.32 * height))
    surface = body.surface(grid)
    leafy = (surface.colour[1] > surface.colour[0]).float()
    inside = surface.inside + (grain[0] + grain[1]) * rough * 0.35 * leafy - 0.4 * rough * leafy
    colour = surface.colour * (1 + 0.3 * grain[0] * leafy).clamp_min(0.3)
    deep = (0.75 + 0.25 * (y / height)) * (1 + 0.12 * grain[1] * leafy)
    cover = (inside * rows / height + 0.5).clamp(0, 1)[None]
    return Picture(torch.cat([shade(surface, mood.light, colour) * deep * cover, cover]), height)


def blades(rng: np.random.Generator, mood: Mood) -> Tensor:
    """A repeating strip of grass, 4 x h x w: colour times coverage, and coverage; its roots are in the last row."""
    strip = torch.zeros(4, 96, 1024)
    for _ in range(520):
        tall, lean = 96 * rng.uniform(0.25, 0.98) * rng.uniform(0.6, 1), rng.normal(0, 0.35)
        _blade(strip, rng.uniform(0, 1024), tall, lean * tall, rng.uniform(1.6, 3.6), mood, rng.uniform(0.35, 1.0))
    blurred = functional.pad(functional.pad(strip[None], (2, 2, 0, 0), mode="circular"), (0, 0, 2, 2), mode="replicate")
    return functional.avg_pool2d(blurred, 5, 1)[0]


def tuft(rng: np.random.Generator, mood: Mood, flower: Colour | None) -> Picture:
    """A few blades, or flowers among them."""
    strip = torch.zeros(4, 64, 80)
    for _ in range(26):
        tall = 60 * rng.uniform(0.4, 0.95 if flower is None else 0.6)
        _blade(
            strip, rng.normal(40, 9), tall, rng.normal(0, 0.4) * tall, rng.uniform(1.0, 2.2), mood, rng.uniform(0.5, 1)
        )
    for _ in range(0 if flower is None else 4):
        root, tall, lean = rng.normal(40, 9), 60 * rng.uniform(0.6, 0.95), rng.normal(0, 12)
        _blade(strip, root, tall, lean, 1.2, mood, 0.8)
        _blossom(strip, root + lean, 64 - tall, rng.uniform(4.5, 6.5), flower, mood)  # type: ignore[arg-type]
    fade = torch.arange(63.5, 0, -1)[:, None] / 12  # the roots end between other grass
    return Picture(strip * fade.clamp(0, 1), 0.3)


def _blade(
    strip: Tensor, root: float, tall: float, lean: float, thick: float, mood: Mood, tone: float
) -> None:  # fmt: skip
    """Draw a blade of grass from the strip's last row up, in place; columns repeat."""
    height, width = strip.shape[1:]
    rows = torch.arange(height)[:, None] + 0.5
    columns = torch.arange(int(min(root, root + lean) - 6), int(max(root, root + lean) + 6))
    share = ((height - rows) / tall).clamp(0, 1.2)
    middle = root + lean * share**2
    cover = (thick * (1 - share).clamp(0) ** 0.7 + 0.5 - (columns[None] + 0.5 - middle).abs()).clamp(0, 1)
    cover = cover * (share < 1)
    colour = torch.lerp(of(mood.grass[0]) * 0.6, of(mood.grass[1]), tone * (0.3 + 0.7 * share.clamp(0, 1))[None])
    at = columns % width
    strip[:3, :, at] = strip[:3, :, at] * (1 - cover) + colour * of(mood.light.sun) * 1.1 * cover
    strip[3, :, at] = strip[3, :, at] * (1 - cover) + cover


def _blossom(strip: Tensor, column: float, row: float, radius: float, colour: Colour, mood: Mood) -> None:
    """Draw a flower with five petals and a yellow heart, in place."""
    y, x = torch.arange(strip.shape[1])[:, None] + 0.5 - row, torch.arange(strip.shape[2])[None] + 0.5 - column
    distance, angle = torch.hypot(x, 1.5 * y), torch.atan2(y, x)
    petals = (radius * (0.8 + 0.2 * torch.cos(5 * angle)) - distance + 0.5).clamp(0, 1)
    heart = (0.35 * radius - distance + 0.5).clamp(0, 1)
    shown = torch.lerp(of(colour), of((0.8, 0.5, 0.06)), heart) * of(mood.light.sun) * (1 - 0.03 * y.clamp(-6, 6))
    strip[:3] = strip[:3] * (1 - petals) + shown * petals
    strip[3] = strip[3] * (1 - petals) + petals
