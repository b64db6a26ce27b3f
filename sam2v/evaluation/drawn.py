"""Drawn clips in which every object is annotated on every frame, also those that come in later."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sam2v.data.synthetic import SyntheticConfig

#: Objects cross each other, and many leave and return. No limbs and nothing painted into the ground: what there is to
#: be found is what is annotated.
CLIPS = SyntheticConfig(
    height=240,
    width=320,
    frames=48,
    bodies=6,
    fewest_bodies=6,
    limbs=0,
    clutter=0,
    smallest=0.3,
    largest=0.6,
    leaving=0.5,
    camouflage=0.0,
)


@dataclass(frozen=True)
class DrawnVideo:
    """A drawn clip as a data set's record has it.

    Attributes:
        seed: a whole number, decides everything about it. config: what clips look like.
    """

    seed: int
    config: SyntheticConfig = CLIPS

    @property
    def name(self) -> str:
        """What it is called."""
        return f"drawn-{self.seed}"

    @property
    def annotated(self) -> tuple[int, ...]:
        """Frames with annotation: all."""
        return tuple(range(self.config.frames))

    @property
    def source(self) -> np.ndarray:
        """T x H x W x 3 uint8."""
        return self._drawn[0]

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        """Object id (from 1) -> H x W bool of the objects that are to be seen."""
        owners = self._drawn[1][frame_idx]
        return {int(i) + 1: owners == i for i in np.unique(owners) if i >= 0 and (objects is None or i + 1 in objects)}

    @cached_property
    def _drawn(self) -> tuple[np.ndarray, np.ndarray]:
        import torch

        from sam2v.data.synthetic.render import Sources, render

        with torch.no_grad():
            rng = np.random.default_rng([self.seed, 0])
            frames, owners = render([rng], self.config, Sources(), torch.device("cpu"))
        return frames[0].permute(0, 2, 3, 1).contiguous().numpy(), owners[0].numpy()

    def __reduce__(self) -> tuple[type[DrawnVideo], tuple[int, SyntheticConfig]]:
        return type(self), (self.seed, self.config)


def drawn_videos(count: int, first: int = 0, frames: int | None = None) -> list[DrawnVideo]:
    """Clips of the seeds `first`, `first` + 1, ...; frames: of each, by default 48."""
    config = CLIPS if frames is None else replace(CLIPS, frames=frames)
    return [DrawnVideo(seed, config) for seed in range(first, first + count)]
