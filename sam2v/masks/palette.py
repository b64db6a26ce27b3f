"""The colours of label maps."""

from __future__ import annotations

import functools
import os

import numpy as np


@functools.cache
def davis_palette() -> np.ndarray:
    """The colours of label maps, 256 x 3 uint8 RGB: id 0 black, 1 dark red, 2 green, 3 olive, 4 blue, ...

    By rule: the bits of the id are dealt to red, green and blue in turn, the lowest three as the channels' highest
    bits, and the result, a fraction of 256, is scaled to 255. These are the colours of the DAVIS annotations for ids 0
    to 21, and 256 different ones in all.
    """
    ids = np.arange(256)
    colours = np.zeros((256, 3))
    for bit in range(8):
        colours[:, bit % 3] += (ids >> bit & 1) << (7 - bit // 3)
    palette = np.rint(colours * 255 / 256).astype(np.uint8)
    palette.setflags(write=False)
    return palette


def distinct(rgb: np.ndarray) -> np.ndarray:
    """The colours in an array of any shape x 3, K x 3 uint8."""
    return _unpacked(np.unique(_packed(rgb)))


def ids_of_colours(rgb: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    """H x W x 3 uint8 colours of the palette -> H x W uint8 ids. A level may be off by one: tools round differently.

    Raises:
        ValueError: other colours; names the file `path` and one of them.
    """
    packed = _packed(rgb)
    values, inverse = np.unique(packed, return_inverse=True)
    if len(values) > 256:
        raise ValueError(f"{path}: an RGB picture with {len(values)} colours is no label map")
    colours = _unpacked(values)
    distance = np.abs(colours[:, None].astype(np.int16) - davis_palette().astype(np.int16)[None]).max(axis=2)
    if (distance.min(axis=1) > 1).any():
        odd = colours[int(distance.min(axis=1).argmax())].tolist()
        raise ValueError(f"{path}: an RGB picture whose colour {odd} is not in the DAVIS palette is no label map")
    return distance.argmin(axis=1).astype(np.uint8)[inverse.reshape(packed.shape)]


def _packed(rgb: np.ndarray) -> np.ndarray:
    red, green, blue = (rgb[..., channel].astype(np.uint32) for channel in range(3))
    return red << 16 | green << 8 | blue


def _unpacked(values: np.ndarray) -> np.ndarray:
    return np.stack([values >> 16, values >> 8 & 255, values & 255], axis=1).astype(np.uint8)
