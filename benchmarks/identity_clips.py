"""Drawn clips on which identity is easily lost, with exact masks: every clip follows from its group and seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.data.synthetic.fields import make_fields
from sam2v.data.synthetic.looks import Looks, draw_looks, sample_looks
from sam2v.data.synthetic.shapes import EXTENT, Silhouettes, draw_silhouettes, sample_silhouettes

#: Groups, and how many frames a clip of each has.
GROUPS = {"crossing": 36, "return": 56, "occlusion": 48, "scale": 36, "long": 1000}
_HEIGHT, _WIDTH = 216, 384
_SIDE = 128  # of a figure's picture
#: The object's mean colour differs so much from the ground's, and the look-alike has so much of the object's look.
_CONTRAST, _ALIKE = 0.3, (0.4, 0.9)


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
    ground, figures = _looks(rng)
    where, bar = _PATHS[group](rng, count)
    pictures, masks = zip(*(_drawn(ground, figures, where, bar, t) for t in range(count)), strict=True)
    return IdentityClip(np.stack(pictures), np.stack(masks))


_Path = Callable[[int], tuple[_Place, _Place]]
_Bar = tuple[float, float] | None


def _crossing(rng: np.random.Generator, count: int) -> tuple[_Path, _Bar]:
    """Two look-alikes pass each other, the other one in front."""
    top, lean, radius = rng.uniform(80, 130), rng.uniform(-12, 12), rng.uniform(22, 32)

    def at(t: int) -> tuple[_Place, _Place]:
        swing = 110 * np.cos(np.pi * t / count)
        return _Place(192 - swing, top, radius), _Place(192 + swing, top + lean, radius)

    return at, None


def _return(rng: np.random.Generator, count: int) -> tuple[_Path, _Bar]:
    """The object leaves on one side, stays away for longer than memories and pointers last, and comes back on the other
    side at another height; the look-alike stays in the picture."""
    first, later = rng.permutation([60.0, 150.0]) + rng.uniform(-10, 10, 2)
    radius = rng.uniform(22, 30)

    def at(t: int) -> tuple[_Place, _Place]:
        share = t / count
        x = 100 - 550 * share if share < 0.5 else _WIDTH + 40 - 500 * max(0.0, share - 0.65)
        return _Place(x, first if share < 0.5 else later, radius), _Place(240 + 30 * np.sin(9 * share), 108, radius)

    return at, None


def _occlusion(rng: np.random.Generator, count: int) -> tuple[_Path, _Bar]:
    """The object goes behind a bar for longer than six memories last; the look-alike is where it comes out."""
    top, radius = rng.uniform(70, 140), rng.uniform(20, 26)

    def at(t: int) -> tuple[_Place, _Place]:
        return _Place(60 + 260 * t / count, top, radius), _Place(330 - 60 * t / count, 216 - top, radius)

    return at, (130.0, 240.0)


def _scale(rng: np.random.Generator, count: int) -> tuple[_Path, _Bar]:
    """The object becomes several times larger and smaller while the look-alike passes."""
    least, most = rng.uniform(14, 18), rng.uniform(55, 75)

    def at(t: int) -> tuple[_Place, _Place]:
        radius = least + (most - least) * np.sin(np.pi * t / count) ** 2
        return _Place(150 + 60 * t / count, 108, radius), _Place(370 - 360 * t / count, 60, 24)

    return at, None


def _long(rng: np.random.Generator, count: int) -> tuple[_Path, _Bar]:
    """Both wander over the picture and meet again and again, behind a bar too."""
    speeds, shifts, radius = rng.uniform(0.02, 0.05, 4), rng.uniform(0, 6, 4), rng.uniform(22, 28)

    def at(t: int) -> tuple[_Place, _Place]:
        x, y, u, v = np.sin(speeds * t + shifts)
        return _Place(192 + 150 * x, 108 + 70 * y, radius), _Place(192 + 150 * u, 108 + 70 * v, radius)

    return at, (170.0, 215.0)


_PATHS = {"crossing": _crossing, "return": _return, "occlusion": _occlusion, "scale": _scale, "long": _long}


def _looks(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A ground, 3 x S x S, and two figures of one outline, 2 x 4 x side x side with their cover as the last plane: the
    second one's colours are partly the first one's."""
    fields_ = make_fields([rng], _WIDTH, torch.device("cpu"))
    ground = draw_looks(_tensors(sample_looks(rng, 1)), fields_, _WIDTH)[0, 0].clamp(0, 1)
    outline = _tensors(sample_silhouettes(rng, 1, sticks=0.0))
    cover, _ = draw_silhouettes(
        Silhouettes(**{k: v[0] for k, v in vars(outline).items()}), fields_[:, 0, :_SIDE, :_SIDE]
    )
    while True:
        own, other = draw_looks(_tensors(sample_looks(rng, 2)), fields_, _SIDE)[0].clamp(0, 1)
        mean = (own * cover).sum((1, 2)) / cover.sum()
        if (mean - ground.mean((1, 2))).norm() > _CONTRAST:
            break
    alike = own.lerp(other, 1 - rng.uniform(*_ALIKE))
    return ground, torch.stack([torch.cat([colour, cover]) for colour in (own, alike)])


def _tensors(parameters: Looks | Silhouettes) -> Any:
    """The same parameters as tensors, with a batch axis."""
    made = {f.name: torch.as_tensor(getattr(parameters, f.name))[None] for f in fields(parameters)}
    return type(parameters)(**{k: v.float() if v.is_floating_point() else v for k, v in made.items()})


def _drawn(ground: Tensor, figures: Tensor, where: _Path, bar: _Bar, t: int) -> tuple[np.ndarray, np.ndarray]:
    """One frame, and what is visible of both: the look-alike lies over the object, the bar over both."""
    picture = ground.roll(t // 2, 2)[:, :_HEIGHT]
    y, x = torch.meshgrid(torch.arange(_HEIGHT) + 0.5, torch.arange(_WIDTH) + 0.5, indexing="ij")
    shapes = []
    for place, figure in zip(where(t), figures, strict=True):
        grid = torch.stack([x - place.x, y - place.y], dim=2) * (EXTENT / place.radius)
        colour = F.grid_sample(figure[None], grid[None], align_corners=False)[0]
        picture = picture.lerp(colour[:3], colour[3])
        shapes.append((colour[3] >= 0.5).numpy())
    masks = np.stack([shapes[0] & ~shapes[1], shapes[1]])
    if bar is not None:
        left, right = map(int, bar)
        picture = picture.clone()
        picture[..., left:right], masks[..., left:right] = 0.35, False
    return (255 * picture).permute(1, 2, 0).clamp(0, 255).byte().numpy(), masks
