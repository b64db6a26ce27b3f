"""One object's result on one frame."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class MemoryEntry:
    """What is remembered of one object on one frame.

    Attributes:
        mask: h4 x w4 float mask logits at a quarter of the network's input size, or None where a window let it go.
        iou: predicted IoU, scalar tensor. score: object score logit, scalar tensor.
        pointer: C object pointer.
        memory: Cm x h x w memory, or None before it is encoded or where a window let it go.
    """

    mask: Tensor | None
    iou: Tensor
    score: Tensor
    pointer: Tensor
    memory: Tensor | None = None

    def with_memory(self, memory: Tensor) -> MemoryEntry:
        """The same entry with its memory encoded."""
        return replace(self, memory=memory)

    def pointer_only(self) -> MemoryEntry:
        """The same entry without its memory."""
        return replace(self, memory=None)

    def tensors(self) -> dict[str, Tensor]:
        """The entry's tensors by field name, absent ones left out."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], device: torch.device | None = None) -> MemoryEntry:
        """Inverse of :meth:`tensors`, optionally moved to a device."""
        moved = {name: value if device is None else value.to(device) for name, value in tensors.items()}
        return cls(mask=moved.pop("mask", None), memory=moved.pop("memory", None), **moved)

    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.numel() * t.element_size() for t in self.tensors().values())
