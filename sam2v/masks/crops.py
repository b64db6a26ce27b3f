"""Masks cut down to what the objects cover: writing and drawing then cost that, not what the frame measures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sam2v.arrays import Array, floats, is_on_host, to_numpy
from sam2v.masks.window import Window, mask_window


class MaskCrop(NamedTuple):
    """A mask that is not empty, within its window.

    Attributes:
        window: rows and columns of the frame that hold the mask, as an index into it.
        mask: h x w bool.
        logits: h x w float32, positive where the mask is; None where the mask alone was brought to the host.
    """

    window: Window
    mask: np.ndarray
    logits: np.ndarray | None

    @property
    def area(self) -> int:
        """Pixels of the object."""
        return int(np.count_nonzero(self.mask))


def crop_mask(logits: Array) -> MaskCrop | None:
    """What an object covers of H x W mask logits; None where it covers nothing."""
    logits = floats(logits)
    if is_on_host(logits):
        logits = to_numpy(logits)  # which compares three times as fast
    mask = to_numpy(logits > 0)
    window = mask_window(mask)
    if window is None:
        return None
    part = logits[window]
    return MaskCrop(window, mask[window].copy(), part.copy() if isinstance(part, np.ndarray) else to_numpy(part))


def crop_bits(bits: np.ndarray, size: tuple[int, int]) -> MaskCrop | None:
    """What an object covers of a mask of `size` = (height, width) that is ceil(H * W / 8) packed bytes; None where it
    covers nothing."""
    mask = np.unpackbits(bits, count=size[0] * size[1]).reshape(size).view(bool)
    window = mask_window(mask)
    return None if window is None else MaskCrop(window, mask[window].copy(), None)
