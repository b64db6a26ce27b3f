"""Low-resolution mask logits: cleaning them up and enlarging them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.masks.components import fill_holes, remove_specks
from sam2v.masks.overlap import non_overlapping


@dataclass(frozen=True)
class Finish:
    """What is done to mask logits between the network and people.

    Attributes:
        fill_hole_area: fill background components of at most this many low-resolution pixels; 0 fills nothing.
        remove_speck_area: likewise remove foreground components.
        non_overlap: give every pixel to one object at most, at full size.
        threshold: is subtracted first: what is above 0 then is the object.
        filled, removed: logits that pixels of small holes and specks get.
    """

    fill_hole_area: int = 0
    remove_speck_area: int = 0
    non_overlap: bool = False
    threshold: float = 0.0
    filled: float = 0.1
    removed: float = -0.1

    def clean(self, logits: Tensor) -> Tensor:
        """N x 1 x h x w logits less the threshold, without small holes and specks."""
        logits = logits - self.threshold if self.threshold else logits
        filled = fill_holes(logits, self.fill_hole_area, self.filled)
        return remove_specks(filled, self.remove_speck_area, self.removed)

    def enlarge(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Cleaned N x 1 x h x w logits at `size` = (height, width), straight from low resolution."""
        large = enlarged(logits, size)
        return non_overlapping(large) if self.non_overlap else large


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """N x C x h x w logits at another size, bilinear."""
    if len(logits) == 0:  # interpolation refuses an empty batch
        return logits.new_zeros(0, logits.shape[1], *size)
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def packed(masks: Tensor) -> Tensor:
    """N x H x W booleans as N x ceil(H * W / 8) bytes, eight pixels in each, the first in the highest bit: what
    `numpy.packbits` makes of each flattened mask."""
    bits = F.pad(masks.flatten(1).to(torch.uint8), (0, -masks.shape[1:].numel() % 8)).unflatten(1, (-1, 8))
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=masks.device)
    return (bits * weights).sum(2, dtype=torch.uint8)
