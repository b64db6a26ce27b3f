"""What the array API standard lacks, for NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

#: Types of numbers, and their names in files.
NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "uint8": "U8"}
#: Bytes of one number, by the type's name in files.
SIZES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1}
#: NumPy's types, by name in files; of BF16 the bits.
TYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64, "U8": np.uint8}
#: Sizes whose weights are kept.
_WEIGHTS = 32


def download(array: np.ndarray) -> Callable[[], np.ndarray]:
    """See `sam2v.arrays.download`."""
    return lambda: array


def to_numpy(array: np.ndarray) -> np.ndarray:
    """The array itself."""
    return np.asarray(array)


def floats(array: np.ndarray) -> np.ndarray:
    """See `sam2v.arrays.floats`."""
    return np.asarray(array, np.float32)


def clamp(array: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """See `sam2v.arrays.clamp`."""
    return np.clip(array, low, high)


def gathered(array: np.ndarray, index: np.ndarray, axis: int) -> np.ndarray:
    """See `sam2v.arrays.gathered`."""
    return np.take_along_axis(array, index, axis)


def scatter_add(length: int, index: np.ndarray, values: np.ndarray) -> np.ndarray:
    """See `sam2v.arrays.scatter_add`."""
    made = np.zeros(length, values.dtype)
    np.add.at(made, index, values)
    return made


def scatter_least(array: np.ndarray, index: np.ndarray, values: np.ndarray) -> np.ndarray:
    """See `sam2v.arrays.scatter_least`."""
    np.minimum.at(array, index, values)
    return array


def owned(array: np.ndarray) -> np.ndarray:
    """See `sam2v.arrays.owned`. Results of another library that own their bytes elsewhere are copied as well."""
    return array if array.base is None and array.flags.c_contiguous else np.array(array, order="C")


def owned_rows(array: np.ndarray) -> list[np.ndarray]:
    """See `sam2v.arrays.owned_rows`."""
    return [owned(row) for row in array]


def packed_bytes(array: np.ndarray) -> bytes:
    """See `sam2v.arrays.packed_bytes`."""
    return array.tobytes()


def packed_bits(masks: np.ndarray) -> np.ndarray:
    """See `sam2v.arrays.packed_bits`."""
    return np.packbits(masks.reshape(len(masks), math.prod(masks.shape[1:])), axis=1)


def unpacked(data: bytes, dtype: np.dtype | type, shape: tuple[int, ...]) -> np.ndarray:
    """See `sam2v.arrays.unpacked`."""
    return np.frombuffer(bytearray(data), dtype).reshape(shape)


def widened(halves: np.ndarray) -> np.ndarray:
    """Bits of bfloat16, which are the upper half of a float32's, as float32."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def resized(array: np.ndarray, size: tuple[int, int], antialias: bool) -> np.ndarray:
    """See `sam2v.arrays.resized`: first the axis that leaves less to do for the other."""
    h, w = array.shape[-2:]
    planes = np.asarray(array, np.float32).reshape(-1, h, w)
    rows_first = size[0] * w <= h * size[1]
    for axis in (1, 2) if rows_first else (2, 1):
        planes = _along(planes, axis, size[axis - 1], antialias)
    return planes.reshape(*array.shape[:-2], *size)


def _along(planes: np.ndarray, axis: int, length: int, antialias: bool) -> np.ndarray:
    """N x h x w planes with an axis of another length."""
    if planes.shape[axis] == length:
        return planes
    index, weights = _taps(planes.shape[axis], length, antialias)
    shape = (-1, 1) if axis == 1 else (-1,)
    total = np.take(planes, index[0], axis) * weights[0].reshape(shape)
    for tap, weight in zip(index[1:], weights[1:], strict=True):
        part = np.take(planes, tap, axis)
        part *= weight.reshape(shape)
        total += part
    return total


@lru_cache(_WEIGHTS)
def _taps(before: int, after: int, antialias: bool) -> tuple[np.ndarray, np.ndarray]:
    """For every place of an axis of `after` pixels, K x after: which pixels of `before` it is made of, and by which
    weights, which sum up to 1."""
    scale = before / after
    reach = max(scale, 1.0) if antialias else 1.0  # half the width of the triangle that weighs them
    centre = (np.arange(after) + 0.5) * scale
    if not antialias:
        centre = np.clip(centre, 0.5, before - 0.5)
    count = math.ceil(reach) * 2 + 1
    index = np.floor(centre - reach + 0.5).astype(np.int64) + np.arange(count)[:, None]
    weights = np.clip(1 - np.abs((index + 0.5 - centre) / reach), 0, None)
    weights[(index < 0) | (index >= before)] = 0
    weights /= weights.sum(axis=0)
    used = weights.any(axis=1)
    return np.clip(index, 0, before - 1)[used], weights[used].astype(np.float32)
