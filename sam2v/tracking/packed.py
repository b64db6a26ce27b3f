"""Named tensors and a JSON record in the safetensors layout, written and read one tensor at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

_KEY = "sam2v"
_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.uint8: "U8",
}


class Item(NamedTuple):
    """A tensor to write: its name, shape and type, and how to get it."""

    name: str
    shape: Sequence[int]
    dtype: torch.dtype
    get: Callable[[], Tensor]

    @classmethod
    def of(cls, name: str, tensor: Tensor) -> Item:
        """An item of a tensor that is at hand."""
        return cls(name, tensor.shape, tensor.dtype, lambda: tensor)


def write_packed(file: IO[bytes], record: dict[str, Any], items: Sequence[Item]) -> None:
    """Write a record and tensors; each is asked for when it is written, so that they need not be in memory together."""
    header: dict[str, Any] = {"__metadata__": {_KEY: json.dumps(record)}}
    end = 0
    for item in items:
        start, end = end, end + torch.Size(item.shape).numel() * item.dtype.itemsize
        header[item.name] = {"dtype": _NAMES[item.dtype], "shape": list(item.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for item in items:
        file.write(item.get().detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())


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
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load

        try:
            if isinstance(source, bytes):
                tensors = load(source)
                header = json.loads(source[8 : 8 + int.from_bytes(source[:8], "little")])
                self._get, metadata = tensors.__getitem__, header.get("__metadata__") or {}
            else:
                opened = safe_open(source, framework="pt").__enter__()
                self._get, metadata = opened.get_tensor, opened.metadata() or {}
            self.record: dict[str, Any] = json.loads(metadata[_KEY])
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            reason = type(error).__name__
            text = f"{name}: not {kind} of this version of sam2v, or damaged ({reason})"
            raise ValueError(text) from None

    def tensor(self, name: str) -> Tensor:
        """A tensor, on the CPU.

        Raises:
            KeyError: there is none of this name.
        """
        from safetensors import SafetensorError

        try:
            return self._get(name)
        except SafetensorError:
            raise KeyError(name) from None
