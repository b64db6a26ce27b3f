"""The model that helps annotators, as an image model and as a tracker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from sam2v.predict.image import ImagePredictor
from sam2v.predict.video import VideoPredictor
from sam2v.weights.identify import weights_checksum

if TYPE_CHECKING:
    from sam2v.backends.base import Backend
    from sam2v.model.network import Sam2Network


@dataclass(frozen=True)
class ModelSpec:
    """Which model a worker loads; arguments of `sam2v.load_model`.

    Attributes:
        memory: the tracker's memory policy. threads: of a worker on the CPU; None: as many as it likes.
    """

    name: str = "sam2v_nano"
    checkpoint: str = "auto"
    device: str | None = None
    dtype: str | None = None
    overrides: tuple[str, ...] = ()
    fast: bool = False
    memory: str = "recent"
    threads: int | None = None

    def load(self) -> Tools:
        """Load it.

        Raises:
            ValueError, OSError: as `sam2v.load_model`.
        """
        import torch

        from sam2v.weights.load import load_model

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        how = (self.name, self.checkpoint, self.device, self.dtype, self.overrides)
        return Tools(load_model(*how, fast=self.fast), self.memory)

    def weights(self) -> str:
        """What `Tools.name` says of it, without a place on its device: of a file of weights, read on the CPU.

        Raises:
            ValueError, OSError: as `sam2v.load_model`.
        """
        from sam2v.weights.hardware import dtype_there

        return replace(self, device="cpu", dtype=dtype_there(self.dtype, self.device), threads=None).load().name


@dataclass
class Tools:
    """One loaded network; its name says which weights.

    Attributes:
        network: from `sam2v.load_model`. memory: the tracker's memory policy. seconds: computed so far.
    """

    network: Sam2Network | Backend
    memory: str = "recent"
    seconds: float = field(default=0.0, init=False)

    @cached_property
    def video(self) -> VideoPredictor:
        """The tracker."""
        return VideoPredictor(self.network, policy=self.memory)

    @cached_property
    def refining(self) -> VideoPredictor:
        """The tracker of phase 3, which reads the memories of the two nearest edited frames: older views mislead it."""
        return VideoPredictor(self.network, policy=self.memory, max_cond_frames_in_attn=2)

    @cached_property
    def image(self) -> ImagePredictor:
        """The image model."""
        return ImagePredictor(self.network, max_hole_area=8)

    @cached_property
    def name(self) -> str:
        """Name and checksum of the weights: what the project writes down about a proposal."""
        model = self.video.model
        return f"{model.config.name} {weights_checksum(model)}"

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time that the block takes as the model's."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began
