"""One object's result on one frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from sam2v.arrays import Array, Device, on_device

if TYPE_CHECKING:
    from sam2v.memory.pool import Pool


class Holder(Protocol):
    """Holds arrays: a pool's `Kept`, or `Held`."""

    def get(self) -> tuple[Array, ...]:
        """The arrays."""


@dataclass(frozen=True, eq=False)
class Held:
    """Arrays as they are, with their gradients."""

    arrays: tuple[Array, ...]

    def get(self) -> tuple[Array, ...]:
        """The arrays."""
        return self.arrays


@dataclass(frozen=True, eq=False)
class MemoryEntry:
    """What is known of one object on one frame.

    Attributes:
        result: holds mask, pointer and scores, see the properties.
        encoded: holds the memory; None before it is encoded, or where it was let go and may be encoded again.
        prompted: whether the answer is one to a prompt: its memory then is made from the mask as it is shown.
        readable: whether it may be read as a memory; otherwise it is a result for people alone.
        facts: numbers that a policy keeps about it.
    """

    result: Holder
    encoded: Holder | None = None
    prompted: bool = False
    readable: bool = True
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def mask(self) -> Array:
        """h4 x w4 float32 mask logits at a quarter of the network's input size, as predicted (not cleaned)."""
        return self.result.get()[0]

    @property
    def pointer(self) -> Array:
        """C object pointer."""
        return self.result.get()[1]

    @property
    def iou(self) -> Array:
        """Predicted IoU, scalar."""
        return self.result.get()[2][0]

    @property
    def score(self) -> Array:
        """Object score logit, scalar."""
        return self.result.get()[2][1]

    @property
    def memory(self) -> Array:
        """L x Cm memory.

        Raises:
            LookupError: there is none (any more).
        """
        if self.encoded is None:
            raise LookupError("the memory of this entry has to be encoded first")
        return self.encoded.get()[0]

    def moved(self, pool: Pool, device: Device) -> MemoryEntry:
        """The same entry in another pool, on a device."""
        result = pool.keep(*(on_device(array, device) for array in self.result.get()))
        encoded = None if self.encoded is None else pool.keep(*(on_device(a, device) for a in self.encoded.get()))
        return replace(self, result=result, encoded=encoded)

    def with_memory(self, encoded: Holder | None) -> MemoryEntry:
        """The same entry with its memory, or without it."""
        return replace(self, encoded=encoded)
