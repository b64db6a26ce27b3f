"""Random inputs by rule, the same on every machine."""

from __future__ import annotations

import numpy as np
import torch


def noise(seed: int, *shape: int, scale: float = 1.0) -> torch.Tensor:
    """Standard normal numbers of a Philox generator times `scale`, in float32."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    return torch.from_numpy((generator.standard_normal(shape) * scale).astype(np.float32))


def block_noise(seed: int, size: int) -> torch.Tensor:
    """The encoder fixtures' input, 1 x 3 x size x size: 32 x 32 blocks of noise with fainter noise on top."""
    coarse, fine = noise(seed, 1, 3, 32, 32), 0.3 * noise(seed + 1, 1, 3, size, size)
    return coarse.repeat_interleave(size // 32, 2).repeat_interleave(size // 32, 3) + fine
