"""Pictures drawn by rule for the recorded twins: whole numbers only, so that every machine draws the same bytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np


def scene(t: int, height: int = 180, width: int = 320) -> np.ndarray:
    """Frame `t` of an endless scene: three textured shapes that move and cross over a drifting background.

    Returns:
        height x width x 3 uint8.
    """
    # drawing happens on a canvas of 320 x 180 cells, each cut into 16 steps
    y, x = (16 * axis for axis in np.mgrid[:height, :width].astype(np.int64))
    y, x = y * 180 // height, x * 320 // width
    picture = _background(x, y, t)
    for inside, colours in (_disc(x, y, t), _plank(x, y, t), _ring(x, y, t)):
        picture = np.where(inside[..., None], colours, picture)
    return np.clip(picture, 0, 255).astype(np.uint8)


def clip(numbers: Iterable[int]) -> np.ndarray:
    """The frames of these numbers, T x 180 x 320 x 3 uint8."""
    return np.stack([scene(t) for t in numbers])


def photograph(height: int = 600, width: int = 800) -> np.ndarray:
    """A single larger picture, height x width x 3 uint8."""
    return scene(12, height, width)


def ellipse(spec: dict[str, list[float]] | str, height: int, width: int) -> np.ndarray:
    """A mask prompt as the recorded calls describe it: `{"ellipse": [cx, cy, rx, ry]}` or `"empty"`."""
    if isinstance(spec, str):
        return np.zeros((height, width), dtype=bool)
    cx, cy, rx, ry = spec["ellipse"]
    y, x = np.mgrid[:height, :width]
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1


def checksum(picture: np.ndarray) -> int:
    """CRC-32 of the bytes, kept with what was recorded on them."""
    return zlib.crc32(np.ascontiguousarray(picture).tobytes())


def _wave(phase: np.ndarray, period: int, height: int) -> np.ndarray:
    """A triangle wave between 0 and `height`."""
    half = period // 2
    return abs(phase % period - half) * height // half


def _rgb(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    return np.stack(np.broadcast_arrays(red, green, blue), axis=-1)


def _grain(x: np.ndarray, y: np.ndarray, cell: int, height: int) -> np.ndarray:
    """A fixed random-looking value for every cell."""
    mixed = (x // cell * 73856093) ^ (y // cell * 19349663)
    mixed = (mixed ^ (mixed >> 13)) * 1274126177 % (1 << 31)
    return (mixed >> 8) % height


def _background(x: np.ndarray, y: np.ndarray, t: int) -> np.ndarray:
    x = x + 40 * t
    texture = _grain(x, y, 160, 40) + _grain(x, y, 48, 24)
    return _rgb(
        30 + _wave(x, 9000, 110) + texture, 60 + y * 100 // 2880 + texture, 150 - _wave(x + y, 7000, 90) + texture
    )


def _disc(x: np.ndarray, y: np.ndarray, t: int) -> tuple[np.ndarray, np.ndarray]:
    """A checked disc that moves right and leaves at about frame 40."""
    dx, dy = x - 16 * 155 - 70 * t, y - 16 * 90 - 12 * t
    checks = ((dx // 150 + dy // 150) % 2) * 60
    return dx**2 + dy**2 <= (16 * 34) ** 2, _rgb(220 - checks, 90 + checks, 40 + _wave(dx, 300, 40))


def _plank(x: np.ndarray, y: np.ndarray, t: int) -> tuple[np.ndarray, np.ndarray]:
    """A striped, slanted plank that moves left in front of the disc."""
    dx, dy = x - 16 * 250 + 60 * t, y - 16 * 110
    u, v = 4 * dx + dy, 4 * dy - dx
    inside = (abs(u) <= 4 * 16 * 42) & (abs(v) <= 4 * 16 * 26)
    return inside, _rgb(40 + _wave(v, 500, 60), 190 - _wave(v, 500, 90), 80 + _grain(x, y, 64, 50))


def _ring(x: np.ndarray, y: np.ndarray, t: int) -> tuple[np.ndarray, np.ndarray]:
    """A plain ring that falls slowly."""
    dx, dy = x - 16 * 60 - 10 * t, y - 16 * 50 - 25 * t
    radius = dx**2 + dy**2
    return (radius <= (16 * 26) ** 2) & (radius >= (16 * 12) ** 2), _rgb(
        230 + 0 * dx, 210 - _wave(dy, 600, 70), 60 + _wave(dx, 400, 90)
    )
