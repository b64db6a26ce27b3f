"""Pictures and clips drawn by rule."""

from __future__ import annotations

import numpy as np


def drawn_clip(frames: int = 8, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Two textured discs drifting over a textured ground, T x H x W x 3 uint8."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(40, 200, (height, width, 3))
    looks = rng.integers(0, 255, (2, 3))
    y, x = np.mgrid[:height, :width]
    clip = np.empty((frames, height, width, 3), np.uint8)
    for t in range(frames):
        picture = np.roll(ground, t, axis=1)
        for number, look in enumerate(looks):
            cx, cy = width * (0.3 + 0.4 * number) + 2 * t * (1 - 2 * number), height * (0.4 + 0.2 * number)
            inside = (x - cx) ** 2 + (y - cy) ** 2 < (height / 5) ** 2
            picture = np.where(inside[..., None], look + 20 * np.sin(x / 3)[..., None], picture)
        clip[t] = picture.clip(0, 255)
    return clip
