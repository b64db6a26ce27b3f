"""A drawn clip with exact masks: a textured ground and two textured objects that move over it."""

from __future__ import annotations

import numpy as np

SIZE = (72, 96)
FRAMES = 12


def ground(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A texture of several scales, H x W x 3 uint8."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((*size, 3))
    for scale in (2, 8, 24):
        cells = rng.uniform(0, 80, (-(-size[0] // scale) + 1, -(-size[1] // scale) + 1, 3))
        picture += np.kron(cells, np.ones((scale, scale, 1)))[: size[0], : size[1]]
    return picture.astype(np.uint8)


def scene(pan: int = 0) -> tuple[np.ndarray, list[dict[int, np.ndarray]], np.ndarray]:
    """Frames T x H x W x 3, masks of each, and the frames without the objects; the camera goes `pan` to the right."""
    height, width = SIZE
    wide = ground(size=(height, width + pan * FRAMES))
    y, x = np.mgrid[:height, :width]
    frames, masks, empty = [], [], []
    for t in range(FRAMES):
        below = wide[:, pan * t : pan * t + width]
        disc = (x - 20 - 5 * t) ** 2 + (y - 30) ** 2 < 12**2
        square = (abs(x - 70 + 3 * t) < 8) & (abs(y - 58) < 8) & ~disc
        picture = np.where(disc[..., None], np.stack([250 - y, x % 5 * 25, y % 9 * 9], axis=2), below)
        picture = np.where(square[..., None], np.stack([x % 7 * 20, y % 5 * 30, 0 * x + 200], axis=2), picture)
        frames.append(picture.astype(np.uint8))
        masks.append({1: disc, 2: square})
        empty.append(below)
    return np.stack(frames), masks, np.stack(empty)
