"""Silhouettes: star-shaped contours and unions of capsules, drawn from signed functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

ANGLES = 128  # samples of a contour
CAPSULES = 6  # capsules of a stick figure
EXTENT = 0.82  # half extent of a silhouette in its atlas, which spans [-1, 1]


@dataclass
class Silhouettes:
    """Parameters of N silhouettes in atlas units; arrays when sampled, tensors when drawn.

    Attributes:
        radius: N x ANGLES, distance of the contour from the centre, per angle.
        capsules: N x CAPSULES x 5 as (x0, y0, x1, y1, radius); used where `stick` holds.
        stick: N, whether the capsules count instead of the contour.
        bend: N x 2 x 5, two sine waves (frequency x and y, phase, amplitude x and y) that bend the plane.
        hole: N x 3, a disc (x, y, radius) taken out; radius 0: none.
        rough: N, amplitude of the border's roughness.
        soft: N, width of the border in pixels.
    """

    radius: Any
    capsules: Any
    stick: Any
    bend: Any
    hole: Any
    rough: Any
    soft: Any


def sample_silhouettes(rng: np.random.Generator, count: int, sticks: float = 0.3) -> Silhouettes:
    """Draw `count` silhouettes, a share `sticks` of them stick figures (animals, people, branches)."""
    bend = np.concatenate(
        [
            rng.normal(0, 0.45, (count, 2, 2)),
            rng.uniform(0, 2 * math.pi, (count, 2, 1)),
            rng.normal(0, 0.07, (count, 2, 2)),
        ],
        axis=2,
    )
    hole = np.concatenate([rng.uniform(-0.35, 0.35, (count, 2)), rng.uniform(0.1, 0.3, (count, 1))], axis=1)
    hole[rng.uniform(size=count) > 0.07, 2] = 0
    return Silhouettes(
        radius=np.stack([_contour(rng) for _ in range(max(1, count))])[:count],
        capsules=np.stack([_figure(rng) for _ in range(max(1, count))])[:count],
        stick=rng.uniform(size=count) < sticks,
        bend=bend.clip(-6.3, 6.3),
        hole=hole,
        rough=np.exp(rng.uniform(math.log(0.002), math.log(0.05), count)),
        soft=rng.uniform(1.0, 2.5, count),
    )


def limb_silhouettes(rng: np.random.Generator, count: int) -> Silhouettes:
    """Draw limbs: smooth contours along the atlas' x axis, their hinge at x = -0.7."""
    limbs = sample_silhouettes(rng, count, sticks=0.0)
    theta = np.arange(ANGLES) * (2 * math.pi / ANGLES)
    power = rng.uniform(1.8, 3.5, (count, 1))
    taper = 1 + rng.uniform(-0.35, 0.35, (count, 1)) * np.cos(theta)
    limbs.radius = taper * (np.abs(np.cos(theta)) ** power + np.abs(np.sin(theta)) ** power) ** (-1 / power)
    limbs.radius = EXTENT * limbs.radius / limbs.radius.max(axis=1, keepdims=True)
    limbs.hole[:, 2] = 0
    return limbs


def _contour(rng: np.random.Generator) -> np.ndarray:
    theta = np.arange(ANGLES) * (2 * math.pi / ANGLES)
    kind = rng.uniform()
    if kind < 0.6:
        order = np.arange(1, 9)
        amplitude = rng.standard_normal(8) * rng.uniform(0.1, 0.6) / order ** rng.uniform(0.7, 1.6)
        radius = np.exp((amplitude * np.cos(theta[:, None] * order + rng.uniform(0, 2 * math.pi, 8))).sum(1))
    elif kind < 0.8:
        radius = _polygon(rng, theta)
    else:
        power = rng.choice([1.4, 2.0, 2.0, 2.6, 5.0])
        radius = (np.abs(np.cos(theta)) ** power + np.abs(np.sin(theta)) ** power) ** (-1 / power)
    return EXTENT * radius / radius.max()


def _polygon(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    """Distance of a star-shaped polygon's border from the centre along every angle."""
    count = int(rng.integers(4, 11))
    corner = (np.arange(count) + rng.uniform(-0.35, 0.35, count)) * (2 * math.pi / count)
    length = rng.uniform(0.45 if rng.uniform() < 0.5 else 0.85, 1.0, count)
    after = np.searchsorted(corner, theta, side="right")
    i, j = (after - 1) % count, after % count
    from_i = (theta - corner[i]) % (2 * math.pi)
    to_j = (corner[j] - theta) % (2 * math.pi)
    return length[i] * length[j] * np.sin(from_i + to_j) / (length[i] * np.sin(from_i) + length[j] * np.sin(to_j))


def _figure(rng: np.random.Generator) -> np.ndarray:
    """Six capsules: an animal, a person, or a branching stick; fitted into the atlas."""
    kind = rng.uniform()
    if kind < 0.35:
        parts = _animal(rng)
    elif kind < 0.65:
        parts = _person(rng)
    else:
        parts = _branch(rng)
    reach = parts[:, 4:5]
    low = np.minimum(parts[:, :2], parts[:, 2:4]) - reach
    high = np.maximum(parts[:, :2], parts[:, 2:4]) + reach
    low, high = low.min(0), high.max(0)
    scale = 2 * EXTENT / (high - low).max()
    middle = np.tile((low + high) / 2, 2)
    return np.concatenate([(parts[:, :4] - middle) * scale, reach * scale], axis=1)


def _animal(rng: np.random.Generator) -> np.ndarray:
    leg, thick = rng.uniform(0.3, 0.8), rng.uniform(0.05, 0.1)
    feet = rng.normal(0, 0.12, 3)
    head = np.array([0.75, -0.35]) + rng.normal(0, 0.12, 2)
    return np.array([
        [-0.5, 0, 0.5, rng.normal(0, 0.06), rng.uniform(0.16, 0.28)],
        [0.5, 0, head[0], head[1], rng.uniform(0.1, 0.18)],
        [-0.5, 0.1, -0.5 + feet[0], 0.2 + leg, thick],
        [0.45, 0.1, 0.45 + feet[1], 0.2 + leg, thick],
        [0.3, 0.1, 0.3 + feet[2], 0.2 + leg, thick],
        [-0.55, -0.05, -0.55 - rng.uniform(0.15, 0.5), rng.uniform(-0.5, 0.3), thick * 0.7],
    ])  # fmt: skip


def _person(rng: np.random.Generator) -> np.ndarray:
    stride, arms = rng.normal(0.15, 0.12), rng.normal(0, 0.35, 4)
    return np.array([
        [0, -0.4, 0, 0.15, rng.uniform(0.13, 0.22)],
        [0, -0.72, 0, -0.68, rng.uniform(0.1, 0.15)],
        [-0.07, 0.2, -0.1 - stride, 1.0, rng.uniform(0.06, 0.11)],
        [0.07, 0.2, 0.1 + stride, 1.0, rng.uniform(0.06, 0.11)],
        [-0.15, -0.4, -0.35 + arms[0], arms[1], rng.uniform(0.04, 0.08)],
        [0.15, -0.4, 0.35 + arms[2], arms[3], rng.uniform(0.04, 0.08)],
    ])  # fmt: skip


def _branch(rng: np.random.Generator) -> np.ndarray:
    parts = np.zeros((CAPSULES, 5))
    tips = [np.zeros(2)]
    thick = rng.uniform(0.04, 0.16)
    angle = rng.uniform(0, 2 * math.pi)
    for k in range(CAPSULES):
        root = tips[-1] if rng.uniform() < 0.7 else tips[int(rng.integers(len(tips)))]
        angle += rng.normal(0, 0.8)
        tip = root + rng.uniform(0.25, 0.7) * np.array([math.cos(angle), math.sin(angle)])
        parts[k] = [*root, *tip, thick * rng.uniform(0.6, 1.1)]
        tips.append(tip)
    return parts


def draw_silhouettes(shapes: Silhouettes, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Draw silhouettes into square atlases.

    Args:
        shapes: N silhouettes as tensors.
        noise: N x A x A field that roughens the borders.

    Returns:
        (alpha, inside): N x A x A coverage in [0, 1], and the signed distance-like function behind it, positive inside.
    """
    side = noise.shape[-1]
    line = (torch.arange(side, device=noise.device) + 0.5) * (2 / side) - 1
    x, y = _bend(shapes.bend, line)
    inside = _star(shapes.radius, x, y)
    stick = shapes.stick.nonzero().flatten()
    if len(stick):
        inside[stick] = _capsule_union(shapes.capsules[stick], x[stick], y[stick])
    inside = inside + shapes.rough[:, None, None] * noise
    hx, hy, hr = (v[:, None, None] for v in shapes.hole.unbind(1))
    inside = torch.where(hr > 0, torch.minimum(inside, torch.hypot(x - hx, y - hy) - hr), inside)
    alpha = (inside * (0.5 * side / shapes.soft[:, None, None]) + 0.5).clamp(0, 1)
    return alpha, inside


def _bend(bend: Tensor, line: Tensor) -> tuple[Tensor, Tensor]:
    x, y = line[None, None].expand(len(bend), len(line), -1), line[None, :, None].expand(len(bend), -1, len(line))
    fx, fy, phase, ax, ay = (v[..., None, None] for v in bend.unbind(2))  # each N x 2 x 1 x 1
    wave = (math.pi * (fx * line[None] + fy * line[:, None]) + phase).sin()  # N x 2 x A x A
    return x + (ax * wave).sum(1), y + (ay * wave).sum(1)


def _star(radius: Tensor, x: Tensor, y: Tensor) -> Tensor:
    position = torch.atan2(y, x) * (ANGLES / (2 * math.pi)) % ANGLES
    low = position.long().clamp_(0, ANGLES - 1)
    part = position - low
    wrapped = torch.cat([radius, radius[:, :1]], dim=1)
    low = low.flatten(1)
    border = wrapped.gather(1, low).view_as(x) * (1 - part) + wrapped.gather(1, low + 1).view_as(x) * part
    return border - torch.hypot(x, y)


def _capsule_union(capsules: Tensor, x: Tensor, y: Tensor, sharpness: float = 40.0) -> Tensor:
    """Smooth union (log-sum-exp) of distances to segments; N x A x A."""
    x0, y0, x1, y1, radius = (v[..., None, None] for v in capsules.unbind(2))  # N x CAPSULES x 1 x 1
    dx, dy = x1 - x0, y1 - y0
    px, py = x[:, None] - x0, y[:, None] - y0
    along = ((px * dx + py * dy) / (dx * dx + dy * dy).clamp_min(1e-6)).clamp(0, 1)
    distance = radius - torch.hypot(px - along * dx, py - along * dy)
    return torch.logsumexp(distance * sharpness, dim=1) / sharpness
