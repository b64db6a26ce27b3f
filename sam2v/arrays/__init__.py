"""Arrays of whichever library computes: NumPy arrays, and torch tensors on any device.

What the Python array API standard offers is asked of an array's `namespace`; what it lacks has one function here, which
does it for both kinds. torch is imported only where somebody hands in a tensor, or names a device of torch's.

A device says the kind as well: "cpu", a string, is where NumPy's arrays are (as the standard has it); torch's devices
are `torch.device`s.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_torch_array
from array_api_compat import device as device_of

from sam2v.arrays import numpy_kind

__all__ = [
    "HOST",
    "Array",
    "Device",
    "clamp",
    "device_of",
    "download",
    "finite_floats",
    "floats",
    "gathered",
    "host_of",
    "is_on_host",
    "is_torch_array",
    "kind_of",
    "namespace",
    "on_device",
    "on_host",
    "owned",
    "owned_rows",
    "packed_bits",
    "packed_bytes",
    "resized",
    "scatter_add",
    "scatter_least",
    "to_numpy",
    "type_name",
    "unpacked",
    "unpacked_as",
]

_NUMPY_IS_STANDARD = hasattr(np, "__array_api_version__")
#: A NumPy array or a torch tensor.
Array = Any
#: "cpu" for NumPy's arrays, a `torch.device` for tensors.
Device = Any
#: Where NumPy's arrays are.
HOST = "cpu"


def namespace(*arrays: Array) -> Any:
    """What the array API standard offers, for the library of some arrays (numbers among them have no say)."""
    if _NUMPY_IS_STANDARD and not any(map(is_torch_array, arrays)):
        return np  # array_api_compat's wrapper would import everything that NumPy has
    return array_namespace(*arrays)


def kind_of(array: Array) -> ModuleType:
    """The module that knows an array's library."""
    if is_torch_array(array):
        from sam2v.arrays import torch_kind

        return torch_kind
    return numpy_kind


def on_device(array: Array, device: Device) -> Array:
    """An array of either kind, on a device and of the device's kind."""
    if isinstance(device, str):
        return to_numpy(array)
    from sam2v.arrays import torch_kind

    return torch_kind.on_device(array, device)


def is_on_host(array: Array) -> bool:
    """Whether NumPy can read an array where it is."""
    device = device_of(array)
    return isinstance(device, str) or device.type == "cpu"


def on_host(array: Array) -> Array:
    """An array of the same kind where NumPy can read it."""
    return array if is_on_host(array) else array.cpu()


def host_of(device: Device) -> Device:
    """Where arrays of a device's kind are when NumPy can read them."""
    if isinstance(device, str):
        return HOST
    import torch

    return torch.device("cpu")


def to_numpy(array: Array) -> np.ndarray:
    """An array on the host as NumPy has it, without gradients; bfloat16, which NumPy lacks, becomes float32."""
    found: np.ndarray = kind_of(array).to_numpy(array)
    return found


def download(array: Array) -> Callable[[], np.ndarray]:
    """Start to bring an array to the host as NumPy has it, while the host goes on.

    Returns:
        A function that waits until it is there. From CUDA it goes to pinned memory, and what the device is asked for
        later is not waited for.
    """
    arriving: Callable[[], np.ndarray] = kind_of(array).download(array)
    return arriving


def floats(array: Array) -> Array:
    """An array as float32; itself if it is that."""
    return kind_of(array).floats(array)


def clamp(array: Array, low: float | None = None, high: float | None = None) -> Array:
    """An array whose values lie between two numbers."""
    return kind_of(array).clamp(array, low, high)


def gathered(array: Array, index: Array, axis: int) -> Array:
    """Values along an axis by index; other axes of the index may be 1."""
    return kind_of(array).gathered(array, index, axis)


def resized(array: Array, size: tuple[int, int], antialias: bool = False) -> Array:
    """N x C x h x w floats at another (height, width), bilinear. Centres of pixels lie at halves, and what would lie
    outside is what the edge has. With `antialias` all pixels count that a smaller picture's pixel covers."""
    return kind_of(array).resized(array, size, antialias)


def scatter_add(length: int, index: Array, values: Array) -> Array:
    """An array of zeros to which values are added, each at its index."""
    return kind_of(values).scatter_add(length, index, values)


def scatter_least(array: Array, index: Array, values: Array) -> Array:
    """An array whose values at some indices became the least of what is there and what comes; the array itself may be
    changed."""
    return kind_of(array).scatter_least(array, index, values)


def finite_floats(array: Array) -> bool:
    """Whether an array holds floating-point numbers, none of them NaN or infinite."""
    xp = namespace(array)
    return bool(xp.isdtype(array.dtype, "real floating") and xp.all(xp.isfinite(array)))


def owned(array: Array) -> Array:
    """An array without gradients that is no view of a larger one: keeping a row would keep the whole batch."""
    return kind_of(array).owned(array)


def owned_rows(array: Array) -> list[Array]:
    """The rows of N x ..., each an array as `owned` makes it; all of them by one operation of a device."""
    rows: list[Array] = kind_of(array).owned_rows(array)
    return rows


def type_name(dtype: Any) -> str:
    """The name of a type of numbers as files have it: F32, F16, BF16, I64, U8.

    Raises:
        TypeError: another one.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in numpy_kind.NAMES:
        raise TypeError(f"cannot keep numbers of type {name}; known: {', '.join(numpy_kind.NAMES)}")
    return numpy_kind.NAMES[name]


def packed_bytes(array: Array) -> bytes:
    """An array's values, row by row."""
    return bytes(kind_of(array).packed_bytes(array))


def packed_bits(masks: Array) -> Array:
    """N x H x W booleans as N x ceil(H * W / 8) bytes, eight pixels in each, the first in the highest bit: what
    `numpy.packbits` makes of each flattened mask."""
    return kind_of(masks).packed_bits(masks)


def unpacked(data: bytes, dtype: Any, shape: tuple[int, ...], device: Device) -> Array:
    """The array whose values are some bytes; `dtype` is one of the device's library."""
    if isinstance(device, str):
        return numpy_kind.unpacked(data, dtype, shape)
    from sam2v.arrays import torch_kind

    return torch_kind.unpacked(data, dtype, shape).to(device)


def unpacked_as(data: bytes, name: str, shape: tuple[int, ...], device: Device) -> Array:
    """The array whose values are bytes of a file, `name` being their type as `type_name` has it; of the device's kind.
    NumPy takes BF16 as float32."""
    if isinstance(device, str):
        values = numpy_kind.unpacked(data, numpy_kind.TYPES[name], shape)
        return numpy_kind.widened(values) if name == "BF16" else values
    from sam2v.arrays import torch_kind

    return torch_kind.unpacked(data, torch_kind.TYPES[name], shape).to(device)
