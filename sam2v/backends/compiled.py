"""The network's calls compiled by torch.compile, each for a few fixed shapes, so that tracking never recompiles.

Rows, memories and pointers come in changing numbers. Here they are padded up to the next of a few sizes (padded
memories are hidden by the attention bias, padded rows are cut off again), and every size is compiled once. What is
prompted runs as it is: prompts have too many shapes, and a user clicks rarely.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from sam2v.backends import padded
from sam2v.backends.base import Backend
from sam2v.model.network import Sam2Network
from sam2v.model.values import ImageFeatures, Prediction, Prompts, TokenGroup, Wanted

Call = Literal["encode_image", "read_memory", "decode_prompts", "write_memory"]
#: In the order of a frame.
CALLS: tuple[Call, ...] = get_args(Call)
#: Those that gain on the CPU: none, the CPU's own kernels are ahead of the compiled ones.
CPU_CALLS: tuple[Call, ...] = ()


def compile_network(
    network: Sam2Network,
    objects: Sequence[int] = (1,),
    calls: Sequence[Call] | None = None,
    backend: str | Callable[..., Any] = "inductor",
    progress: bool = True,
) -> CompiledBackend:
    """Compile a network's calls and run them once.

    The network itself stays as it is; give the result to a predictor in its place. Prompted frames run as they do
    without compiling. Frames of another size than the model's image size are compiled when they first come; after the
    network was moved or converted, everything is.

    Args:
        network: on its device and in its precision.
        objects: numbers of objects to get ready for; others are compiled when they first come. They are padded to
            powers of two, from 32 on to multiples of 16.
        calls: which of `CALLS`; None: all, but on the CPU none, since nothing gains there (docs/performance.md).
        backend: of torch.compile.
        progress: show a progress bar.

    Raises:
        ValueError: unknown calls, or no positive number of objects.
    """
    if calls is None:
        calls = CALLS if network.device.type != "cpu" else CPU_CALLS
    if unknown := [call for call in calls if call not in CALLS]:
        raise ValueError(f"calls={list(calls)}: {unknown[0]!r} is none of {', '.join(CALLS)}")
    if not objects or min(objects) < 1:
        raise ValueError(f"objects={list(objects)}: must be numbers of at least 1")
    compiled = CompiledBackend(network, calls, backend)
    if calls:
        started = time.perf_counter()
        padded.warm_up(compiled, sorted({pad_objects(n) for n in objects}), progress, "compiling")
        compiled.seconds = time.perf_counter() - started
    return compiled


def pad_objects(count: int) -> int:
    """The number of rows that `count` is padded to."""
    return -(-count // 16) * 16 if count > 16 else 1 << (count - 1).bit_length()


class CompiledBackend(Backend):
    """A network's calls, some of them compiled.

    Attributes:
        seconds: what compiling took, 0 where there was nothing to compile.

    Args:
        network: whose calls. calls: which of them are compiled. backend: of torch.compile.
    """

    def __init__(self, network: Sam2Network, calls: Sequence[Call], backend: str | Callable[..., Any]) -> None:
        super().__init__(network)
        self.seconds = 0.0
        make = partial(torch.compile, dynamic=False, fullgraph=True, backend=backend)
        self._compiled = {call: padded.of_many_shapes(make(getattr(network, call))) for call in calls}

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> ImageFeatures:
        """See `Sam2Network.encode_image`."""
        if "encode_image" not in self._compiled:
            return super().encode_image(images)
        return padded.encode_padded(self._compiled["encode_image"], images, pad_objects(len(images)))

    @torch.no_grad()
    def read_memory(self, features: ImageFeatures, memory: Sequence[TokenGroup]) -> Tensor:
        """See `Sam2Network.read_memory`."""
        count = len(memory[0].tokens)
        if "read_memory" not in self._compiled or not padded.are_shown(features, count):
            return super().read_memory(features, memory)
        slots = (padded.padded_slots(group, self.config.memory) for group in memory)
        return padded.read_padded(self._compiled["read_memory"], features, slots, count, pad_objects(count))

    @torch.no_grad()
    def decode_prompts(
        self, features: ImageFeatures, conditioned: Tensor, prompts: Prompts, wanted: Wanted
    ) -> Prediction:
        """See `Sam2Network.decode_prompts`."""
        count = len(prompts.coords)
        known = "decode_prompts" in self._compiled and len(conditioned) == count and padded.are_shown(features, count)
        if not (padded.is_tracking(prompts, wanted) and known):
            return super().decode_prompts(features, conditioned, prompts, wanted)
        call, how = self._compiled["decode_prompts"], wanted._replace(least_iou=0.0)
        return padded.decode_padded(call, features, conditioned, prompts, how, pad_objects(count))

    @torch.no_grad()
    def write_memory(
        self, features: ImageFeatures, masks: Tensor, object_score: Tensor, binarize: bool | Tensor = False
    ) -> Tensor:
        """See `Sam2Network.write_memory`."""
        count = len(masks)
        if "write_memory" not in self._compiled or binarize is not False or not padded.are_shown(features, count):
            return super().write_memory(features, masks, object_score, binarize)
        call = self._compiled["write_memory"]
        return padded.write_padded(call, features, masks, object_score, pad_objects(count))
