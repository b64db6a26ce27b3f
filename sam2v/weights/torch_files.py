"""Torch's own files (.pt), of all versions.

Nothing is allocated before it is known that the file really holds as much, and what lies beside the weights, an
optimizer's state say, is never read.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import torch
from torch import Tensor

from sam2v.weights.contents import NotWeights
from sam2v.weights.pickles import Refused, Storage, Stored, Unpickler

_MOST = 64 << 20  # bytes of a pickle; its values take a multiple of that in memory
_MAGIC = 0x1950A86A20F9469CFC6C  # begins a file of torch before 1.6
_Reader = Callable[[Storage], Tensor]


def read_torch_file(path: Path, choose: Callable[[Any], Mapping[str, Stored]]) -> dict[str, Tensor]:
    """Read tensors of a .pt file.

    Args:
        path: the file.
        choose: picks the tensors to read out of what the file holds: plain containers and values, `Stored`, `Beside`.

    Raises:
        ValueError: whatever `choose` raises; a file that is damaged, that names anything but tensors and plain values,
            or that declares more than it holds.
    """
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
        file.seek(0)
        try:
            with (_zipped if is_zip else _sequential)(file) as (content, read):
                chosen = choose(content)
                return _tensors(chosen, read, path.stat().st_size)
        except Refused as error:
            raise ValueError(f"{path} is refused: {error}; only tensors and plain values are accepted") from None
        except NotWeights:
            raise
        except Exception:  # damaged bytes make an unpickler stumble in any number of ways
            raise ValueError(f"{path} is damaged or incomplete, or not a torch file") from None


def check_archive(path: Path) -> None:
    """Make sure that a .pt file of torch 1.6 or newer holds as many bytes as torch would read from it into memory.

    Raises:
        ValueError: another file, or one with parts that are compressed, or together longer than the file.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file, ZipFile(file) as archive:
            if file.seek(0) or file.read(4) != b"PK\x03\x04":  # by these torch takes it for one
                raise BadZipFile
            parts = archive.infolist()
    except (BadZipFile, NotImplementedError, UnicodeDecodeError):
        raise ValueError(f"{path} is damaged or incomplete, or not a torch file") from None
    for part in parts:
        _check_stored(part, size)
    if sum(part.file_size for part in parts) > size:
        raise Refused(f"it declares more bytes than the {size} of the file")


def _check_stored(part: ZipInfo, size: int) -> None:
    """Raise Refused unless a part of an archive of `size` bytes lies in it as it is."""
    whole = part.compress_type == ZIP_STORED and part.compress_size == part.file_size
    if not whole or part.header_offset + part.file_size > size:
        raise Refused(f"{part.filename} is compressed, or longer than the file; torch writes neither")


def _tensors(chosen: Mapping[str, Stored], read: _Reader, size: int) -> dict[str, Tensor]:
    needed = {stored.storage.key: stored.storage for stored in chosen.values()}
    if sum(storage.nbytes for storage in needed.values()) > size:
        raise Refused(f"it declares more bytes of values than the {size} of the file")
    values = {key: read(storage) for key, storage in needed.items()}
    return {name: _view(values[stored.storage.key], stored) for name, stored in chosen.items()}


def _view(values: Tensor, stored: Stored) -> Tensor:
    return values.view(stored.dtype).as_strided(stored.shape, stored.stride, stored.offset)


@contextmanager
def _zipped(file: IO[bytes]) -> Iterator[tuple[Any, _Reader]]:
    """Content and reader of a file of torch 1.6 or newer: a zip archive of a pickle and one entry for every storage."""
    size = file.seek(0, io.SEEK_END)
    with ZipFile(file) as archive:
        names = archive.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            raise Refused("a TorchScript program, not a checkpoint")
        (index,) = (name for name in names if name.count("/") == 1 and name.endswith("/data.pkl"))
        folder = index.removesuffix("data.pkl")

        def stream(name: str, most: int) -> IO[bytes]:
            info = archive.getinfo(folder + name)
            _check_stored(info, size)
            if info.file_size > most:
                raise Refused(f"{info.filename} has {info.file_size} bytes, more than {most}")
            return archive.open(info)

        if folder + "byteorder" in names and stream("byteorder", 16).read() != b"little":
            raise Refused("it was written on a big-endian machine")
        with stream("data.pkl", _MOST) as pickled:
            content = Unpickler(io.BytesIO(pickled.read())).load()

        def read(storage: Storage) -> Tensor:
            with stream(f"data/{storage.key}", size) as part:
                return _filled(storage, part)

        yield content, read


@contextmanager
def _sequential(file: IO[bytes]) -> Iterator[tuple[Any, _Reader]]:
    """Content and reader of a file of older torch: pickles one after the other, then the storages."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = io.BytesIO(file.read(_MOST))
    if Unpickler(head).load() != _MAGIC:
        raise Refused("a plain pickle, not torch's")
    _, system = Unpickler(head).load(), Unpickler(head).load()
    if not system["little_endian"]:
        raise Refused("it was written on a big-endian machine")
    unpickler = Unpickler(head)
    content = unpickler.load()
    places, at = {}, 0
    keys = Unpickler(head).load()
    at = head.tell()
    for key in keys:
        file.seek(at)
        count = int.from_bytes(file.read(8), "little")
        storage = unpickler.storages[key]
        places[key], at = at + 8, at + 8 + storage.nbytes
        if count != storage.count or at > size:
            raise ValueError(f"storage {key} is incomplete")

    def read(storage: Storage) -> Tensor:
        file.seek(places[storage.key])
        return _filled(storage, file)

    yield content, read


def _filled(storage: Storage, stream: IO[bytes]) -> Tensor:
    """A storage's bytes."""
    values = torch.empty(storage.nbytes, dtype=torch.uint8)
    array: Any = values.numpy()
    if stream.readinto(array) != storage.nbytes:  # type: ignore[attr-defined]
        raise ValueError(f"storage {storage.key} is incomplete")
    return values
