"""A backend: the network's calls for use, without gradients, on prepared weights."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from sam2v.backends.batched import BatchedCalls
from sam2v.backends.cpu import CPU_KINDS
from sam2v.backends.fused import FUSED_KINDS
from sam2v.backends.joined import JOINED_KINDS
from sam2v.backends.stand_in import Kinds, stand_in
from sam2v.config import ModelConfig
from sam2v.model.checksum import weights_checksum
from sam2v.model.network import Sam2Network


def kinds_for(device: torch.device) -> Kinds:
    """Which modules are computed in another way on a device: the one place where kernels are chosen."""
    if device.type == "cpu":
        return CPU_KINDS
    return FUSED_KINDS if device.type in ("cuda", "meta") else JOINED_KINDS


class Backend(BatchedCalls):
    """The network's calls as they are computed in use: without gradients, and with constants and weights prepared once.

    The network itself stays as it is. When it was moved, converted or given other weights, they are prepared anew.

    Args:
        network: whose calls.
    """

    def __init__(self, network: Sam2Network) -> None:
        self.network = network
        self._prepared: tuple[tuple[Any, ...], Sam2Network] | None = None
        self._weights: list[Tensor] = []

    @property
    def image_only(self) -> bool:  # type: ignore[override]
        """Whether the network's weights came without the modules for tracking."""
        return self.network.image_only

    @property
    def config(self) -> ModelConfig:
        """The network's sizes."""
        return self.network.config

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.device

    @property
    def on_cpu(self) -> bool:
        """Whether that is the CPU."""
        return self.device.type == "cpu"

    @property
    def dtype(self) -> torch.dtype:
        """What images are encoded and memories are kept in."""
        return self.network.dtype

    @property
    def precision(self) -> str:
        """The name of `dtype`."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def no_obj_ptr(self) -> Tensor:
        """The pointer of an object that is not there, 1 x C."""
        return self.network.no_obj_ptr.detach()

    @property
    def model(self) -> Sam2Network:
        """The network."""
        return self.network

    @property
    def calls(self) -> Sam2Network:
        """The stand-in whose calls are made."""
        prepared = self._prepared
        if prepared is None or prepared[0] != self._state():
            self._weights = [p for p in self.network.parameters() if not p.is_inference()]  # those count no versions
            prepared = (self._state(), stand_in(self.network, kinds_for(self.device)).eval())
            self._prepared = prepared
        return prepared[1]

    def checksum(self) -> str:
        """Tells the network's weights from others."""
        return weights_checksum(self.network)

    def computing(self) -> AbstractContextManager[Any]:
        """Without gradients."""
        return torch.no_grad()

    def _state(self) -> tuple[Any, ...]:
        """What changes when the network is moved, converted or given other weights."""
        sample = (self.network.no_obj_ptr, self.network.memory_encoder.out_proj.weight)
        versions = sum(p._version for p in self._weights)
        return (*map(id, sample), self.device, self.dtype, versions)


def backend_for(model: Sam2Network | Backend) -> Backend:
    """The backend of a model, or the backend itself.

    Raises:
        TypeError: neither a network nor a backend.
    """
    if isinstance(model, Backend):
        return model
    if isinstance(model, Sam2Network):
        return Backend(model)
    raise TypeError(f"model must come from sam2v.load_model, got {type(model).__name__}")
