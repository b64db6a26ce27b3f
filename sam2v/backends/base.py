"""A backend: the network's calls for use, without gradients, on prepared weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from sam2v.backends.cpu import CPU_KINDS
from sam2v.backends.joined import JOINED_KINDS
from sam2v.backends.stand_in import Kinds, stand_in
from sam2v.config import ModelConfig
from sam2v.model.network import Sam2Network
from sam2v.model.values import ImageFeatures, Prediction, Prompts, TokenGroup

#: Bytes that a call of many rows may hold at a time, on the CPU and on other devices; and how many tensors as large as
#: a row's features it holds for every row.
_CPU_BYTES, _DEVICE_BYTES, _HELD = 1 << 30, 4 << 30, 24
#: Fewer at a time where the CPU decodes prompts, whose tensors are large and used once: with 3 rows of 64 x 64 x 256
#: features they took two thirds of the time that 10 took.
_CPU_DECODE_BYTES = 288 << 20


def kinds_for(device: torch.device) -> Kinds:
    """Which modules are computed in another way on a device: the one place where kernels are chosen."""
    return CPU_KINDS if device.type == "cpu" else JOINED_KINDS


class Backend:
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
    def config(self) -> ModelConfig:
        """The network's sizes."""
        return self.network.config

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.device

    @property
    def dtype(self) -> torch.dtype:
        """What images are encoded and memories are kept in."""
        return self.network.dtype

    @property
    def calls(self) -> Sam2Network:
        """The stand-in whose calls are made."""
        prepared = self._prepared
        if prepared is None or prepared[0] != self._state():
            self._weights = [p for p in self.network.parameters() if not p.is_inference()]  # those count no versions
            prepared = (self._state(), stand_in(self.network, kinds_for(self.device)).eval())
            self._prepared = prepared
        return prepared[1]

    def _state(self) -> tuple[Any, ...]:
        """What changes when the network is moved, converted or given other weights."""
        sample = (self.network.no_obj_ptr, self.network.memory_encoder.out_proj.weight)
        versions = sum(p._version for p in self._weights)
        return (*map(id, sample), self.device, self.dtype, versions)

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> ImageFeatures:
        """See `Sam2Network.encode_image`."""
        return self.calls.encode_image(images)

    @torch.no_grad()
    def without_memory(self, features: ImageFeatures) -> Tensor:
        """See `Sam2Network.without_memory`."""
        return self.calls.without_memory(features)

    @torch.no_grad()
    def read_memory(self, features: ImageFeatures, memory: Sequence[TokenGroup]) -> Tensor:
        """See `Sam2Network.read_memory`."""

        def read(rows: slice) -> Tensor:
            some = [TokenGroup(*_some(group, rows)) for group in memory]
            return self.calls.read_memory(ImageFeatures(*_some(features, rows)), some)

        return _joined(self._in_parts(read, len(memory[0].tokens), features))

    @torch.no_grad()
    def decode_prompts(
        self,
        features: ImageFeatures,
        conditioned: Tensor,
        prompts: Prompts,
        multimask: bool,
        dynamic: bool = True,
        least_iou: float = 0.0,
    ) -> Prediction:
        """See `Sam2Network.decode_prompts`."""

        def decode(rows: slice) -> Prediction:
            level, some = ImageFeatures(*_some(features, rows)), Prompts(*_some(prompts, rows))
            (read,) = _some([conditioned], rows)
            return self.calls.decode_prompts(level, read, some, multimask, dynamic, least_iou)

        parts = self._in_parts(decode, len(prompts.coords), features, _CPU_DECODE_BYTES)
        return Prediction(*map(_joined, zip(*parts, strict=True)))

    @torch.no_grad()
    def point_to_mask(self, features: ImageFeatures, mask: Tensor) -> tuple[Tensor, Tensor]:
        """See `Sam2Network.point_to_mask`."""

        def point(rows: slice) -> tuple[Tensor, Tensor]:
            return self.calls.point_to_mask(ImageFeatures(*_some(features, rows)), mask[rows])

        pointers, scores = zip(*self._in_parts(point, len(mask), features), strict=True)
        return _joined(pointers), _joined(scores)

    @torch.no_grad()
    def write_memory(
        self, features: ImageFeatures, masks: Tensor, object_score: Tensor, binarize: bool | Tensor = False
    ) -> Tensor:
        """See `Sam2Network.write_memory`."""

        def write(rows: slice) -> Tensor:
            some = _some([masks, object_score, binarize], rows)
            return self.calls.write_memory(ImageFeatures(*_some(features, rows)), *some)

        return _joined(self._in_parts(write, len(masks), features))

    def _in_parts(
        self, call: Callable[[slice], Any], rows: int, features: ImageFeatures, on_cpu: int | None = None
    ) -> list[Any]:
        """A call's answers for some rows after the others: what it holds in between stays bounded."""
        each = _HELD * features.stride16[0].numel() * features.stride16.element_size()
        most = max(1, ((on_cpu or _CPU_BYTES) if self.device.type == "cpu" else _DEVICE_BYTES) // each)
        return [call(slice(start, start + most)) for start in range(0, max(1, rows), most)]


def _some(parts: Iterable[Any], rows: slice) -> list[Any]:
    """Some rows of tensors; what is one for all rows, and what is no tensor, stays."""
    return [part[rows] if isinstance(part, Tensor) and len(part) > 1 else part for part in parts]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Rows one after the other."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


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
