"""Small parts of masks, and small holes in them, removed at the picture's size, one mask after the other."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from sam2v.automatic.found import FoundMasks
from sam2v.masks.boxes import mask_to_box
from sam2v.masks.components import fill_holes, label_components, remove_specks
from sam2v.masks.rle import turns_of


def without_small_parts(found: FoundMasks, min_area: int) -> tuple[FoundMasks, np.ndarray]:
    """Masks of which every part (8-connected), and every hole in it, has at least so many pixels.

    Of a mask that has only smaller parts the largest one stays.

    Returns:
        The masks, and N booleans: whether they are as they were.
    """
    turns, boxes, same = list(found.turns), found.boxes.copy(), np.ones(len(found), bool)
    for row, box in enumerate(found.boxes.tolist()):
        # beside a mask there is as much ground as makes a part large, or all there is
        margin = math.ceil(math.sqrt(min_area))
        x0, y0 = (max(0, side - margin) for side in box[:2])
        part = found.mask(row)[y0 : box[3] + margin + 1, x0 : box[2] + margin + 1]
        cleaned = _cleaned(part, min_area)
        if (cleaned != part).any():
            turns[row], same[row] = turns_of(cleaned, found.size, (x0, y0)), False
            boxes[row] = mask_to_box(cleaned[None])[0] + np.array([x0, y0, x0, y0])
    return replace(found, turns=tuple(turns), boxes=boxes), same


def _cleaned(mask: np.ndarray, min_area: int) -> np.ndarray:
    """H x W booleans without small holes, then without small parts."""
    filled = fill_holes(torch.from_numpy(mask.astype(np.uint8))[None, None], min_area - 1, 1)
    cleaned = remove_specks(filled, min_area - 1, 0)
    if not cleaned.any() and filled.any():
        parts = label_components(filled)
        cleaned = parts == parts.flatten().bincount()[1:].argmax() + 1
    return cleaned[0, 0].numpy().astype(bool)
