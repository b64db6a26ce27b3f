"""Scalar noise fields, the raw material of every texture."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

SPECTRAL, PATTERNS = 5, 3  # fields per clip of each kind
FIELDS = SPECTRAL + PATTERNS


def make_fields(rngs: list[np.random.Generator], size: int, device: torch.device) -> Tensor:
    """Draw `FIELDS` fields for every generator.

    Returns:
        B x FIELDS x size x size float; each field has mean 0 and standard deviation about 1. The first `SPECTRAL`
        have power-law spectra, as natural images do (Field 1987); then come gratings or checkers, spots, and a mosaic.
    """
    white = torch.stack([_white(rng, size, device) for rng in rngs])
    spectral = _power_law(white, rngs)
    warp = spectral[:, :2]
    stripes = torch.stack([_stripes(rng, w) for rng, w in zip(rngs, warp, strict=True)])
    spots = torch.stack([_spots(rng, f) for rng, f in zip(rngs, spectral[:, 2], strict=True)])
    mosaic = torch.stack([_mosaic(rng, w) for rng, w in zip(rngs, warp, strict=True)])
    return torch.cat([spectral, torch.stack([stripes, spots, mosaic], dim=1)], dim=1)


def _white(rng: np.random.Generator, size: int, device: torch.device) -> Tensor:
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    return torch.randn(SPECTRAL, size, size, generator=generator, device=device)


def _power_law(white: Tensor, rngs: list[np.random.Generator]) -> Tensor:
    """Shape white noise to amplitude spectra |f|^-p, stretched along a random direction."""
    size, device = white.shape[-1], white.device
    draws = np.stack([rng.uniform(size=(SPECTRAL, 3)) for rng in rngs])
    power = torch.from_numpy(0.7 + 1.3 * draws[..., 0]).to(device, torch.float32)[..., None, None]
    angle = torch.from_numpy(draws[..., 1] * math.pi).to(device, torch.float32)[..., None, None]
    stretch = torch.from_numpy(4 ** np.maximum(0, 2 * draws[..., 2] - 1)).to(device, torch.float32)[..., None, None]
    fy = torch.fft.fftfreq(size, device=device)[:, None]
    fx = torch.fft.rfftfreq(size, device=device)[None]
    along = (fx * angle.cos() + fy * angle.sin()) * stretch
    across = (fy * angle.cos() - fx * angle.sin()) / stretch
    radius = (along.square() + across.square()).sqrt_().clamp_min_(1 / size)
    shaped = torch.fft.irfft2(torch.fft.rfft2(white) * radius.pow_(-power), s=(size, size))
    shaped = shaped - shaped.mean((-2, -1), keepdim=True)
    return shaped / shaped.std((-2, -1), keepdim=True)


def _axes(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    line = torch.linspace(-1, 1, size, device=device)
    return line[None], line[:, None]


def _stripes(rng: np.random.Generator, warp: Tensor) -> Tensor:
    """A warped grating, or two crossed ones (a checker)."""
    x, y = _axes(warp.shape[-1], warp.device)
    angle, cycles, bend = rng.uniform(0, math.pi), math.exp(rng.uniform(0.7, 2.9)), rng.uniform(0, 2.5)
    phase = math.pi * cycles * (math.cos(angle) * x + math.sin(angle) * y) + bend * warp[0]
    wave = phase.sin()
    if rng.uniform() < 0.4:
        wave = wave * (math.pi * cycles * (math.cos(angle) * y - math.sin(angle) * x) + bend * warp[1]).sin()
    return (wave * rng.uniform(1, 8)).tanh()


def _spots(rng: np.random.Generator, field: Tensor) -> Tensor:
    return ((field - rng.uniform(0.3, 1.3)) * rng.uniform(3, 12)).tanh() + 0.4


def _mosaic(rng: np.random.Generator, warp: Tensor) -> Tensor:
    """Cells of random value around random points, with wavy borders."""
    x, y = _axes(warp.shape[-1], warp.device)
    count = int(rng.integers(3, 12))
    points = torch.from_numpy(rng.uniform(-1, 1, (count, 2))).to(warp)
    values = torch.from_numpy(rng.standard_normal(count)).to(warp)
    bend = rng.uniform(0, 0.12)
    dx = x + bend * warp[0] - points[:, 0, None, None]
    dy = y + bend * warp[1] - points[:, 1, None, None]
    near, field = torch.full_like(warp[0], math.inf), torch.zeros_like(warp[0])
    for distance, value in zip(dx.square() + dy.square(), values, strict=True):
        closer = distance < near
        near, field = torch.where(closer, distance, near), torch.where(closer, value, field)
    return field
