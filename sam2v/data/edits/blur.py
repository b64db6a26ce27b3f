"""Blur: of a shaken camera, of a fast object, out of focus. Masks stay those of the middle of the exposure."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.data.clips import Clip
from sam2v.masks.window import around

_LONGEST = 0.06  # a streak's length at most, as a share of the shorter side
_REACH = 0.03  # how far around an object its blur reaches, likewise


def blur(clip: Clip, rng: np.random.Generator) -> Clip:
    """Blur a clip in one of three ways, every frame by as much as its motion or a smooth random path says."""
    kind = rng.choice(3, p=[0.4, 0.4, 0.2])
    frames = clip.frames.float()
    if kind == 0:
        frames = streaked(frames, _shake(rng, clip.num_frames, min(clip.size)))
    elif kind == 1:
        frames = _blur_object(frames, clip.masks[:, int(rng.integers(clip.num_objects))], rng)
    else:
        frames = _out_of_focus(frames, rng)
    return Clip(frames.round_().clamp_(0, 255).to(torch.uint8), clip.masks, clip.name)


def streaked(frames: Tensor, vectors: np.ndarray) -> Tensor:
    """Average T x 3 x H x W frames along T x 2 vectors (x, y) in pixels: what moves so far during the exposure."""
    height, width = frames.shape[-2:]
    reach = math.ceil(float(np.abs(vectors).max(initial=0)) / 2)
    if reach == 0:
        return frames
    padded = F.pad(frames, (reach,) * 4, mode="replicate")
    out = torch.zeros_like(frames)
    for t, (dx, dy) in enumerate(vectors.tolist()):
        taps = 2 * math.ceil(math.hypot(dx, dy) / 2) + 1  # a pixel apart at most
        for share in np.linspace(-0.5, 0.5, taps).tolist():
            left, top = reach + round(share * dx), reach + round(share * dy)
            out[t] += padded[t, :, top : top + height, left : left + width]
        out[t] /= taps
    return out


def _shake(rng: np.random.Generator, frames: int, side: int) -> np.ndarray:
    """T x 2 vectors that turn and change length slowly."""
    time = np.arange(frames)
    angle = rng.uniform(0, 2 * math.pi) + rng.normal(0, 0.5) * time
    length = (
        _LONGEST * side * rng.uniform(0.15, 1.0) * np.abs(np.sin(rng.uniform(0.2, 1.2) * time + rng.uniform(0, 6.3)))
    )
    return np.stack([length * np.cos(angle), length * np.sin(angle)], axis=1)


def _blur_object(frames: Tensor, masks: Tensor, rng: np.random.Generator) -> Tensor:
    """Streaks along an object's own way from frame to frame, around it alone."""
    side = min(frames.shape[-2:])
    way = rng.uniform(0.3, 1.0) * _displacements(masks)
    length = np.linalg.norm(way, axis=1, keepdims=True)
    way = way * np.minimum(1, _LONGEST * side / np.maximum(length, 1e-6))
    reach = max(1, round(_REACH * side))
    margin = 2 * reach + math.ceil(_LONGEST * side)  # beyond which nothing changes, nor is read
    window = around(masks.any(dim=0).numpy(), margin)
    if window is None:
        return frames
    part = (..., *window)
    soft = masks[:, None].float()[part]
    for pool in (F.max_pool2d, F.avg_pool2d):  # a square's, line by line: many times quicker
        soft = pool(soft, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
        soft = pool(soft, (1, 2 * reach + 1), stride=1, padding=(0, reach))
    blurred = frames.clone()
    blurred[part] = torch.lerp(frames[part], streaked(frames[part], way), soft)
    return blurred


def _displacements(masks: Tensor) -> np.ndarray:
    """T x 2 ways (x, y) in pixels of the middle of T x H x W masks around each frame; 0 where it is not known."""
    height, width = masks.shape[-2:]
    mass = masks.flatten(1).sum(dim=1).float()
    x = (masks.any(dim=1).float() * torch.arange(width)).sum(1) / masks.any(dim=1).sum(1).clamp_min(1)
    y = (masks.any(dim=2).float() * torch.arange(height)).sum(1) / masks.any(dim=2).sum(1).clamp_min(1)
    places = torch.stack([x, y], dim=1)
    known = (mass[1:] > 0) & (mass[:-1] > 0)
    steps = (places[1:] - places[:-1]) * known[:, None]
    around = torch.zeros_like(places)
    around[:-1] += steps
    around[1:] += steps
    around[1:-1] /= 2
    return around.numpy().astype(float)


def _out_of_focus(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """A soft picture whose softness changes over time."""
    time = np.arange(len(frames))
    amount = np.abs(np.sin(rng.uniform(0, 0.6) * time + rng.uniform(0, 6.3)))
    strength = torch.from_numpy(amount).float().view(-1, 1, 1, 1) * float(rng.uniform(0.4, 1.0))
    radius = int(rng.integers(1, 4))
    soft = F.pad(frames, (2 * radius,) * 4, mode="replicate")
    for _ in range(2):
        soft = F.avg_pool2d(soft, 2 * radius + 1, stride=1)
    return torch.lerp(frames, soft, strength)
