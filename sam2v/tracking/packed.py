"""Named arrays and a JSON record in the safetensors layout, written and read one array at a time.

The layout is short enough to be read here, by the library of whichever arrays are wanted, and checked before anything
is read: eight bytes with the length of a JSON header, the header (a type, a shape and a place for every array), and the
arrays' bytes.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from sam2v.arrays import HOST, Array, Device, packed_bytes, type_name, unpacked_as
from sam2v.arrays.numpy_kind import SIZES

_KEY = "sam2v"
#: Bytes of a header at most, as other readers have it.
_HEADER = 100_000_000
#: What no side of an array reaches; there are arrays without elements, of which one side could be anything.
_MOST = 1 << 48


class Item(NamedTuple):
    """An array to write: its name, shape and type, and how to get it."""

    name: str
    shape: Sequence[int]
    dtype: Any
    get: Callable[[], Array]

    @classmethod
    def of(cls, name: str, array: Array) -> Item:
        """An item of an array that is at hand."""
        return cls(name, array.shape, array.dtype, lambda: array)


def write_packed(file: IO[bytes], record: dict[str, Any], items: Sequence[Item]) -> None:
    """Write a record and arrays; each is asked for when it is written, so that they need not be in memory together."""
    header: dict[str, Any] = {"__metadata__": {_KEY: json.dumps(record)}}
    end = 0
    for item in items:
        start, end = end, end + math.prod(item.shape) * item.dtype.itemsize
        header[item.name] = {"dtype": type_name(item.dtype), "shape": list(item.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for item in items:
        file.write(packed_bytes(item.get()))


class _Place(NamedTuple):
    """Where an array is in a file, and what it is."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @classmethod
    def of(cls, about: dict[str, Any], data: int) -> _Place:
        """What a header says of an array; `data` is the number of bytes behind the header.

        Raises:
            ValueError, TypeError, KeyError: something that cannot be.
        """
        start, end = about["data_offsets"]
        shape = tuple(about["shape"])
        if any(type(number) is not int or not 0 <= number < _MOST for number in (*shape, start, end)) or end > data:
            raise ValueError("numbers")
        if end - start != math.prod(shape) * SIZES[about["dtype"]]:
            raise ValueError("size")
        return cls(about["dtype"], shape, start, end)


class PackedFile:
    """Reads what `write_packed` wrote.

    Attributes:
        record: the JSON record.

    Args:
        source: a file's path, or its bytes.
        name: what to call it in errors. kind: what it should be, for errors too.

    Raises:
        ValueError: damaged, incomplete or without a record.
    """

    def __init__(self, source: Path | bytes, name: str, kind: str = "a session file") -> None:
        self._file: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        try:
            self._places, self.record = self._header()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._file.close()
            reason = type(error).__name__
            text = f"{name}: not {kind} of this version of sam2v, or damaged ({reason})"
            raise ValueError(text) from None

    def _header(self) -> tuple[dict[str, _Place], dict[str, Any]]:
        """Where the arrays are, and the record."""
        whole = self._file.seek(0, io.SEEK_END)
        self._file.seek(0)
        length = int.from_bytes(self._file.read(8), "little")
        if whole < 8 or length > min(whole - 8, _HEADER):
            raise ValueError("length")
        header = json.loads(self._file.read(length))
        self._first = 8 + length
        metadata = header.pop("__metadata__")
        places = {name: _Place.of(about, whole - self._first) for name, about in header.items()}
        if sum(place.end - place.start for place in places.values()) != whole - self._first:
            raise ValueError("bytes that belong to nothing")
        record: dict[str, Any] = json.loads(metadata[_KEY])
        return places, record

    def array(self, name: str, device: Device = HOST) -> Array:
        """An array, on a device and of its kind.

        Raises:
            KeyError: there is none of this name.
        """
        place = self._places[name]
        self._file.seek(self._first + place.start)
        return unpacked_as(self._file.read(place.end - place.start), place.dtype, place.shape, device)

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()
