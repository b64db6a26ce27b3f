"""Masks of one video in NumPy archives, of which nothing is believed."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from sam2v.masks.bounds import check_masks

#: Masks that a frame may have.
_MOST = 65535
#: What damaged bytes make zipfile, zlib and NumPy raise; a RuntimeError is that of encrypted members.
_DAMAGED = (
    *(KeyError, ValueError, TypeError, EOFError, RuntimeError, SyntaxError, OverflowError, OSError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError, struct.error),
)


@dataclass(frozen=True)
class Archives:
    """One NumPy archive per frame, with `masks` N x H x W bool and `obj_ids` N.

    Attributes:
        files: frame index -> archive, in order.
        size: (height, width) of the video.
    """

    files: Mapping[int, Path]
    size: tuple[int, int]

    def file(self, frame_idx: int) -> Path:
        return self.files[frame_idx]

    def masks(self, frame_idx: int) -> dict[int, np.ndarray]:
        path = self.files[frame_idx]
        with path.open("rb") as file:
            try:
                with zipfile.ZipFile(file) as archive:
                    _check(archive, self.size)
                    ids, masks = _array(archive, "obj_ids").tolist(), _array(archive, "masks")
            except _DAMAGED as error:
                raise ValueError(f"{path}: no archive of masks ({' '.join(str(error).split())[:300]})") from None
        if len(set(ids)) < len(ids):
            few = ", ".join(map(str, ids[:8])) + ", ..." * (len(ids) > 8)
            raise ValueError(f"{path}: an object's id stands twice in obj_ids, [{few}]")
        return {obj_id: mask for obj_id, mask in zip(ids, masks, strict=True) if mask.any()}


def _check(archive: zipfile.ZipFile, size: tuple[int, int]) -> None:
    """Raise ValueError unless an archive declares masks of the video's size; a small one may unpack to any."""
    shape, kind = _header(archive, "masks")
    if len(shape) != 3 or kind != "b":
        raise ValueError(f"masks has shape {shape!s:.60} and kind {kind!r}, not N x H x W of bool")
    if not 0 <= shape[0] <= _MOST:
        raise ValueError(f"masks holds {shape[0]} masks, of which 0 to {_MOST} are accepted")
    if shape[0]:
        check_masks(shape[0], shape[1:], size)
    ids, kind = _header(archive, "obj_ids")
    if ids != shape[:1] or kind not in "iu":
        raise ValueError(f"obj_ids has shape {ids!s:.60} and kind {kind!r}, not {shape[0]} integers")


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], str]:
    """Shape and NumPy's kind of an array that is not read."""
    if archive.getinfo(f"{name}.npy").compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way that NumPy does not write")
    with archive.open(f"{name}.npy") as member:
        if npy.read_magic(member) != (1, 0):  # later ones have headers of up to 4 GB, which only tables need
            raise ValueError(f"{name} has a header of another version than 1.0")
        shape, _, dtype = npy.read_array_header_1_0(member)
    return shape, dtype.kind


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The array whose header was checked; `numpy.load` might take another member for it."""
    with archive.open(f"{name}.npy") as member:
        array: np.ndarray = npy.read_array(member, allow_pickle=False)
    return array
