"""Drawn clips in which every object is annotated on every frame, also those that come in later."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DrawnRecord(ABC):
    """A drawn clip with its exact masks, as a data set's record has it.

    Attributes:
        seed: a whole number, decides everything about it. frames: how many. size: (height, width).
    """

    seed: int
    frames: int = 48
    size: tuple[int, int] = (240, 320)

    @abstractmethod
    def draw(self) -> tuple[Tensor, Tensor]:
        """Frames T x 3 x H x W uint8, and masks T x M x H x W bool."""

    @property
    def name(self) -> str:
        """What it is called."""
        return f"drawn-{self.seed}"

    @property
    def annotated(self) -> tuple[int, ...]:
        """Frames with annotation: all."""
        return tuple(range(self.frames))

    @property
    def source(self) -> np.ndarray:
        """T x H x W x 3 uint8."""
        return self._drawn[0]

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        """Object id (from 1) -> H x W bool of the objects that are to be seen."""
        found = {number: mask for number, mask in enumerate(self._drawn[1][frame_idx], 1) if mask.any()}
        return {number: mask for number, mask in found.items() if objects is None or number in objects}

    @cached_property
    def _drawn(self) -> tuple[np.ndarray, np.ndarray]:
        frames, masks = self.draw()
        return frames.permute(0, 2, 3, 1).contiguous().numpy(), masks.numpy()

    def __reduce__(self) -> tuple[type[DrawnRecord], tuple[int, int, tuple[int, int]]]:
        return type(self), (self.seed, self.frames, self.size)


class DrawnVideo(DrawnRecord):
    """Six figures in a meadow that cross, leave and return (`sam2v.data.meadow.crowd`)."""

    def draw(self) -> tuple[Tensor, Tensor]:
        """See `DrawnRecord.draw`."""
        import torch

        from sam2v.data.meadow.crowd import Crowd

        with torch.no_grad():
            return Crowd(self.size, self.frames, self.seed).draw()


def drawn_videos(count: int, first: int = 0, frames: int | None = None) -> list[DrawnVideo]:
    """Clips of the seeds `first`, `first` + 1, ...; frames: of each, by default 48."""
    return [DrawnVideo(seed, frames or 48) for seed in range(first, first + count)]
