"""The pickle inside a torch file, read without running anything that it names.

A pickle can name any function and have it called. Here every name that may occur stands for something of this module:
tensors become `Stored` values, which say where in the file their bytes are, NumPy values and the like become an inert
`Beside`, and any other name is refused. torch.load is not used: its weights-only mode ran code up to 2.5.1
(CVE-2025-32434), takes the sizes that a file declares at their word, and lets NumPy values pass only by a setting of
the whole process.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, ClassVar

import torch

_STORAGES = {
    "FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128, "UntypedStorage": torch.uint8,
}  # fmt: skip
#: Values that may lie beside weights: modules, built-in types, and single names. They are read as `Beside`.
_VALUES = ("numpy", "datetime", "pathlib", "decimal", "fractions", "uuid")
_BUILTINS = ("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "range", "set",
             "slice", "str", "tuple")  # fmt: skip
_PLAIN = ("_codecs.encode", "collections.Counter", "collections.deque", "torch.Size", "torch.Tensor", "torch.device",
          "torch.nn.parameter.Buffer", "torch.nn.parameter.Parameter", "torch.torch_version.TorchVersion")  # fmt: skip


#: Sides that a tensor may have, and the largest number that describes one.
_MOST_SIDES, _MOST_NUMBER = 64, (1 << 63) - 1


class Refused(ValueError):
    """A file names or declares something that is not accepted; the text says what."""


@dataclass(frozen=True)
class Storage:
    """Where the values of tensors are: a run of `count` elements under a key of the file."""

    key: str
    dtype: torch.dtype
    count: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: a strided view of a storage, all of it inside the storage."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.stride)
        if len(self.shape) != len(self.stride) or not all(type(n) is int and 0 <= n <= _MOST_NUMBER for n in numbers):
            raise Refused("a tensor's shape is not made of whole numbers")
        last = self.offset + sum((side - 1) * step for side, step in zip(self.shape, self.stride))
        declared = max(math.prod(self.shape), last + 1 if 0 not in self.shape else 0) * self.dtype.itemsize
        if declared > self.storage.nbytes:
            raise Refused(f"a tensor of {declared} bytes is declared over {self.storage.nbytes} bytes of values")


class Beside:
    """A value beside the weights that is not read."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __new__(cls, *_: object, **__: object) -> Beside:
        return super().__new__(cls)

    def __setitem__(self, key: object, value: object) -> None: ...

    def append(self, value: object) -> None:
        """Take an item of a list and forget it."""

    def extend(self, values: object) -> None:
        """Take items of a list and forget them."""


class _Mapping(dict[Any, Any]):
    """Stands for kinds of dictionaries, as OrderedDict.

    Entries that are given at the beginning, as Python 2 writes them, are taken over: a file could name the same ones
    any number of times.
    """

    def __init__(self, *content: object) -> None:
        super().__init__()
        for part in content:
            if isinstance(part, dict | list):
                self.update(part)
                part.clear()


def _tensor(
    storage: Storage, offset: int, shape: Any, stride: Any, grad: object = None, hooks: object = None, extra: Any = None
) -> Stored:
    return _typed_tensor(storage, offset, shape, stride, grad, hooks, storage.dtype, extra)


def _typed_tensor(
    storage: Storage, offset: int, shape: Any, stride: Any, grad: object, hooks: object, dtype: Any, extra: Any = None
) -> Stored:
    if extra or not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype):
        raise Refused("a tensor that is not plain (conjugated, negated or of a kind of its own)")
    if not all(isinstance(sides, tuple | list) and len(sides) <= _MOST_SIDES for sides in (shape, stride)):
        raise Refused(f"a tensor's shape is no tuple of {_MOST_SIDES} sides at most")
    return Stored(storage, dtype, offset, tuple(shape), tuple(stride))


def _same(tensor: Stored, *_: object) -> Stored:
    return tensor


def _rebuilt(build: Callable[..., Any], kind: object, arguments: tuple[Any, ...], state: object) -> Any:
    return build(*arguments)


_FUNCTIONS: dict[str, Any] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _same,
    "torch._utils._rebuild_parameter_with_state": _same,
    "torch._tensor._rebuild_from_type_v2": _rebuilt,
    "collections.OrderedDict": _Mapping,
    "collections.defaultdict": _Mapping,
}


class Unpickler(pickle._Unpickler):
    """Reads one pickle: the unpickler in Python, since the one in C allocates whatever a hostile memo index says.

    Attributes:
        storages: those that the pickle named, by key.
        stack: the machine's, of pickle's own class.
        read: takes bytes of the pickle, also of pickle's own class.
    """

    stack: list[Any]
    read: Callable[[int], bytes]

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for."""
        full = f"{module}.{name}"
        if full in _FUNCTIONS:
            return _FUNCTIONS[full]
        if module in ("torch", "torch.cuda", "torch.storage") and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch" and isinstance(dtype := vars(torch).get(name), torch.dtype):
            return dtype
        is_builtin = module in ("builtins", "__builtin__") and name in _BUILTINS
        if is_builtin or full in _PLAIN or module.split(".")[0] in _VALUES:
            return Beside
        raise Refused(f"its pickle names {full}, and could run code")

    def persistent_load(self, pid: Any) -> Storage:
        """A storage by its description."""
        _, dtype, key, _, count, *view = pid
        is_plain = isinstance(dtype, torch.dtype) and type(count) is int and 0 <= count <= _MOST_NUMBER
        if not is_plain or not isinstance(key, str | int) or any(view):
            raise Refused("a storage that is not plain")
        return self.storages.setdefault(str(key), Storage(str(key), dtype, count))

    def _drop_state(self) -> None:
        """What the file would set on an object is forgotten: nothing here has attributes that a file may change."""
        self.stack.pop()

    def _drop_bytes(self) -> None:
        """A bytearray; pickle's own reading allocates the length that is declared before it looks at the bytes."""
        self.read(int.from_bytes(self.read(8), "little"))
        self.stack.append(Beside())

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: _drop_state,
        pickle.BYTEARRAY8[0]: _drop_bytes,
    }
