"""Where it happens: sky, hills, a meadow with a path, trees, and grass close to the camera."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sam2v.data.meadow.camera import Camera
from sam2v.data.meadow.light import Mood, Shadow, of
from sam2v.data.meadow.noise import cloudy, curve, sample
from sam2v.data.meadow.plants import blades, bush, tree, tuft
from sam2v.data.meadow.solids import Body, Part

_TREES, _BUSHES, _TUFTS = (0, 1), (2, 3), (4, 5, 6, 7)  # kinds of plants


class Plant(NamedTuple):
    """Something that stands in the meadow: its kind, where, and -1 where left and right are exchanged."""

    kind: int
    x: float
    distance: float
    side: int


class Landscape:
    """Everything that does not move by itself; `rng` decides its details."""

    def __init__(self, rng: np.random.Generator, mood: Mood) -> None:
        self.mood = mood
        self.rough = torch.stack([cloudy(rng, 256, 256, 0.7), cloudy(rng, 256, 256, 1.1), cloudy(rng, 256, 256, 1.6)])
        self.clouds = cloudy(rng, 256, 512, 1.55, 0.6)[None]
        self.crests = [cloudy(rng, 1, 256, power)[0] for power in (1.9, 1.6, 1.3)]
        self.pictures = [tree(rng, mood, height) for height in (4.2, 3.4)] + [bush(rng, mood) for _ in _BUSHES]
        self.pictures += [tuft(rng, mood, flower) for flower in (None, None, *mood.flowers)]
        self.blades = blades(rng, mood)
        self.plants = sorted(_grown(rng), key=lambda plant: -plant.distance)
        self.shadows = [_shadow_of(plant, mood) for plant in self.plants if plant.kind not in _TUFTS]

    def draw(self, camera: Camera, shadows: Sequence[Shadow], time: float) -> Tensor:
        """All that lies behind the figures: 3 x H x W; `time` in seconds drives the clouds."""
        height, width = camera.shape
        tilt = math.ceil(abs(math.sin(camera.roll)) * width / 2) + 2
        above = slice(0, min(height, math.ceil(camera.horizon) + tilt))
        below = slice(max(0, math.floor(camera.horizon) - tilt), height)
        canvas = torch.zeros(3, height, width)
        canvas[:, above] = self._sky(*camera.rays(above), time)
        ridge = slice(max(0, math.floor(camera.horizon - 0.14 * camera.focal) - tilt), above.stop)
        canvas[:, ridge] = self._hills(canvas[:, ridge], camera, *camera.rays(ridge))
        x, up = camera.rays(below)
        canvas[:, below] = torch.lerp(canvas[:, below], *self._ground(camera, x, up, shadows))
        for plant in self.plants:
            if plant.kind not in _TUFTS:
                self.stand(canvas, camera, plant)
        return canvas

    def _sky(self, x: Tensor, up: Tensor, time: float) -> Tensor:
        mood = self.mood
        rise = up.clamp_min(0)
        colour = torch.lerp(of(mood.haze), of(mood.middle), _smooth(-0.02, 0.14, rise))
        colour = torch.lerp(colour, of(mood.zenith), _smooth(0.06, 0.5, rise))
        sun_x, sun_y, _ = mood.light.direction
        glow = torch.exp(-3.5 * ((x - sun_x) ** 2 + (up - 0.55 * sun_y) ** 2))
        colour = colour + glow * of(mood.glow)
        far = 1 / (rise + 0.16)
        across, away = 0.1 * x * far + 0.004 * time, 0.13 * far
        field, towards = sample(self.clouds, across, away)[0], sample(self.clouds, across - 0.012, away + 0.01)[0]
        cover = _smooth(0.5, 1.6, field) * _smooth(0.02, 0.14, rise) * 0.9
        return torch.lerp(colour, of(mood.cloud) * (0.86 + 0.22 * (field - towards)).clamp(0.6, 1.15), cover)

    def _hills(self, canvas: Tensor, camera: Camera, x: Tensor, up: Tensor) -> Tensor:
        """Three ridges before the sky, the farther the hazier."""
        mood = self.mood
        for crest, far, high, veil in zip(self.crests, (160.0, 80.0, 38.0), (12.0, 5.0, 1.9), (0.62, 0.36, 0.16)):
            across, height = camera.x + x * far, camera.y + up * far
            top = high * (0.75 + 0.35 * curve(crest, across / (3.0 * far)))
            cover = ((top - height) * camera.focal / far + 0.5).clamp(0, 1)
            woods = sample(self.rough[:2], across / (0.35 * far), height / (0.2 * far))
            green = torch.lerp(of(mood.grass[0]), of(mood.leaves), (0.5 + 0.3 * woods[1]).clamp(0, 1))
            colour = torch.lerp(green * (1.15 + 0.2 * woods[0]), of(mood.distance), veil)
            canvas = torch.lerp(canvas, colour, cover)
        return canvas

    def _ground(self, camera: Camera, x: Tensor, up: Tensor, shadows: Sequence[Shadow]) -> tuple[Tensor, Tensor]:
        """The meadow and its coverage."""
        mood, light = self.mood, self.mood.light
        far = camera.y / (-up).clamp_min(1e-3)
        across = camera.x + x * far
        broad = sample(self.rough[2:], across / 9, far / 14)[0]
        fine = sample(self.rough[:1], across / 1.1, far / 2.6)[0] * torch.exp(-far / 7)
        blade = sample(self.rough[:1], across / 0.45, far / 1.7 + 0.3)[0] * torch.exp(-far / 3)
        tuft = sample(self.rough[1:2], across / 2.3, far / 4)[0] * torch.exp(-far / 30)
        tone = 0.45 + 0.2 * broad + 0.16 * fine + 0.18 * tuft + 0.16 * blade
        colour = torch.lerp(of(mood.grass[0]), of(mood.grass[1]), tone.clamp(0, 1))
        middle = 7.4 + 0.5 * torch.sin(0.5 * across) + 0.1 * across
        path = _smooth(-0.12, 0.12, 0.45 + 0.1 * fine + 0.12 * tuft - (far - middle).abs())
        colour = torch.lerp(colour, of(mood.sand) * (1 + 0.14 * fine + 0.1 * tuft + 0.08 * blade), path)
        lit = torch.ones_like(far)
        for shadow in (*shadows, *self.shadows):
            shadow.fall(lit, across, far)
        colour = colour * (of(light.sun) * 0.95 * lit + of(light.sky) * (0.6 + 0.4 * lit))
        veil = 0.55 * (1 - torch.exp(-(far - 4).clamp_min(0) / 50))
        return torch.lerp(colour, of(mood.distance), veil), (-up * camera.focal + 0.5).clamp(0, 1)

    def stand(self, canvas: Tensor, camera: Camera, plant: Plant) -> tuple[tuple[slice, slice], Tensor]:
        """Draw a plant in place; returns the rows and columns where that is, and its coverage there."""
        picture, distance = self.pictures[plant.kind], plant.distance
        height, width = picture.height, picture.width
        plane = camera.plane(plant.x, distance, plant.side)
        rows, columns = plane.window(0, height / 2, math.hypot(width, height) / 2)
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return (rows, columns), torch.zeros(())
        across, up = plane.points(rows, columns)
        grid = torch.stack([across / width * 2, 1 - up / height * 2], dim=-1)[None]
        drawn = functional.grid_sample(picture.layers[None], grid, align_corners=False)[0]
        colour = torch.lerp(drawn[:3], of(self.mood.distance) * drawn[3:], 1 - math.exp(-distance / 70))
        canvas[:, rows, columns] = colour.addcmul_(canvas[:, rows, columns], 1 - drawn[3:])
        return (rows, columns), drawn[3]

    def tufts(self, far: float, near: float) -> list[Plant]:
        """Tufts of grass in a range of distances, from far to near."""
        return [plant for plant in self.plants if plant.kind in _TUFTS and near <= plant.distance < far]

    def near_grass(self, camera: Camera, time: float) -> tuple[slice, Tensor, Tensor]:
        """Blades close to the camera, out of focus: rows, colour times coverage, and coverage."""
        lowest = float(camera.rays(slice(camera.shape[0] - 1, camera.shape[0]))[1].max())
        distance = min(1.9, 0.9 * camera.y / max(0.1, -lowest))  # so that the roots are out of sight
        high, span = 0.2 * distance, 1.9 * distance
        top = camera.plane(camera.x, distance).place(0, high)[1]
        tilt = abs(math.sin(camera.roll)) * camera.shape[1] / 2
        rows = slice(min(max(0, math.floor(top - tilt)), camera.shape[0]), camera.shape[0])
        x, up = camera.rays(rows)
        height = camera.y + up * distance
        wind = 0.012 * math.sin(1.7 * time) / high
        across = (camera.x + x * distance + wind * height) / span
        drawn = sample(self.blades, across, (1 - height / high).clamp(0, 0.998)) * (height < high)
        return rows, drawn[:3], drawn[3]


def _shadow_of(plant: Plant, mood: Mood) -> Shadow:
    if plant.kind in _TREES:
        trunk = Part((0, 0, 0), (0, 1.8, 0), (0.14, 0.12), mood.leaves)
        parts = [trunk, Part((-0.5, 2.6, 0), (0.5, 2.8, 0), (0.8, 0.9), mood.leaves)]
    else:
        parts = [Part((-0.45, 0.35, 0), (0.45, 0.35, 0), (0.42, 0.42), mood.leaves)]
    return Shadow(Body(parts, 0.1), plant.x, 0.0, plant.distance, plant.side, mood.light)


def _grown(rng: np.random.Generator) -> Iterator[Plant]:
    """What stands in the meadow: a few plants where they suit the picture, the others anywhere."""
    yield from (Plant(0, -4.1, 10.5, 1), Plant(1, 5.6, 13.0, -1), Plant(2, -2.0, 10.0, 1), Plant(3, 4.4, 11.5, -1))
    for count, kinds, wide, near, far in (
        (8, _TREES, 17, 25, 31),
        (7, _BUSHES, 11, 15, 21),
        (40, _TUFTS, 5.5, 5.2, 10),
        (16, _TUFTS, 3.4, 2.5, 5.2),
    ):
        for _ in range(count):
            where = rng.uniform(-wide, wide), rng.uniform(near, far)
            yield Plant(int(rng.choice(kinds)), *where, int(rng.choice([-1, 1])))


def _smooth(low: float, high: float, value: Tensor) -> Tensor:
    """0 below `low`, 1 above `high`, smooth between."""
    part = ((value - low) / (high - low)).clamp(0, 1)
    return part * part * (3 - 2 * part)
