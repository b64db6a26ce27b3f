"""Automatic masks in a project: everything on a frame that no object covers yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sam2v.app.mask_store import StoredMask
from sam2v.automatic.masks import AutomaticMasks
from sam2v.masks.rle import decode_rle
from sam2v.model.network import Sam2Network

#: Objects that one press of the button may add, and how small they may be, as a share of the picture.
MOST, SMALLEST = 30, 0.002
#: A mask that is covered by more than this is known already.
_KNOWN = 0.5


def find_everything(
    model: Sam2Network, picture: np.ndarray, covered: Iterable[StoredMask], points_per_side: int = 16
) -> list[dict[str, Any]]:
    """COCO RLE of what is found on a picture, the best first, which does not overlap much with masks that are there."""
    size = (picture.shape[0], picture.shape[1])
    taken = np.zeros(size, bool)
    for known in covered:
        if known.counts:
            taken |= decode_rle({"size": list(size), "counts": known.counts})
    finder = AutomaticMasks(model, points_per_side=points_per_side, pred_iou_thresh=0.5, stability_score_thresh=0.8)
    found = finder.find(picture, progress=False)
    chosen: list[dict[str, Any]] = []
    for row in np.argsort(-found.iou * found.stability).tolist():
        mask = found.mask(row)
        area = int(mask.sum())
        if area >= SMALLEST * mask.size and (mask & taken).sum() <= _KNOWN * area:
            taken |= mask
            chosen.append(found.rle(row))
        if len(chosen) == MOST:
            break
    return chosen
