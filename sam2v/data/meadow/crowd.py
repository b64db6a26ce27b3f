"""Six who cross each other in the meadow, leave and return: what is to be found when everything is to be found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sam2v.data.meadow.clip import FPS, Actor, MeadowClip
from sam2v.data.meadow.figures import CHILD_STRIDE, FOX_STRIDE, bird, child, fox
from sam2v.data.meadow.moods import BIRDS, DRESSES, FOXES
from sam2v.data.meadow.solids import Body

Kind = Literal["fox", "child", "bird"]
Way = Literal["crosses", "returns", "enters", "stays"]

_KINDS: tuple[Kind, ...] = ("fox", "child", "bird", "fox", "child", "bird")
_WAYS: tuple[Way, ...] = ("crosses", "crosses", "returns", "returns", "enters", "stays")
#: Half of what the camera sees of a plane, as a share of its distance, and how far beyond it one is out of sight.
_HALF_VIEW, _BEYOND = 0.63, 0.9


@dataclass(frozen=True)
class Walk:
    """How one of them moves.

    Attributes:
        kind: who it is. look: which of its colours. way: what it does.
        start: where it is at first, in metres from the middle of what is seen. reach: how far it goes, with a sign.
        distance: from the camera. height: above the ground. phase: of its gait at first.
    """

    kind: Kind
    look: int
    way: Way
    start: float
    reach: float
    distance: float
    height: float
    phase: float

    def place(self, t: float) -> float:
        """Where it is at a time from 0 to 1."""
        share = math.sin(math.pi * t) ** 2 if self.way == "returns" else t
        return self.start + self.reach * share

    def walked(self, t: float) -> float:
        """How far it has gone by then."""
        share = math.sin(math.pi * t) ** 2 if self.way == "returns" else t
        return abs(self.reach) * (share if t < 0.5 or self.way != "returns" else 2 - share)

    def body(self, t: float, seconds: float) -> Body:
        """Its pose."""
        if self.kind == "bird":
            return bird(0.7 * seconds + self.phase, BIRDS[self.look])
        if self.kind == "fox":
            return fox(self.walked(t) / FOX_STRIDE + self.phase, FOXES[self.look])
        return child(self.walked(t) / CHILD_STRIDE + self.phase, DRESSES[self.look])

    def side(self, t: float) -> int:
        """1 where it looks to the right, -1 to the left."""
        forward = 1 if self.reach > 0 else -1
        return -forward if self.way == "returns" and t > 0.5 else forward


class Crowd(MeadowClip):
    """A clip of two foxes, two children and two birds: two cross the picture, two leave and return, one comes in later
    and one stays. Object k is `walks[k]`; arguments as `MeadowClip`, but that the seed decides the story too."""

    def __init__(self, size: tuple[int, int], frames: int, seed: int) -> None:
        super().__init__(size, frames, seed)
        self.walks = _walks(np.random.default_rng([seed, 11]))

    def actors(self, t: float) -> list[Actor]:
        """Everybody at a time from 0 to 1, from far to near."""
        seconds, middle = t * self.frames / FPS, self.camera(t).x
        everybody = [
            Actor(
                number,
                walk.body(t, seconds),
                middle + walk.place(t),
                walk.height + (0.08 * math.sin(5 * t + walk.phase) if walk.kind == "bird" else 0.0),
                walk.distance,
                walk.side(t),
                0.06,
            )
            for number, walk in enumerate(self.walks)
        ]
        return sorted(everybody, key=lambda actor: -actor.distance)


def _walks(rng: np.random.Generator) -> list[Walk]:
    depths = rng.permutation(np.linspace(3.3, 5.6, len(_KINDS)))
    ways = rng.permutation(np.array(_WAYS)).tolist()
    return [_walk(rng, kind, way, float(depth)) for kind, way, depth in zip(_KINDS, ways, depths, strict=True)]


def _walk(rng: np.random.Generator, kind: Kind, way: Way, distance: float) -> Walk:
    edge, forward = _HALF_VIEW * distance, int(rng.choice([-1, 1]))
    start, reach = {
        "crosses": (-forward * rng.uniform(0.5, 0.8) * edge, forward * rng.uniform(1.1, 1.6) * edge),
        "returns": (rng.uniform(-0.5, 0.5) * edge, 0.0),
        "enters": (-forward * (edge + _BEYOND), forward * rng.uniform(1.3, 1.8) * edge),
        "stays": (rng.uniform(-0.6, 0.6) * edge, forward * 0.15 * edge),
    }[way]
    if way == "returns":
        reach = forward * (edge + _BEYOND + 0.3) - start
    height = rng.uniform(1.0, 1.6) if kind == "bird" else 0.0
    return Walk(kind, int(rng.integers(3)), way, start, reach, distance, height, rng.uniform(0, 1))
