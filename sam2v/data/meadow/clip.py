"""The clip: who walks where, how the camera follows, and the picture of every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sam2v.data.meadow.camera import Camera
from sam2v.data.meadow.figures import CHILD_STRIDE, FOX_STRIDE, bird, child, fox
from sam2v.data.meadow.landscape import Landscape
from sam2v.data.meadow.light import Shadow
from sam2v.data.meadow.moods import BIRDS, DRESSES, FOXES, MOODS
from sam2v.data.meadow.noise import cloudy, sample
from sam2v.data.meadow.solids import Body, shade

FPS = 12.0


@dataclass(frozen=True)
class Actor:
    """One figure in one frame.

    Attributes:
        number: of the object.
        body: its pose. x, y, distance: where its origin is. side: -1: it looks to the left.
        fur: how strong its skin's grain is.
    """

    number: int
    body: Body
    x: float
    y: float
    distance: float
    side: int
    fur: float


class MeadowClip:
    """A clip's scene.

    Args:
        size: (height, width) in pixels.
        frames: how many frames the story takes.
        seed: decides details and colours, not the story.
    """

    def __init__(self, size: tuple[int, int], frames: int, seed: int) -> None:
        rng = np.random.default_rng([seed, 7])
        self.size, self.frames, self.mood = size, frames, MOODS[seed % len(MOODS)]
        self.landscape = Landscape(rng, self.mood)
        self.grain = cloudy(rng, 256, 256, 0.9, 0.4)[None]
        self.offsets = rng.uniform(0, 2 * math.pi, 8)
        # drawn last: how many numbers it takes depends on the size
        self.noise = torch.from_numpy(rng.standard_normal((3, *size)).astype(np.float32))
        turn = seed // 3  # of moods; each brings them with others
        self.coat, self.dress = FOXES[(seed + turn) % 3], DRESSES[(seed + 2 * turn) % 3]
        self.plumage = BIRDS[(seed + turn // 3) % 3]

    def camera(self, t: float) -> Camera:
        """The view at a time from 0 to 1."""
        height, width = self.size
        a, b, c, d = self.offsets[:4]
        wide = min(width, height * 16 / 9)
        calm = t * t * (3 - 2 * t)
        return Camera(
            self.size,
            -0.3 + 0.75 * calm + 0.012 * math.sin(9 * t + a),
            0.92 + 0.02 * math.sin(5 * t + b),
            0.80 * wide * (1 + 0.05 * calm),
            0.45 * height + 0.008 * height * math.sin(7 * t + c),
            0.008 * math.sin(6 * t + d),
        )

    def actors(self, t: float) -> list[Actor]:
        """Everybody at a time from 0 to 1, from far to near."""
        walked, strolled = 2.95 * t, 1.0 * t
        away = _ease((t - 0.04) / 0.36) - _ease((t - 0.56) / 0.32)
        seconds = t * self.frames / FPS
        return [
            Actor(1, child(strolled / CHILD_STRIDE, self.dress), 1.0 - strolled, 0.0, 4.7, -1, 0.06),
            Actor(2, bird(0.6 * seconds, self.plumage), 0.95 + 2.6 * away, 1.4 + 0.1 * math.sin(5 * t), 3.9,
                  1 if t < 0.5 else -1, 0.04),
            Actor(0, fox(walked / FOX_STRIDE, self.coat), walked - 1.35, 0.0, 3.75 - 0.45 * t, 1, 0.1),
        ]  # fmt: skip

    def frame(self, number: int) -> tuple[Tensor, Tensor]:
        """Picture 3 x H x W uint8 and masks 3 x H x W."""
        t = number / max(1, self.frames - 1)
        camera, actors, seconds = self.camera(t), self.actors(t), number / FPS
        light = self.mood.light
        shadows = [Shadow(a.body, a.x, a.y, a.distance, a.side, light) for a in actors]
        canvas = self.landscape.draw(camera, shadows, seconds)
        covers = torch.zeros(len(actors), *self.size)
        far = math.inf
        for actor in sorted(actors, key=lambda a: -a.distance):
            self._tufts(canvas, covers, camera, far, actor.distance)
            self._actor(canvas, covers, camera, actor)
            far = actor.distance
        self._tufts(canvas, covers, camera, far, 0.0)
        rows, colour, cover = self.landscape.near_grass(camera, seconds)
        canvas[:, rows] = canvas[:, rows] * (1 - cover) + colour
        covers[:, rows] *= 1 - cover
        return self._developed(canvas, number), covers >= 0.5

    def draw(self) -> tuple[Tensor, Tensor]:
        """All frames: T x 3 x H x W uint8, and masks T x M x H x W bool."""
        pictures, masks = zip(*(self.frame(number) for number in range(self.frames)), strict=True)
        return torch.stack(pictures), torch.stack(masks)

    def _tufts(self, canvas: Tensor, covers: Tensor, camera: Camera, far: float, near: float) -> None:
        for plant in self.landscape.tufts(far, near):
            (rows, columns), cover = self.landscape.stand(canvas, camera, plant)
            covers[:, rows, columns] *= 1 - cover

    def _actor(self, canvas: Tensor, covers: Tensor, camera: Camera, actor: Actor) -> None:
        plane = camera.plane(actor.x, actor.distance, actor.side, actor.y)
        rows, columns = plane.window(*actor.body.disc())
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return
        surface = actor.body.surface(plane.cut(rows, columns))
        fur = sample(self.grain, surface.skin[0] * 1.6, surface.skin[1] * 4)[0]
        light = self.mood.light if actor.side > 0 else self.mood.light.mirrored()  # the plane is, the sun is not
        drawn = shade(surface, light, surface.colour * (1 + actor.fur * fur))
        cover = (surface.inside * plane.scale + 0.5).clamp(0, 1)
        canvas[:, rows, columns] = torch.lerp(canvas[:, rows, columns], drawn, cover)
        covers[:, rows, columns] *= 1 - cover
        covers[actor.number, rows, columns] += cover

    def _developed(self, canvas: Tensor, number: int) -> Tensor:
        """Film: a tone curve (Narkowicz's fit of ACES), darker corners, and grain."""
        height, width = self.size
        y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
        colour = canvas.clamp_min(0) * 0.9 * (1 - 0.14 * (x * x + y * y))
        colour = (colour * (2.51 * colour + 0.03)) / (colour * (2.43 * colour + 0.59) + 0.14)
        colour = colour.clamp(1e-4, 1) ** (1 / 2.2)
        shift = (37 * number % height, 91 * number % width)
        colour = colour + 0.008 * self.noise.roll(shift, (1, 2))
        return (colour.clamp(0, 1) * 255).round().to(torch.uint8)


def _ease(t: float) -> float:
    t = min(1.0, max(0.0, t))
    return t * t * (3 - 2 * t)
