"""Exemplars: what is known of an object, as a file, to find it in another video with.

The file is laid out as a session's is: safetensors with a JSON record. Nothing in it can run code, and what it can
hold is bounded before it is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sam2v.arrays import Array, device_of, finite_floats, namespace
from sam2v.config import ModelConfig
from sam2v.files import user_path, whole_file
from sam2v.memory import MemoryEntry, Pool
from sam2v.tracking.origin import Origin
from sam2v.tracking.packed import Item, PackedFile, write_packed

#: Memories of an object that a file may hold.
MOST_MEMORIES = 64
_KIND, _FORMAT = "exemplar", 1
_PARTS = ("mask", "pointer", "scores", "memory")
#: Bytes that the record and the names of the tensors may take.
_HEADER = 1 << 20


def save_exemplar(
    path: str | Path, entries: Sequence[MemoryEntry], origin: Origin, input_size: tuple[int, int]
) -> None:
    """Write an object's entries, which have their memories, to a file, which appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    arrays = [zip(_PARTS, (*entry.result.get(), entry.memory), strict=True) for entry in entries]
    items = [Item.of(f"{n}.{part}", array) for n, parts in enumerate(arrays) for part, array in parts]
    about = {"kind": _KIND, "format": _FORMAT, "memories": len(entries), "input": list(input_size)}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        write_packed(file, {**about, "origin": origin.record()}, items)


def load_exemplar(
    path: str | Path, now: Origin, config: ModelConfig, input_size: tuple[int, int], pool: Pool, like: Array
) -> list[MemoryEntry]:
    """Read an object's entries and check that they fit the model and the network's input.

    Args:
        path: the file. now: the model that is to read the memories, of `config`. input_size: (height, width) of its
            input. pool: what keeps them. like: an array of the device and type that they are read on and in.

    Raises:
        FileNotFoundError: no such file. ValueError: no exemplar, damaged, or made with another model or input size.
    """
    path = user_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no exemplar file {path}")
    shapes = _shapes(config, input_size)
    if path.stat().st_size > _HEADER + MOST_MEMORIES * sum(4 * math.prod(shape) for shape in shapes.values()):
        raise ValueError(
            f"{path} is too large for an exemplar of at most {MOST_MEMORIES} memories at {_by(input_size)}"
        )
    file = PackedFile(path, str(path), "an exemplar")
    try:
        about: dict[str, Any] = file.record
        if (about["kind"], about["format"]) != (_KIND, _FORMAT):
            raise KeyError("kind")
        made_at, count, origin = (
            tuple(map(int, about["input"])),
            int(about["memories"]),
            Origin.from_record(about["origin"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise ValueError(f"{path}: not an exemplar of this version of sam2v") from None
    origin.check(now, "exemplar", ("model",))
    if made_at != input_size:
        raise ValueError(f"{path} was made with a network input of {_by(made_at)}, this video's is {_by(input_size)}")
    if not 1 <= count <= MOST_MEMORIES:
        raise ValueError(f"{path} says that it holds {count} memories: 1 to {MOST_MEMORIES} are accepted")
    return [_entry(file, n, shapes, pool, like, path) for n in range(count)]


def _entry(
    file: PackedFile, number: int, shapes: dict[str, tuple[int, ...]], pool: Pool, like: Array, path: Path
) -> MemoryEntry:
    try:
        found = {part: file.array(f"{number}.{part}", device_of(like)) for part in _PARTS}
    except KeyError as error:
        raise ValueError(f"{path} lacks {error.args[0]}") from None
    for part, array in found.items():
        if tuple(array.shape) != shapes[part]:
            raise ValueError(f"{path}: {number}.{part} is {_by(array.shape)}, not {_by(shapes[part])}")
        if not finite_floats(array):
            raise ValueError(f"{path}: {number}.{part} holds something else than finite numbers")
    *result, memory = (found[part] for part in _PARTS)
    memory = namespace(like).astype(memory, like.dtype, copy=False)
    return MemoryEntry(pool.keep(*result), pool.keep(memory), prompted=True)


def _shapes(config: ModelConfig, input_size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Shapes of a memory's parts."""
    height, width = input_size
    return {
        "mask": (height // 4, width // 4),
        "pointer": (config.hidden_dim,),
        "scores": (2,),
        "memory": ((height // 16) * (width // 16), config.memory.mem_dim),
    }


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes)) or "a single number"
