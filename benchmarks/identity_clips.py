"""Drawn clips on which identity is easily lost, with exact masks: every clip follows from its group and seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: Groups, and how many frames a clip of each has.
GROUPS = {"crossing": 48, "return": 60, "occlusion": 60, "scale": 48, "long": 1000}
_HEIGHT, _WIDTH = 216, 384


@dataclass(frozen=True)
class IdentityClip:
    """A clip with two look-alikes, of which the first is to be followed.

    Attributes:
        frames: T x H x W x 3 uint8.
        masks: T x 2 x H x W bool, what is visible of the object and of its look-alike.
    """

    frames: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True)
class _Place:
    """Where something is on a frame: centre (x, y) and radius in pixels."""

    x: float
    y: float
    radius: float


def identity_clip(group: str, seed: int, frames: int | None = None) -> IdentityClip:
    """A clip of a group.

    Args:
        group: one of `GROUPS`. seed: 0 or above. frames: its length; None takes the group's.

    Raises:
        ValueError: an unknown group.
    """
    if group not in GROUPS:
        raise ValueError(f"unknown group {group!r}; known: {', '.join(GROUPS)}")
    count = frames or GROUPS[group]
    rng = np.random.default_rng([seed, list(GROUPS).index(group)])
    ground, look = _texture(rng, 24), _texture(rng, 6)
    other = (0.85 * look + 0.15 * _texture(rng, 6)).astype(np.float32)
    where, bar = _PATHS[group](rng, count)
    pictures, masks = zip(*(_drawn(ground, (look, other), where, bar, t) for t in range(count)), strict=True)
    return IdentityClip(np.stack(pictures), np.stack(masks))


_Path = Callable[[int], tuple[_Place, _Place]]
_Bar = tuple[float, float] | None


def _crossing(rng: np.random.Generator, count: int) -> tuple[_Path, _Bar]:
    """Two look-alikes pass each other twice."""
    top, lean, radius = rng.uniform(80, 130), rng.uniform(-12, 12), rng.uniform(20, 30)

    def at(t: int) -> tuple[_Place, _Place]:
        swing = 120 * np.cos(2 * np.pi * t / count)
        return _Place(192 - swing, top, radius), _Place(192 + swing, top + lean, radius)

    return at, None


def _return(rng: np.random.Generator, count: int) -> tuple[_Path, _Bar]:
    """The object leaves on one side and comes back on the other, at another height."""
    first, later = rng.permutation([60.0, 150.0]) + rng.uniform(-10, 10, 2)
    radius = rng.uniform(20, 28)

    def at(t: int) -> tuple[_Place, _Place]:
        share = t / count
        x = 150 - 900 * share if share < 0.5 else _WIDTH + 40 - 300 * max(0.0, share - 0.7)
        return _Place(x, first if share < 0.5 else later, radius), _Place(260 + 30 * np.sin(9 * share), 108, radius)

    return at, None


def _occlusion(rng: np.random.Generator, count: int) -> tuple[_Path, _Bar]:
    """The object goes behind a bar for longer than six memories last, the look-alike stays in front of it."""
    top, radius = rng.uniform(70, 140), rng.uniform(18, 24)

    def at(t: int) -> tuple[_Place, _Place]:
        return _Place(40 + 300 * t / count, top, radius), _Place(330 - 60 * t / count, 216 - top, radius)

    return at, (130.0, 250.0)


def _scale(rng: np.random.Generator, count: int) -> tuple[_Path, _Bar]:
    """The object becomes several times larger and smaller while the look-alike passes."""
    least, most = rng.uniform(9, 13), rng.uniform(50, 70)

    def at(t: int) -> tuple[_Place, _Place]:
        radius = least + (most - least) * np.sin(np.pi * t / count) ** 2
        return _Place(150 + 60 * t / count, 108, radius), _Place(370 - 360 * t / count, 60, 22)

    return at, None


def _long(rng: np.random.Generator, count: int) -> tuple[_Path, _Bar]:
    """Both wander over the picture and meet again and again, behind a bar too."""
    speeds, shifts, radius = rng.uniform(0.02, 0.05, 4), rng.uniform(0, 6, 4), rng.uniform(20, 26)

    def at(t: int) -> tuple[_Place, _Place]:
        x, y, u, v = np.sin(speeds * t + shifts)
        return _Place(192 + 150 * x, 108 + 70 * y, radius), _Place(192 + 150 * u, 108 + 70 * v, radius)

    return at, (170.0, 215.0)


_PATHS = {"crossing": _crossing, "return": _return, "occlusion": _occlusion, "scale": _scale, "long": _long}


def _texture(rng: np.random.Generator, cell: int) -> np.ndarray:
    """Soft coloured noise, H x W x 3 float32 in [0, 255]."""
    coarse = rng.uniform(20, 235, (_HEIGHT // cell + 2, _WIDTH // cell + 2, 3)).astype(np.float32)
    y, x = np.arange(_HEIGHT) / cell, np.arange(_WIDTH) / cell
    rows, columns = y.astype(int), x.astype(int)
    down, right = (y - rows)[:, None, None], (x - columns)[None, :, None]
    upper = coarse[rows][:, columns] * (1 - right) + coarse[rows][:, columns + 1] * right
    lower = coarse[rows + 1][:, columns] * (1 - right) + coarse[rows + 1][:, columns + 1] * right
    found: np.ndarray = upper * (1 - down) + lower * down
    return found


def _drawn(
    ground: np.ndarray, looks: tuple[np.ndarray, np.ndarray], where: _Path, bar: _Bar, t: int
) -> tuple[np.ndarray, np.ndarray]:
    """One frame, and what is visible of both: the look-alike lies over the object, the bar over both."""
    y, x = np.mgrid[:_HEIGHT, :_WIDTH].astype(np.float32)
    picture, shapes = np.roll(ground, t // 2, axis=1), []
    for place, look in zip(where(t), looks, strict=True):
        inside = (x - place.x) ** 2 + (y - place.y) ** 2 < place.radius**2
        moved = np.roll(look, (round(place.y), round(place.x)), axis=(0, 1))
        picture = np.where(inside[..., None], 0.6 * moved + 70, picture)
        shapes.append(inside)
    masks = np.stack([shapes[0] & ~shapes[1], shapes[1]])
    if bar is not None:
        hidden = (x >= bar[0]) & (x < bar[1])
        picture = np.where(hidden[..., None], 90.0, picture)
        masks &= ~hidden
    return picture.clip(0, 255).astype(np.uint8), masks
