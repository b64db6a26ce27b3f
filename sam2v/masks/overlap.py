"""A pixel belongs to one object at most: to the one with the highest logit; of equal ones, to the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from sam2v.arrays import Array, clamp, device_of, namespace
from sam2v.masks.crops import MaskCrop
from sam2v.masks.window import mask_window

#: Object ids that a label map can hold.
LABEL_IDS = range(1, 65536)


def non_overlapping(logits: Array, loser: float = -10.0) -> Array:
    """Keep, at every pixel, only the object with the highest logit.

    Args:
        logits: N x 1 x H x W mask logits, one row per object.
        loser: the other objects' logits are clamped to at most this value (sigmoid(-10) is 4.5e-5).

    Returns:
        New logits, same shape; with one object or none, the array itself.
    """
    if len(logits) <= 1:
        return logits
    xp = namespace(logits)
    best = xp.argmax(logits, axis=0, keepdims=True)  # 1 x 1 x H x W
    rank = xp.arange(len(logits), device=device_of(logits))[:, None, None, None]
    return xp.where(best == rank, logits, clamp(logits, high=loser))


def check_label_ids(obj_ids: Iterable[int]) -> None:
    """Raise ValueError for an id that a label map cannot hold."""
    odd = [obj_id for obj_id in obj_ids if obj_id not in LABEL_IDS]
    if odd:
        raise ValueError(f"a label map holds object ids 1 to 65535, got {odd[0]}")


def label_map(logits: np.ndarray, masks: np.ndarray, obj_ids: Sequence[int]) -> np.ndarray:
    """Paint the id of the object with the highest logit at every pixel.

    Args:
        logits: N x H x W float. masks: N x H x W bool, where they are positive.
        obj_ids: N ids, 1 to 65535.

    Returns:
        H x W, 0 = no object; uint8, or uint16 where an id is 255 or above (255 means "void" in 8 bits).

    Raises:
        ValueError: ids outside 1 to 65535.
    """
    windows = map(mask_window, masks)
    pairs = zip(logits, masks, windows, strict=True)
    crops = [None if box is None else MaskCrop(box, mask[box], logit[box]) for logit, mask, box in pairs]
    return paint_labels(crops, obj_ids, (masks.shape[1], masks.shape[2]))


def paint_labels(crops: Iterable[MaskCrop | None], obj_ids: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The label map of N objects on a frame of `size` = (height, width); see `label_map`.

    Where logits are unknown, masks must not overlap.
    """
    check_label_ids(obj_ids)
    labels = np.zeros(size, np.uint16 if max(obj_ids, default=0) >= 255 else np.uint8)
    best = np.zeros(size, np.float32)
    for crop, obj_id in zip(crops, obj_ids, strict=True):
        if crop is None:
            continue
        if crop.logits is None:
            labels[crop.window][crop.mask] = obj_id
        else:
            wins = crop.mask & (crop.logits > best[crop.window])
            np.copyto(best[crop.window], crop.logits, where=wins)
            labels[crop.window][wins] = obj_id
    return labels
