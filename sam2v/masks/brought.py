"""Masks that were made on an accelerator, on the host: bits and scores, in one download that nobody waits for."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from sam2v.arrays import Array, download, floats, namespace
from sam2v.masks.bits import MaskBits
from sam2v.masks.logits import Finish, packed

#: Masks that are enlarged at a time, so that a frame of many objects takes the memory of a few.
_TOGETHER = 16


class BroughtMasks:
    """N masks and their scores on the way to the host.

    Args:
        bits: N x ceil(H * W / 8) uint8, as `sam2v.masks.logits.packed` makes them.
        size: (height, width) of the masks.
        iou, object_score: N floats each.
    """

    def __init__(self, bits: Array, size: tuple[int, int], iou: Array, object_score: Array) -> None:
        xp = namespace(bits)
        scores = xp.stack([floats(iou), floats(object_score)], axis=1)
        self.size = size
        self._arriving = download(xp.concat([bits, scores.view(xp.uint8)], axis=1))

    @cached_property
    def _rows(self) -> np.ndarray:
        return self._arriving()

    @property
    def bits(self) -> np.ndarray:
        """N x ceil(H * W / 8) uint8, as `sam2v.masks.logits.packed` makes them."""
        return self._rows[:, :-8]

    @property
    def scores(self) -> np.ndarray:
        """N x 2 float32: predicted IoU and the logit of the object's presence."""
        return np.ascontiguousarray(self._rows[:, -8:]).view(np.float32)

    def overlap(self) -> bool:
        """Whether a pixel belongs to several of the masks."""
        masks = MaskBits.from_bytes(self.bits, self.size)
        return int(masks.areas.sum()) > int(masks.union().areas.sum())


def packed_masks(low_res: Array, finish: Finish, size: tuple[int, int]) -> Array:
    """Bits of masks, where they are: cleaned N x 1 x h x w logits enlarged, thresholded and packed."""
    step = len(low_res) if finish.non_overlap else _TOGETHER  # those that share pixels are looked at together
    starts = range(0, len(low_res), max(step, 1)) or [0]
    parts = [packed(finish.enlarge(low_res[start : start + step], size)[:, 0] > 0) for start in starts]
    return parts[0] if len(parts) == 1 else namespace(low_res).concat(parts, axis=0)
