"""What the array API standard lacks, for torch tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64, "U8": torch.uint8}


def on_device(array: Any, device: torch.device) -> Tensor:
    """See `sam2v.arrays.on_device`."""
    if isinstance(array, Tensor):
        return array.to(device)
    array = np.ascontiguousarray(array)
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    if device.type != "cuda" or not can_pin():
        return tensor.to(device)
    # a copy in pinned memory, from which the bytes travel while the host goes on; torch keeps what is pinned, and uses
    # it again when they have arrived
    return tensor.pin_memory().to(device, non_blocking=True)


def can_pin() -> bool:
    """Whether the host's memory can be pinned for CUDA."""
    return torch.cuda.is_available()


def download(array: Tensor) -> Callable[[], np.ndarray]:
    """See `sam2v.arrays.download`."""
    if array.device.type != "cuda" or not can_pin():
        return lambda: to_numpy(array)
    there = pinned_like(array)
    there.copy_(array.detach(), non_blocking=True)
    done = recorded_event(array.device)

    def arrived() -> np.ndarray:
        done.synchronize()
        return there.numpy()

    return arrived


def pinned_like(array: Tensor) -> Tensor:
    """Pinned memory of the host for an array's values."""
    return torch.empty(array.shape, dtype=array.dtype, pin_memory=True)


def recorded_event(device: torch.device) -> torch.cuda.Event:
    """What tells when all that a CUDA device was asked for so far is done."""
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(device))
    return event


def to_numpy(array: Tensor) -> np.ndarray:
    """See `sam2v.arrays.to_numpy`."""
    values = array.detach()
    return (values.float() if values.dtype == torch.bfloat16 else values).cpu().numpy()


def floats(array: Tensor) -> Tensor:
    """See `sam2v.arrays.floats`."""
    return array.float()


def clamp(array: Tensor, low: float | None, high: float | None) -> Tensor:
    """See `sam2v.arrays.clamp`."""
    return array.clamp(low, high)


def gathered(array: Tensor, index: Tensor, axis: int) -> Tensor:
    """See `sam2v.arrays.gathered`."""
    sizes = [*array.shape]
    sizes[axis] = index.shape[axis]
    return array.gather(axis, index.expand(sizes))  # take_along_dim looks for negative indices first


def scatter_add(length: int, index: Tensor, values: Tensor) -> Tensor:
    """See `sam2v.arrays.scatter_add`."""
    return torch.zeros(length, dtype=values.dtype, device=values.device).scatter_add_(0, index, values)


def scatter_least(array: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """See `sam2v.arrays.scatter_least`."""
    return array.scatter_reduce_(0, index, values, "amin")


def owned(array: Tensor) -> Tensor:
    """See `sam2v.arrays.owned`."""
    tensor = array.detach()
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if whole and tensor.is_contiguous() else tensor.clone(memory_format=torch.contiguous_format)


def owned_rows(array: Tensor) -> list[Tensor]:
    """See `sam2v.arrays.owned_rows`."""
    whole, count = array.detach().contiguous(), len(array)
    if count < 2:
        return [owned(row) for row in whole]
    rows = [whole.new_empty(whole.shape[1:]) for _ in range(count)]
    torch.split_with_sizes_copy(whole, [1] * count, 0, out=[row[None] for row in rows])  # one kernel for all rows
    return rows


def packed_bytes(array: Tensor) -> bytes:
    """See `sam2v.arrays.packed_bytes`."""
    return array.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def unpacked(data: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """See `sam2v.arrays.unpacked`; on the CPU."""
    if not data:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)


def resized(array: Tensor, size: tuple[int, int], antialias: bool) -> Tensor:
    """See `sam2v.arrays.resized`."""
    return F.interpolate(array, size, mode="bilinear", align_corners=False, antialias=antialias)


def bicubic(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """B x H x W x C bytes at another size by a bicubic filter with antialiasing: first each row, then each column,
    rounded to bytes between, as Pillow does it."""
    planes = pictures.permute(0, 3, 1, 2).float()
    for side in ((planes.shape[-2], size[1]), size):
        planes = F.interpolate(planes, side, mode="bicubic", align_corners=False, antialias=True)
        planes = planes.round_().clamp_(0, 255)
    return planes.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def packed_bits(masks: Tensor) -> Tensor:
    """See `sam2v.arrays.packed_bits`."""
    bits, more = masks.flatten(1).to(torch.uint8), -masks.shape[1:].numel() % 8
    bits = (F.pad(bits, (0, more)) if more else bits).unflatten(1, (-1, 8))
    return (bits << torch.arange(7, -1, -1, dtype=torch.uint8, device=masks.device)).sum(2, dtype=torch.uint8)
