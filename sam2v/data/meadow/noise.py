"""Noise, the raw material of grass, fur and clouds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def cloudy(rng: np.random.Generator, height: int, width: int, power: float = 1.2, stretch: float = 1.0) -> Tensor:
    """A field that repeats without a seam, of mean 0 and deviation 1, with a power-law spectrum (Field 1987).

    Args:
        rng: the source of chance.
        height, width: of the field.
        power: of the spectrum's fall; more is smoother.
        stretch: how much longer its features are along x than along y.
    """
    white = torch.from_numpy(rng.standard_normal((height, width)).astype(np.float32))
    y = torch.fft.fftfreq(height)[:, None] * height / max(height, width)
    x = torch.fft.rfftfreq(width)[None] * width / max(height, width) * stretch
    radius = torch.hypot(x, y).clamp_min(1 / max(height, width))
    field = torch.fft.irfft2(torch.fft.rfft2(white) * radius**-power, s=(height, width))
    field = field - field.mean()
    return field / field.std()


def sample(texture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A repeating texture (C x h x w) at coordinates in units of its period: C x the coordinates' shape."""
    height, width = texture.shape[-2:]
    padded = functional.pad(texture[None], (0, 1, 0, 1), mode="circular")
    scale = torch.tensor([2 * width / (width + 1), 2 * height / (height + 1)])
    start = torch.tensor([1 / (width + 1) - 1, 1 / (height + 1) - 1])
    grid = torch.stack([x, y], dim=-1).reshape(1, 1, -1, 2)
    out = functional.grid_sample(padded, (grid - grid.floor()) * scale + start, align_corners=False)
    return out.view(len(texture), *x.shape)


def curve(values: Tensor, position: Tensor) -> Tensor:
    """A repeating curve of n values at positions in units of its period, linear between them."""
    at = (position - position.floor()) * len(values)
    low = at.long().clamp_(max=len(values) - 1)
    return torch.lerp(values[low], values[(low + 1) % len(values)], at - low)
