"""A scene: everything random about a clip, drawn from one generator, as arrays; and its stacking into tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from sam2v.data.synthetic.config import SyntheticConfig
from sam2v.data.synthetic.looks import Looks, sample_looks
from sam2v.data.synthetic.motion import Motion, sample_body, sample_camera, sample_limb, sample_waves
from sam2v.data.synthetic.shapes import Silhouettes, limb_silhouettes, sample_silhouettes

BACKGROUNDS = 3  # textures that share the background
T = TypeVar("T")


@dataclass
class Effects:
    """What happens to the finished frames (per clip) and to layers on the way.

    Attributes:
        light: T, gain per frame; cast: T x 3, colour gains; spot: T x 2, a gradient of light (x, y).
        blur: T x 2, blur of the frames in pixels, as the standard deviations (x, y); 0: none.
        streak: N, motion blur of a layer as a share of its motion per frame; 0: none.
        shadow: N x 3, offset (x, y) and strength of the shadow that a layer throws.
        noise: standard deviation of the sensor's noise; grain: T x 2, where in a fixed pattern it is taken.
        gamma: exponent of the tone curve.
    """

    light: Any
    cast: Any
    spot: Any
    blur: Any
    streak: Any
    shadow: Any
    noise: Any
    grain: Any
    gamma: Any


@dataclass
class Scene:
    """One clip's scene; N layers from back to front, C clutter shapes.

    Attributes:
        owner: N, body that a layer belongs to, -1 = the layer is not there.
        clutter_pose: C x 5, pose of painted shapes in the background (x, y, half extents x and y, angle).
        division: 4 values that divide the background: slopes x and y, share of the field, sharpness.
        cutout: N, index of an annotated region that replaces silhouette and texture, -1 = none.
        blend: N x 2, how far a cut-out's mean colour moves to the background's (0 to 1), and in which of 16 places.
        clutter_cutout: C, the same as `cutout` for the painted shapes.
    """

    owner: Any
    shapes: Silhouettes
    looks: Looks
    motion: Motion
    clutter_shapes: Silhouettes
    clutter_looks: Looks
    clutter_pose: Any
    ground: Looks
    division: Any
    cutout: Any
    blend: Any
    clutter_cutout: Any
    effects: Effects


def sample_scene(rng: np.random.Generator, config: SyntheticConfig, photographs: int = 0, cutouts: int = 0) -> Scene:
    """Draw a scene; equal generators give equal scenes."""
    motion = config.motion * math.exp(rng.normal(0, 0.4))
    bodies = int(rng.integers(min(config.fewest_bodies, config.bodies), config.bodies + 1))
    owner, is_limb = _order_layers(rng, config, bodies)
    count = len(owner)
    shapes, limbs = sample_silhouettes(rng, count), limb_silhouettes(rng, count)
    for field in fields(Silhouettes):
        mask = is_limb.reshape(-1, *[1] * (getattr(shapes, field.name).ndim - 1))
        setattr(shapes, field.name, np.where(mask, getattr(limbs, field.name), getattr(shapes, field.name)))
    ground = sample_looks(rng, BACKGROUNDS, photographs, config.photographs)
    if ground.photo[0] >= 0 and rng.uniform() < 0.75:  # one photograph fills the background
        for row in range(1, BACKGROUNDS):
            ground.copy_row(0, row)
    looks = sample_looks(rng, count, photographs, config.photographs)
    _camouflage(rng, looks, ground, config.camouflage)
    cutout = np.where(
        rng.uniform(size=count) < (config.cutouts if cutouts else 0), rng.integers(0, max(cutouts, 1), count), -1
    )
    cutout[is_limb] = -1
    _dress(rng, config, owner, is_limb, shapes, looks, cutout)
    clutter = config.clutter
    clutter_looks = sample_looks(rng, clutter, photographs, config.photographs)
    _camouflage(rng, clutter_looks, ground, 0.7)
    blend, clutter_cutout = np.zeros((count, 2)), np.full(clutter, -1)
    if cutouts:
        blend = _sample_blend(rng, count, config.camouflage)
        clutter_cutout = _strew(rng, clutter, cutout, cutouts, config)
    return Scene(
        owner=owner,
        shapes=shapes,
        looks=looks,
        motion=_sample_motion(rng, config, owner, is_limb, motion),
        clutter_shapes=sample_silhouettes(rng, clutter),
        clutter_looks=clutter_looks,
        clutter_pose=np.concatenate(
            [
                rng.uniform(-1, 1, (clutter, 2)),
                np.exp(rng.normal(-1.5, 0.6, (clutter, 2))),
                rng.uniform(0, 6.3, (clutter, 1)),
            ],
            axis=1,
        ),
        ground=ground,
        division=np.array(
            [rng.normal(0, 0.5), rng.normal(0, 1.5), rng.uniform(0, 1.0), math.exp(rng.uniform(0.5, 3.5))]
        ),
        cutout=cutout,
        blend=blend,
        clutter_cutout=clutter_cutout,
        effects=_sample_effects(rng, config, count),
    )


def _order_layers(rng: np.random.Generator, config: SyntheticConfig, bodies: int) -> tuple[np.ndarray, np.ndarray]:
    """Owners of the layers from back to front, and which are limbs; limbs lie right below or above their body."""
    hosts = rng.integers(0, bodies, config.limbs)
    if bodies > 1 and rng.uniform() < 0.5:  # one body with many limbs
        hosts[:] = hosts[:1].repeat(len(hosts))
    hosts = np.where(rng.uniform(size=len(hosts)) < 0.8, hosts, -1)
    layers: list[tuple[int, bool]] = []
    for body in range(bodies):
        mine = [(body, True)] * int((hosts == body).sum())
        below = int(rng.integers(0, len(mine) + 1))
        layers += mine[:below] + [(body, False)] + mine[below:]
    layers += [(-1, False)] * (config.layers - len(layers))
    return np.array([owner for owner, _ in layers]), np.array([limb for _, limb in layers])


def _camouflage(rng: np.random.Generator, looks: Looks, ground: Looks, share: float) -> None:
    """Move the colours of a share of the looks close to the background's."""
    count = len(looks.base)
    like = ground.base[rng.integers(0, len(ground.base), count)]
    near = (like + rng.normal(0, 0.05, (count, 2, 1)) + rng.normal(0, 0.03, (count, 2, 3))).clip(0.02, 0.98)
    looks.base = np.where(rng.uniform(size=(count, 1, 1)) < share, near, looks.base)


def _sample_blend(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """Camouflage of cut-outs, whose colours come with them."""
    far = np.where(rng.uniform(size=count) < share, rng.uniform(0.3, 1.0, count), 0.0)
    return np.stack([far, rng.integers(0, 16, count)], axis=1)


def _strew(
    rng: np.random.Generator, clutter: int, bodies: np.ndarray, cutouts: int, config: SyntheticConfig
) -> np.ndarray:
    """Cut-outs that lie in the background: any, or the twins of those that move."""
    chosen = rng.integers(0, cutouts, clutter)
    moving = bodies[bodies >= 0]
    if len(moving):
        chosen = np.where(rng.uniform(size=clutter) < config.look_alike, rng.choice(moving, clutter), chosen)
    return np.where(rng.uniform(size=clutter) < config.cutouts / 2, chosen, -1)


def _dress(
    rng: np.random.Generator, config: SyntheticConfig, owner: np.ndarray, is_limb: np.ndarray,
    shapes: Silhouettes, looks: Looks, cutout: np.ndarray,
) -> None:  # fmt: skip
    """Give limbs their body's look (mostly), and look-alikes another body's shape and look."""
    torso = {int(owner[i]): i for i in range(len(owner)) if owner[i] >= 0 and not is_limb[i]}
    for body, row in torso.items():
        if body and rng.uniform() < config.look_alike:
            twin = torso[int(rng.integers(0, body))]
            looks.copy_row(twin, row)
            cutout[row] = cutout[twin]
            for field in fields(Silhouettes):
                getattr(shapes, field.name)[row] = getattr(shapes, field.name)[twin]
    for row in np.flatnonzero(is_limb).tolist():
        if rng.uniform() < 0.75:
            looks.copy_row(torso[int(owner[row])], int(row))
            looks.base[row] *= rng.uniform(0.75, 1.2)
            if rng.uniform() < 0.4:
                looks.base[row] = looks.base[row, ::-1]


def _sample_motion(
    rng: np.random.Generator, config: SyntheticConfig, owner: np.ndarray, is_limb: np.ndarray, motion: float
) -> Motion:
    count, frames = len(owner), config.frames
    centre, angle, scale = np.zeros((count, frames, 2)), np.zeros((count, frames)), np.ones((count, frames, 2))
    sizes = (config.smallest, config.largest)
    bodies = {
        body: sample_body(rng, frames, motion, config.aspect, sizes, config.leaving)
        for body in range(int(owner.max()) + 1)
    }
    for row in np.flatnonzero(owner >= 0):
        pose = bodies[int(owner[row])]
        centre[row], angle[row], scale[row] = sample_limb(rng, pose, motion) if is_limb[row] else pose
    return Motion(centre, angle, scale, sample_waves(rng, count, motion), sample_camera(rng, frames, motion))


def _sample_effects(rng: np.random.Generator, config: SyntheticConfig, count: int) -> Effects:
    frames = config.frames
    t = np.arange(frames)[:, None]
    flicker = rng.normal(0, 0.02, (frames, 1)) * rng.exponential(1.0)
    light = np.exp(rng.normal(0, 0.1) + rng.normal(0, 0.015) * t + flicker)[:, 0]
    cast = np.exp(rng.normal(0, 0.06, 3) + rng.normal(0, 0.006, 3) * t)
    spot = rng.normal(0, 0.12, 3) + rng.normal(0, 0.015, 3) * t
    blur = np.abs(rng.normal(0, 1.1, 2)) * (rng.uniform() < 0.35) * np.exp(rng.normal(0, 0.3, (frames, 1)))
    shadow = np.concatenate([rng.normal(0, 0.06, (count, 2)) + [0, 0.05], rng.uniform(0.1, 0.6, (count, 1))], axis=1)
    shadow[rng.uniform(size=count) > 0.3, 2] = 0
    return Effects(
        light=light,
        cast=cast,
        spot=spot[:, :2],
        blur=blur.clip(0, 2.5),
        streak=rng.uniform(0.3, 1.0, count) * (rng.uniform(size=count) < 0.15),
        shadow=shadow,
        noise=rng.exponential(0.012),
        grain=rng.integers(0, 4096, (frames, 2)),
        gamma=math.exp(rng.normal(0, 0.18)),
    )


def stack_scenes(scenes: Sequence[T], device: torch.device) -> T:
    """Stack equal dataclasses of arrays into one of float32 / int64 / bool tensors with a leading batch axis."""
    first = scenes[0]
    values: dict[str, Any] = {}
    for field in fields(first):  # type: ignore[arg-type]
        parts = [getattr(scene, field.name) for scene in scenes]
        if is_dataclass(parts[0]):
            values[field.name] = stack_scenes(parts, device)
        else:
            array = np.stack(parts)
            kind = {"f": np.float32, "i": np.int64, "b": np.bool_}[array.dtype.kind]
            values[field.name] = torch.from_numpy(array.astype(kind)).to(device)
    return type(first)(**values)
