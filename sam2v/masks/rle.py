"""COCO run-length masks: encode and decode in plain NumPy.

A COCO RLE is `{"size": [height, width], "counts": ...}`: lengths of alternating runs of background and object, the
first one background, down the columns (column-major order). `counts` is either that list of numbers ("uncompressed") or
a short ASCII string: every number but the first three is written as its difference to the number two before it, in
groups of five bits, lowest first, a sixth bit saying that more groups follow, 48 added to make it printable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sam2v.arrays import Array, is_torch_array, to_numpy
from sam2v.masks.crops import MaskCrop
from sam2v.masks.window import mask_window

#: Pixels that a decoded mask may have: the size from which on Pillow refuses a picture. A mask of more pixels belongs
#: to no frame that can be opened, and a hundred bytes of runs could ask for any amount of memory.
MAX_PIXELS = 178_956_970

_OFFSET = 48  # code of the character "0"
_MORE = 32  # sixth bit: another group follows
_SIGN = 16  # highest of the five data bits
_MAX_GROUPS = 7  # 35 bits hold any difference between two counts of a mask smaller than 2**34 pixels


def encode_rle(mask: Array, compressed: bool = True) -> dict[str, Any]:
    """The COCO RLE of an H x W mask, bool or integer (anything but 0 is object).

    Args:
        compressed: counts as a string, ready for JSON, as pycocotools makes them; otherwise a list of int.

    Raises:
        TypeError: a floating mask (threshold logits first). ValueError: not two-dimensional, or empty.
    """
    array = _as_mask(mask)
    counts = _runs(array)
    return {"size": list(array.shape), "counts": _pack(counts) if compressed else counts.tolist()}


def encode_crop(crop: MaskCrop | None, size: tuple[int, int]) -> dict[str, Any]:
    """The COCO RLE of a mask that is known by its crop, on a frame of `size` = (height, width)."""
    if crop is None:
        return rle_of_turns(np.zeros(0, np.int64), size)
    rows, columns = crop.window
    return rle_of_turns(turns_of(crop.mask, size, (columns.start, rows.start)), size)


def decode_rle(rle: Mapping[str, Any]) -> np.ndarray:
    """The H x W bool mask of a COCO RLE; `counts` may be str, bytes or a list of run lengths.

    Raises:
        ValueError: a malformed value, with its fault (a missing key, a bad character, runs that do not add up), or a
            mask of more than `MAX_PIXELS`. Nothing is allocated then.
    """
    (height, width), counts = _parse(rle)
    values = np.arange(counts.size) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)


def rle_area(rle: Mapping[str, Any]) -> int:
    """Number of object pixels of a COCO RLE, without decoding it. Raises as `decode_rle`."""
    return int(_parse(rle)[1][1::2].sum())


def union_rle(rles: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What any of some masks of one size, at least one, covers; arguments and errors as `decode_rle`."""
    return encode_rle(np.logical_or.reduce([decode_rle(rle) for rle in rles]))


def rle_of_turns(turns: np.ndarray, size: tuple[int, int], compressed: bool = True) -> dict[str, Any]:
    """The COCO RLE of a mask that is known by its turns.

    Args:
        turns: where a run of the object starts, ends, starts, ... in the column-major order of pixels, never falling.
            Runs may be empty, and may touch.
        size: (height, width) of the mask.
        compressed: as `encode_rle`.
    """
    counts = _counts(turns, size[0] * size[1])
    return {"size": list(size), "counts": _pack(counts) if compressed else counts.tolist()}


def turns_of(part: np.ndarray, size: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> np.ndarray:
    """The turns, as `rle_of_turns` takes them, of a mask that is known in a part of its picture and empty elsewhere.

    Args:
        part: h x w bool.
        size: (height, width) of the picture. corner: (column, row) of the part's first pixel in it.
    """
    padded = np.zeros((part.shape[1], part.shape[0] + 2), bool)
    padded[:, 1:-1] = part.T
    column, row = np.divmod(np.flatnonzero(padded[:, 1:] != padded[:, :-1]), padded.shape[1] - 1)
    return (column + corner[0]) * size[0] + row + corner[1]


def _runs(array: np.ndarray) -> np.ndarray:
    """int64 run lengths of an H x W bool mask. Only the part that holds the object is looked at."""
    window = mask_window(array)
    if window is None:
        return np.array([array.size])
    rows, columns = window
    return _counts(turns_of(array[window], array.shape, (columns.start, rows.start)), array.size)


def _counts(turns: np.ndarray, pixels: int) -> np.ndarray:
    """int64 run lengths of a mask of so many pixels, from its turns; see `rle_of_turns`."""
    # a run that reaches the bottom may go on at the top of the next column: two turns at one place are none
    first = np.flatnonzero(np.diff(turns, prepend=-1))
    turns = turns[first[np.diff(first, append=len(turns)) % 2 == 1]]
    ends = turns if len(turns) and turns[-1] == pixels else np.append(turns, pixels)
    return np.diff(ends, prepend=0)


def _as_mask(mask: Array) -> np.ndarray:
    array = to_numpy(mask) if is_torch_array(mask) else np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"a mask is H x W with at least one pixel, this one has shape {array.shape}")
    if array.dtype.kind not in "bui":
        raise TypeError(f"a mask is bool or integer, this one is {array.dtype}; compare logits with 0 first")
    return array if array.dtype == bool else array != 0


def _parse(rle: Mapping[str, Any]) -> tuple[tuple[int, int], np.ndarray]:
    """((height, width), int64 run lengths), checked."""
    if not isinstance(rle, Mapping) or not {"size", "counts"} <= set(rle):
        raise ValueError(f"a COCO RLE is a dict with 'size' and 'counts', got {_brief(rle)}")
    size, counts = rle["size"], rle["counts"]
    if not isinstance(size, Sequence | np.ndarray) or len(size) != 2 or not all(map(_is_side, size)):
        raise ValueError(f"size of a COCO RLE is [height, width], positive integers, got {_brief(size)}")
    height, width = int(size[0]), int(size[1])
    pixels = height * width
    if pixels > MAX_PIXELS:
        raise ValueError(f"a COCO RLE of size {height} x {width} has more than {MAX_PIXELS} pixels")
    runs = _unpack(counts) if isinstance(counts, str | bytes) else _checked_list(counts)
    # one by one before the sum, which could wrap around
    if runs.size == 0 or runs.min() < 0 or runs.max() > pixels or int(runs.sum()) != pixels:
        raise ValueError(
            f"runs of a COCO RLE of size {height} x {width} must add up to {pixels} pixels "
            f"and none may be negative; these add up to {sum(runs.tolist())}"
        )
    return (height, width), runs


def _is_side(value: Any) -> bool:
    if not isinstance(value, int | float | np.number) or not value >= 1:
        return False
    return isinstance(value, int) or float(value).is_integer()  # an int may be too large for a float


def _checked_list(counts: Any) -> np.ndarray:
    runs = np.asarray(counts)
    if runs.ndim != 1 or runs.dtype.kind not in "ui":
        raise ValueError(f"counts of a COCO RLE is a string or a list of integers, got {_brief(counts)}")
    return runs.astype(np.int64)


def _pack(counts: np.ndarray) -> str:
    """int64 run lengths -> compressed string."""
    deltas = counts.astype(np.int64)
    deltas[3:] -= counts[1:-2]
    magnitude = np.where(deltas < 0, ~deltas, deltas)  # a signed number fits n groups if this is below 2**(5 n - 1)
    groups = np.ones(deltas.size, np.int64)
    for bits in range(4, 5 * _MAX_GROUPS, 5):
        groups += magnitude >= 1 << bits
    ends = np.cumsum(groups)
    place = np.arange(ends[-1]) - np.repeat(ends - groups, groups)  # which group of its number each character is
    codes = (np.repeat(deltas, groups) >> (5 * place)) & (_MORE - 1)
    codes[place < np.repeat(groups, groups) - 1] |= _MORE
    return (codes + _OFFSET).astype(np.uint8).tobytes().decode("ascii")


def _unpack(text: str | bytes) -> np.ndarray:
    """Compressed string -> int64 run lengths (not yet checked against a size)."""
    raw = text.encode("ascii", "replace") if isinstance(text, str) else text
    codes = np.frombuffer(raw, np.uint8).astype(np.int64) - _OFFSET
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & _MORE:
        raise ValueError(f"not a compressed COCO RLE string: {_brief(text)}")
    last = np.flatnonzero((codes & _MORE) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    groups = last - first + 1
    if groups.max() > _MAX_GROUPS:
        raise ValueError(f"not a compressed COCO RLE string (a number of {groups.max()} groups): {_brief(text)}")
    place = np.arange(codes.size) - np.repeat(first, groups)
    numbers = np.add.reduceat((codes & (_MORE - 1)) << (5 * place), first)
    negative = (codes[last] & _SIGN) != 0
    numbers -= np.where(negative, np.int64(1) << (5 * groups), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])  # undo the differences; the chains start at 1 and 2, 0 stands alone
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
