"""The weights of all graphs in one file, each of them once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO

#: Tensors of fewer bytes stay in the graph.
_INLINE = 1024
#: Tensors begin at multiples of it, so that they can be mapped into memory.
_ALIGN = 64


class SharedWeights:
    """Collects tensors; one that comes a second time is found again by its bytes.

    Args:
        folder: of the graphs. name: of the file.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._places: dict[tuple[int, bytes], int] = {}
        self._file: BinaryIO | None = None

    def __enter__(self) -> SharedWeights:
        self._file = (self.folder / self.name).open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()

    def write(self, model: Any, path: Path) -> None:
        """Write an `onnx_ir.Model`, with its weights in the file."""
        import onnx
        import onnx_ir as ir

        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor.nbytes < _INLINE:
                value.const_value = ir.tensor(tensor.numpy(), dtype=tensor.dtype, name=value.name)
                continue
            place = (self.name, self._place(tensor.tobytes()), tensor.nbytes, tensor.dtype)
            value.const_value = ir.ExternalTensor(*place, shape=tensor.shape, name=value.name, base_dir=self.folder)
        proto = ir.to_proto(model)
        del proto.graph.value_info[:]  # of weights, which say it themselves
        onnx.save(proto, path)

    def _place(self, data: bytes) -> int:
        assert self._file is not None
        key = (len(data), hashlib.sha256(data).digest())
        if key not in self._places:
            self._file.write(b"\0" * (-self._file.tell() % _ALIGN))
            self._places[key] = self._file.tell()
            self._file.write(data)
        return self._places[key]
