"""Position codes: sine codes of grids and of scalars, and random Fourier features of points."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_BASE = 10000.0


def wavelengths(count: int, device: torch.device) -> Tensor:
    """`count` divisors growing geometrically from 1 towards 10000."""
    return torch.pow(_BASE, torch.arange(count, device=device, dtype=torch.float32) / count)


def sine_grid(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """Sine code of a grid (Carion et al. 2020), rows first.

    Cells are numbered from 1 and scaled so that the last row and column sit at 2 pi. Half of the channels code the row,
    half the column; sines and cosines alternate.

    Returns:
        channels x height x width float32.
    """

    def axis(cells: int) -> Tensor:
        turns = torch.arange(1, cells + 1, device=device, dtype=torch.float32) * (2 * math.pi / (cells + 1e-6))
        angles = turns[:, None] / wavelengths(channels // 4, device)
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)  # cells x channels/2

    rows = axis(height)[:, None].expand(height, width, channels // 2)
    columns = axis(width)[None].expand(height, width, channels // 2)
    return torch.cat((rows, columns), dim=-1).permute(2, 0, 1)


def sine_scalar(values: Tensor, channels: int) -> Tensor:
    """Sine code of scalars: all sines, then all cosines.

    Args:
        values: any shape, float.
        channels: number of output channels, a multiple of 4.

    Returns:
        values' shape x channels, float32.
    """
    # the released models use each wavelength for two neighbouring sines and two neighbouring cosines
    angles = values.float()[..., None] / wavelengths(channels // 4, values.device).repeat_interleave(2)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


class FourierPoints(nn.Module):
    """Random Fourier features of points in the unit square (Tancik et al. 2020).

    Args:
        channels: output channels C; the fixed Gaussian matrix is 2 x C/2.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, channels // 2))

    def forward(self, points: Tensor) -> Tensor:
        """Code (x, y) in [0, 1], shape ... x 2, as ... x C: all sines, then all cosines."""
        frequencies = self.positional_encoding_gaussian_matrix.float()
        angles = (points.float() * 2 - 1) @ frequencies * (2 * math.pi)
        return torch.cat((angles.sin(), angles.cos()), dim=-1)

    def grid(self, height: int, width: int) -> Tensor:
        """Code of the cell centres of a grid: C x height x width."""
        device = self.positional_encoding_gaussian_matrix.device
        y = (torch.arange(height, device=device) + 0.5) / height
        x = (torch.arange(width, device=device) + 0.5) / width
        centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # height x width x (x, y)
        return self(centres).permute(2, 0, 1)
