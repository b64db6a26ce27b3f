"""Sets of masks as packed bits: what two sets have in common costs an eighth of a byte a pixel, and no network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
_BYTE_COUNTS = np.array([bin(value).count("1") for value in range(256)], dtype=np.uint8)


def bit_counts(words: Words) -> npt.NDArray[np.uint8]:
    """Number of bits that are set, of every word; of every byte of it where NumPy is older than 2."""
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(words))
    return _BYTE_COUNTS[np.ascontiguousarray(words).view(np.uint8)]


@dataclass(frozen=True, eq=False)
class MaskBits:
    """N masks of one size.

    Attributes:
        words: N x K uint64: the pixels of a mask row by row, in the bits that `numpy.packbits` gives them, filled up
            with zeros.
        size: (height, width) of the masks.
    """

    words: Words
    size: tuple[int, int]

    @classmethod
    def of(cls, masks: npt.NDArray[np.bool_]) -> MaskBits:
        """Pack N x H x W booleans."""
        count, height, width = masks.shape
        return cls.from_bytes(np.packbits(masks.reshape(count, height * width), axis=1), (height, width))

    @classmethod
    def from_bytes(cls, packed: npt.NDArray[np.uint8], size: tuple[int, int]) -> MaskBits:
        """Take bytes N x ceil(H * W / 8), as `sam2v.masks.logits.packed` makes them."""
        padded = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), np.uint8)
        padded[:, : packed.shape[1]] = packed
        return cls(padded.view(np.uint64), (int(size[0]), int(size[1])))

    @classmethod
    def none(cls, size: tuple[int, int]) -> MaskBits:
        """No mask."""
        return cls.of(np.zeros((0, *size), bool))

    @classmethod
    def joined(cls, *parts: MaskBits) -> MaskBits:
        """The masks of several sets, at least one, one after the other."""
        return cls(np.concatenate([part.words for part in parts]), parts[0].size)

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, rows: Any) -> MaskBits:
        """Some of the masks: a slice, indices or booleans."""
        rows = rows if isinstance(rows, slice) else np.asarray(rows, dtype=None if len(rows) else np.int64)
        return MaskBits(self.words[rows], self.size)

    @cached_property
    def areas(self) -> npt.NDArray[np.int64]:
        """N numbers of pixels."""
        return bit_counts(self.words).sum(axis=1, dtype=np.int64)

    def planes(self) -> npt.NDArray[np.bool_]:
        """N x H x W booleans."""
        height, width = self.size
        bits = np.unpackbits(self.words.view(np.uint8), axis=1, count=height * width)
        return bits.reshape(-1, height, width).astype(bool)

    def union(self) -> MaskBits:
        """One mask: what any of the masks covers."""
        return MaskBits(np.bitwise_or.reduce(self.words, axis=0, keepdims=True), self.size)

    def without(self, other: MaskBits) -> MaskBits:
        """The masks less those of a set of as many masks, or of one mask."""
        return MaskBits(self.words & ~other.words, self.size)

    def common(self, other: MaskBits) -> npt.NDArray[np.int64]:
        """N x M numbers of pixels that each mask has in common with each of M others."""
        found = np.zeros((len(self), len(other)), np.int64)
        for row, mask in enumerate(self.words):  # row by row, so that memory stays that of one set
            found[row] = bit_counts(other.words & mask).sum(axis=1, dtype=np.int64)
        return found

    def iou(self, other: MaskBits) -> npt.NDArray[np.float64]:
        """N x M intersections over unions with M others; 0 where both are empty."""
        common = self.common(other)
        return common / np.maximum(self.areas[:, None] + other.areas - common, 1)

    def covered(self, other: MaskBits) -> npt.NDArray[np.float64]:
        """N x M shares of each mask that lie in each of M others; 0 of an empty mask."""
        return self.common(other) / np.maximum(self.areas[:, None], 1)
