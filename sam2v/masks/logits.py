"""Low-resolution mask logits: cleaning them up and enlarging them."""

from __future__ import annotations

from dataclasses import dataclass

from sam2v.arrays import Array, device_of, namespace, packed_bits, resized
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

    def clean(self, logits: Array) -> Array:
        """N x 1 x h x w logits less the threshold, without small holes and specks."""
        logits = logits - self.threshold if self.threshold else logits
        filled = fill_holes(logits, self.fill_hole_area, self.filled)
        return remove_specks(filled, self.remove_speck_area, self.removed)

    def enlarge(self, logits: Array, size: tuple[int, int]) -> Array:
        """Cleaned N x 1 x h x w logits at `size` = (height, width), straight from low resolution."""
        large = enlarged(logits, size)
        return non_overlapping(large) if self.non_overlap else large


def enlarged(logits: Array, size: tuple[int, int]) -> Array:
    """N x C x h x w logits at another size, bilinear."""
    if len(logits) == 0:  # interpolation refuses an empty batch
        shape = (0, logits.shape[1], *size)
        return namespace(logits).zeros(shape, dtype=logits.dtype, device=device_of(logits))
    return resized(logits, size)


def packed(masks: Array) -> Array:
    """N x H x W booleans as bytes, see `sam2v.arrays.packed_bits`."""
    return packed_bits(masks)
