"""Smooth motion: camera paths, bodies that accelerate, wobble, leave and return; hinged limbs; deformation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

WAVES = 3  # sine waves that deform a layer


@dataclass
class Motion:
    """Poses of N layers over T frames; world units, in which the view's shorter half side is 1; x right, y down.

    Attributes:
        centre: N x T x 2.
        angle: N x T radians.
        scale: N x T x 2, half extents of the atlas.
        wave: N x WAVES x 6 as (frequency x, frequency y, phase, radians per frame, amplitude x, amplitude y).
        camera: T x 4 as (x, y, log zoom, angle).
    """

    centre: Any
    angle: Any
    scale: Any
    wave: Any
    camera: Any


def sample_camera(rng: np.random.Generator, frames: int, motion: float) -> np.ndarray:
    """T x 4 camera path: drift with acceleration, and the shake of a hand."""
    t = np.arange(frames)[:, None] - (frames - 1) / 2
    speed = motion * np.exp(rng.normal(math.log(0.015), 1.0))
    heading = rng.uniform(0, 2 * math.pi)
    rates = np.array([
        speed * math.cos(heading), 0.5 * speed * math.sin(heading),
        rng.normal(0, 0.008) * motion, rng.normal(0, 0.005) * motion,
    ])  # fmt: skip
    bow = rates * rng.normal(0, 1.0, 4) / max(frames, 4)
    shake = rng.normal(0, 1, (frames, 4)) * np.array([0.006, 0.006, 0.003, 0.003]) * rng.exponential(0.5)
    path = rates * t + bow * t**2 + shake
    path[:, :2] = path[:, :2].clip(-0.35, 0.35)
    path[:, 2] = path[:, 2].clip(-0.15, 0.25)
    path[:, 3] = path[:, 3].clip(-0.12, 0.12)
    return path


def sample_body(
    rng: np.random.Generator,
    frames: int,
    motion: float,
    aspect: tuple[float, float],
    sizes: tuple[float, float],
    leaving: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre (T x 2), angle (T) and scale (T x 2) of one body; with probability `leaving` it leaves and returns."""
    t = np.arange(frames, dtype=float)
    view = np.array(aspect)
    speed = motion * np.exp(rng.normal(math.log(0.03), 0.9))
    heading = rng.normal(0, 0.5) + math.pi * rng.integers(2) if rng.uniform() < 0.6 else rng.uniform(0, 2 * math.pi)
    velocity = speed * np.array([math.cos(heading), math.sin(heading)])
    bow = velocity * rng.normal(0, 0.6, 2) / max(frames, 4) + rng.normal(0, 0.004, 2) * motion
    beat = rng.uniform(0.1, 0.9)
    sway = np.sin(beat * t + rng.uniform(0, 6.3))[:, None] * rng.normal(0, 0.02, 2) * motion
    centre = rng.uniform(-0.75, 0.75, 2) * view + velocity * t[:, None] + bow * t[:, None] ** 2 + sway
    if rng.uniform() < 0.6:  # stay near the view: fold the path back at its border
        centre = np.abs((centre + 1.05 * view) % (4.2 * view) - 2.1 * view) - 1.05 * view
    if frames > 3 and rng.uniform() < leaving:
        away = rng.uniform(0, 2 * math.pi)
        leave = np.sin(math.pi * (t / (frames - 1)) ** rng.uniform(0.7, 1.5)) ** 2
        centre = centre + leave[:, None] * rng.uniform(1.2, 2.4) * np.array([math.cos(away), math.sin(away)]) * view
    turn = rng.normal(0, 0.03) * motion * rng.exponential(1.0)
    angle = rng.normal(0, 0.35) + turn * t + rng.normal(0, 0.06) * np.sin(beat * t + rng.uniform(0, 6.3))
    if rng.uniform() < 0.3:
        angle = angle + rng.uniform(0, 2 * math.pi)
    size = math.exp(rng.uniform(math.log(sizes[0]), math.log(sizes[1])))
    growth = rng.normal(0, 0.015) * motion * t
    stretch = rng.normal(0, 0.3) + rng.normal(0, 0.06) * np.sin(rng.uniform(0.1, 0.8) * t + rng.uniform(0, 6.3))
    scale = size * np.exp(np.stack([growth + stretch, growth - stretch], axis=1).clip(-1.0, 0.8))
    return centre, angle, scale


def sample_limb(
    rng: np.random.Generator, body: tuple[np.ndarray, np.ndarray, np.ndarray], motion: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pose of a limb hinged on a body's border: its atlas point (-0.7, 0) stays on the hinge."""
    centre, angle, scale = body
    t = np.arange(len(angle))
    around = rng.normal(math.pi / 2, 0.6) if rng.uniform() < 0.6 else rng.uniform(0, 2 * math.pi)
    hinge = rng.uniform(0.35, 0.6) * np.array([math.cos(around), math.sin(around)])
    at = centre + _rotate(hinge * scale, angle)
    swing = rng.uniform(0.05, 0.7) * np.sin(rng.uniform(0.2, 1.4) * min(motion, 2) * t + rng.uniform(0, 6.3))
    limb_angle = angle + around + rng.normal(0, 0.4) + swing
    length = scale.mean(1) * rng.uniform(0.35, 0.9)
    limb_scale = np.stack([length, length * rng.uniform(0.18, 0.6)], axis=1)
    return at - _rotate(np.array([-0.7, 0.0]) * limb_scale, limb_angle), limb_angle, limb_scale


def sample_waves(rng: np.random.Generator, count: int, motion: float) -> np.ndarray:
    """Count x WAVES x 6 deformations, from none to strong."""
    frequency = rng.normal(0, 0.5, (count, WAVES, 2)).clip(-1.2, 1.2)
    phase = rng.uniform(0, 2 * math.pi, (count, WAVES, 1))
    pace = rng.normal(0, 0.3, (count, WAVES, 1)) * min(motion, 2)
    strength = rng.exponential(0.035, (count, 1, 1)) * (rng.uniform(size=(count, 1, 1)) < 0.75)
    amplitude = (rng.normal(0, 1, (count, WAVES, 2)) * strength).clip(-0.12, 0.12)
    return np.concatenate([frequency, phase, pace, amplitude], axis=2)


def _rotate(vector: np.ndarray, angle: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([vector[..., 0] * cos - vector[..., 1] * sin, vector[..., 0] * sin + vector[..., 1] * cos], axis=-1)


def view_to_world(camera: Tensor, height: int, width: int, lattice: int) -> Tensor:
    """World coordinates of a lattice over the view.

    Args:
        camera: B x T x 4.
        height, width: the view in pixels.
        lattice: points per side; the outer ones are the centres of the corner pixels.

    Returns:
        B x T x lattice x lattice x 2 as (x, y).
    """
    short = min(height, width)
    x = torch.linspace(-1, 1, lattice, device=camera.device) * ((width - 1) / short)
    y = torch.linspace(-1, 1, lattice, device=camera.device) * ((height - 1) / short)
    tx, ty, zoom, angle = (v[..., None, None] for v in camera.unbind(-1))
    cos, sin = angle.cos() / zoom.exp(), angle.sin() / zoom.exp()
    yy = y[:, None]
    return torch.stack([x * cos - yy * sin + tx, x * sin + yy * cos + ty], dim=-1)


def world_to_atlas(motion: Motion, world: Tensor) -> Tensor:
    """Atlas coordinates, in [-1, 1] inside, of world points.

    Args:
        motion: B x N x T poses as tensors.
        world: B x T x n x n x 2.

    Returns:
        B x N x T x n x n x 2.
    """
    offset = world[:, None] - motion.centre[..., None, None, :]  # B N T n n 2
    cos, sin = motion.angle.cos()[..., None, None], motion.angle.sin()[..., None, None]
    x = (offset[..., 0] * cos + offset[..., 1] * sin) / motion.scale[..., 0, None, None]
    y = (offset[..., 1] * cos - offset[..., 0] * sin) / motion.scale[..., 1, None, None]
    t = torch.arange(world.shape[1], device=world.device)[:, None, None]
    dx, dy = torch.zeros_like(x), torch.zeros_like(y)
    for k in range(WAVES):
        fx, fy, phase, pace, ax, ay = (v[..., None, None, None] for v in motion.wave[:, :, k].unbind(-1))
        wave = (math.pi * (fx * x + fy * y) + phase + pace * t).sin()
        dx, dy = dx + ax * wave, dy + ay * wave
    return torch.stack([x + dx, y + dy], dim=-1)
