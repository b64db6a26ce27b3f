"""Masks as rows of 64-bit words: set algebra, boundaries and disk dilation at 64 pixels an instruction.

Everything here is exact. A mask of H x W pixels is a `Packed`: uint64 of H x K, pixel (y, x) in bit x % 64 of word x //
64, with at least `pad` empty bits after column W - 1, so that a shift of the flattened words by up to `pad` columns
carries a pixel into padding and never into the neighbouring row.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
import numpy.typing as npt

from sam2v.masks.bits import bit_counts

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Packed:
    """Rows of 64-bit words; `start` is the image column of bit 0, `width` the image's width in pixels."""

    words: Words
    width: int
    start: int = 0


def pack(mask: npt.NDArray[np.bool_ | np.integer], pad: int) -> Packed:
    """Pack an H x W mask (non-zero is set), leaving at least max(pad, 1) empty bits at the end of each row."""
    height, width = mask.shape
    count = -(-(width + max(pad, 1)) // 64)
    raw = np.zeros((height, 8 * count), dtype=np.uint8)
    raw[:, : -(-width // 8)] = np.packbits(mask, axis=1, bitorder="little")
    return Packed(raw.view("<u8"), width)


def count(words: Words) -> int:
    """Number of set bits."""
    return int(bit_counts(words).sum(dtype=np.int64))


def crop(first: Packed, second: Packed, pad: int) -> tuple[Packed, Packed]:
    """Cut two masks of one image to the rows and words that either uses, and room for their boundaries."""
    both = first.words | second.words
    rows = np.flatnonzero(both.any(axis=1))
    if rows.size == 0:
        empty = first.words[:1]
        return Packed(empty, first.width), Packed(empty, first.width)
    columns = np.flatnonzero(np.bitwise_or.reduce(both[rows[0] : rows[-1] + 1], axis=0))
    top, bottom = max(rows[0] - 1, 0), rows[-1] + 2
    left, right = max(columns[0] - 1, 0), columns[-1] + 2 + pad // 64
    cut = [np.ascontiguousarray(m.words[top:bottom, left:right]) for m in (first, second)]
    return Packed(cut[0], first.width, 64 * int(left)), Packed(cut[1], first.width, 64 * int(left))


def boundary(mask: Packed) -> Words:
    """Pixels that differ from their right, lower or lower-right neighbour, in the layout of `mask.words`.

    In the image's last column and row only the neighbour inside the image counts, and the last pixel never is a
    boundary. A cropped mask must keep a row below its object (see `crop`) or end at the image's last row.
    """
    words = mask.words
    right = words >> np.uint64(1)
    right[:, :-1] |= words[:, 1:] << np.uint64(63)
    word, bit = divmod(mask.width - 1 - mask.start, 64)
    if word < words.shape[1]:  # the last column is its own right neighbour
        right[:, word] |= words[:, word] & np.uint64(1 << bit)
    edge = words ^ right
    edge[:-1] |= (words[:-1] ^ words[1:]) | (words[:-1] ^ right[1:])
    return edge


def dilate(words: Words, radius: int) -> Words:
    """Dilate by the disk x^2 + y^2 <= radius^2; rows need `radius` empty bits at their end.

    The disk is a stack of horizontal runs: the run of half-width w is grown once, from the next shorter one, and laid
    down at every row offset that has it. Bits may spill into the padding.
    """
    out = words.copy()
    run, half = words.ravel().copy(), 0
    for offset in range(radius, -1, -1):
        wanted = isqrt(radius * radius - offset * offset)
        run, half = _widen(run, half, wanted), wanted
        rows = run.reshape(words.shape)
        if offset == 0:
            out |= rows
        elif offset < len(out):
            out[:-offset] |= rows[offset:]
            out[offset:] |= rows[:-offset]
    return out


def _widen(run: Words, half: int, wanted: int) -> Words:
    """Grow a flat horizontal dilation from half-width `half` to `wanted`."""
    while half < wanted:
        step = min(wanted - half, 2 * half + 1)
        words, bits = divmod(step, 64)
        grown = run.copy()
        size = run.size - words
        if size > 0:
            grown[words:] |= run[:size] << np.uint64(bits)
            grown[:size] |= run[words:] >> np.uint64(bits)
        if bits and size > 1:  # bits that cross into the next word
            grown[words + 1 :] |= run[: size - 1] >> np.uint64(64 - bits)
            grown[: size - 1] |= run[words + 1 :] << np.uint64(64 - bits)
        run, half = grown, half + step
    return run
