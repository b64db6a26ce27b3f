"""How many masks of a frame may be made: files of a few bytes can tell of any number of them, of any size."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from sam2v.masks.rle import decode_rle, rle_size

#: Bytes of one frame's masks, H x W bool each, and objects that pictures may show on it.
MOST_BYTES, MOST_OBJECTS = 1 << 31, 4096


def check_masks(count: int, found: tuple[int, ...], size: tuple[int, int] | None = None) -> None:
    """Raise ValueError unless a frame may have `count` masks of `found` = (height, width).

    Args:
        size: (height, width) that they must have, None if it is not known.
    """
    if size is not None and tuple(found) != tuple(size):
        sizes = " and ".join(f"{width} x {height}" for height, width in (found, size))
        raise ValueError(f"masks and video have different sizes, {sizes}")
    if count * found[0] * found[1] > MOST_BYTES:
        raise ValueError(f"{count} masks of {found[1]} x {found[0]} pixels take more than {MOST_BYTES >> 20} MB")


def check_picture(
    path: str | os.PathLike[str], count: int, found: tuple[int, ...], size: tuple[int, int] | None = None
) -> None:
    """`check_masks` of the objects in a picture, which are no more than `MOST_OBJECTS`; errors name the file."""
    if count > MOST_OBJECTS:
        raise ValueError(f"{path}: holds {count} objects, of which {MOST_OBJECTS} are accepted")
    try:
        check_masks(count, found, size)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def decode_one(rle: Mapping[str, Any], count: int, size: tuple[int, int] | None = None) -> np.ndarray:
    """The H x W bool mask of a COCO RLE, one of `count` on its frame; nothing is allocated before `check_masks`.

    Raises:
        ValueError: as `check_masks` and `decode_rle`.
    """
    check_masks(count, rle_size(rle), size)
    return decode_rle(rle)
