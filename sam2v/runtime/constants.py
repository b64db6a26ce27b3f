"""Arrays that the host needs, from a small .npz file of which nothing is believed."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from sam2v.runtime.manifest import CONSTANTS_BYTES, NotAnExport


def read_constants(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Arrays of float32 by name.

    Raises:
        NotAnExport: one is missing, larger than what such a file may hold, or something else than finite floats.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _array(archive, f"{name}.npy") for name in names}
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError, NotImplementedError, SyntaxError) as error:
        raise NotAnExport(f"{path}: not the constants of an exported model ({type(error).__name__})") from None


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    if archive.getinfo(name).file_size > CONSTANTS_BYTES:
        raise ValueError("size")
    with archive.open(name) as member:
        file = io.BytesIO(member.read(CONSTANTS_BYTES))
    if npy.read_magic(file) != (1, 0):
        raise ValueError("version")
    shape, fortran, dtype = npy.read_array_header_1_0(file)
    data = file.read()
    if fortran or dtype != np.float32 or math.prod(shape) * 4 != len(data):
        raise ValueError("numbers")
    array = np.frombuffer(bytearray(data), np.float32).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("numbers")
    return array
