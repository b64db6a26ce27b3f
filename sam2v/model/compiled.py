"""The network's calls compiled by torch.compile, each for a few fixed shapes, so that tracking never recompiles.

Objects, memories and pointers come in changing numbers. Here they are padded up to the next of a few sizes (padded
memories are hidden by the attention bias, padded objects are cut off again), and every size is compiled once. What is
prompted runs as it is: prompts have too many shapes, and a user clicks rarely.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sam2v.model.network import ImageFeatures, MemoryRead, Prediction, Sam2Network
from sam2v.model.prompt_encoder import PADDING

#: The calls there are, in the order of a frame.
CALLS = ("encode_image", "read_memory", "decode_prompts", "write_memory")
#: Those that gain on the CPU: none, the network's own kernels there are ahead of the compiled ones.
CPU_CALLS: tuple[str, ...] = ()
#: Memories beyond the temporal table, and object pointers, are padded to multiples of these.
_MORE_MAPS, _POINTERS = 4, 16
#: Points of a tracked object, all of them padding.
_NO_POINTS = 2
#: Shapes of one call that torch may keep.
_SHAPES = 256


def compile_network(
    network: Sam2Network,
    objects: Sequence[int] = (1,),
    calls: Sequence[str] | None = None,
    backend: str | Callable[..., Any] = "inductor",
    progress: bool = True,
) -> float:
    """Replace the network's calls by compiled ones and run them once.

    Only calls without gradients are compiled; others, and prompted frames, run as before. Frames of another size than
    the model's image size are compiled when they first come.

    Args:
        network: changed in place, on its device and in its precision; convert or move it before, not after.
        objects: numbers of objects to get ready for; others are compiled when they first come. They are padded to
            powers of two, from 32 on to multiples of 16.
        calls: which of :data:`CALLS`; None: all, but on the CPU none, since nothing gains there
            (docs/performance.md).
        backend: of torch.compile.
        progress: show a progress bar.

    Returns:
        Seconds that compiling took, 0 where there was nothing to compile.

    Raises:
        ValueError: unknown calls, or no positive number of objects.
    """
    if calls is None:
        calls = CALLS if network.device.type != "cpu" else CPU_CALLS
    if unknown := [call for call in calls if call not in CALLS]:
        raise ValueError(f"calls={list(calls)}: {unknown[0]!r} is none of {', '.join(CALLS)}")
    if not objects or min(objects) < 1:
        raise ValueError(f"objects={list(objects)}: must be numbers of at least 1")
    if not calls:
        return 0.0
    compiled = CompiledCalls(network, backend)
    for call in calls:
        setattr(network, call, getattr(compiled, call))
    started = time.perf_counter()
    _warm_up(network, sorted({pad_objects(n) for n in objects}), progress)
    return time.perf_counter() - started


def pad_objects(count: int) -> int:
    """The number of objects that ``count`` is padded to."""
    return -(-count // 16) * 16 if count > 16 else 1 << (count - 1).bit_length()


class CompiledCalls:
    """Compiled stand-ins for a network's four calls.

    Args:
        network: whose calls, as they are when this is made.
        backend: of torch.compile.
    """

    def __init__(self, network: Sam2Network, backend: str | Callable[..., Any]) -> None:
        self._memory = network.config.memory
        self._plain = {call: getattr(network, call) for call in CALLS}
        make = partial(torch.compile, dynamic=False, fullgraph=True, backend=backend)
        self._compiled = {call: make(function) for call, function in self._plain.items()}

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """See :meth:`Sam2Network.encode_image`."""
        count = len(images)
        features = self._run("encode_image", _repeat_last(images, pad_objects(count)))
        return ImageFeatures(*(level[:count] for level in features))

    def read_memory(self, features: ImageFeatures, read: MemoryRead) -> Tensor:
        """See :meth:`Sam2Network.read_memory`."""
        if len(features.stride16) > 1:
            return self._plain["read_memory"](features, read)
        count = len(read.maps)
        return self._run("read_memory", features, self._pad_memories(read))[:count]

    def decode_prompts(
        self,
        features: ImageFeatures,
        conditioned: Tensor,
        coords: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        multimask: bool = False,
        dynamic_multimask: bool = True,
    ) -> Prediction:
        """See :meth:`Sam2Network.decode_prompts`."""
        count = len(coords)
        tracked = multimask and mask is None and coords.shape[1] == _NO_POINTS
        if not tracked or len(conditioned) != count or len(features.stride16) > 1:
            rest = (conditioned, coords, labels, mask, multimask, dynamic_multimask)
            return self._plain["decode_prompts"](features, *rest)
        padded = [_repeat_last(x, pad_objects(count)) for x in (conditioned, coords, labels)]
        answer = self._run("decode_prompts", features, *padded, None, True, dynamic_multimask)
        return Prediction(*(part[:count] for part in answer))

    def write_memory(
        self, features: ImageFeatures, masks: Tensor, object_score: Tensor, binarize: bool | Tensor = False
    ) -> Tensor:
        """See :meth:`Sam2Network.write_memory`."""
        if binarize is not False or len(features.stride16) > 1:
            return self._plain["write_memory"](features, masks, object_score, binarize)
        count = len(masks)
        padded = [_repeat_last(x, pad_objects(count)) for x in (masks, object_score)]
        return self._run("write_memory", features, *padded)[:count]

    def _pad_memories(self, read: MemoryRead) -> MemoryRead:
        slots, pointers = read.maps.shape[1], read.pointers.shape[1]
        table = self._memory.num_maskmem
        wanted = table + _MORE_MAPS * -(-max(0, slots - table) // _MORE_MAPS)
        wanted_pointers = _POINTERS * max(1, -(-pointers // _POINTERS))
        padded = read.padded or (wanted, wanted_pointers) != (slots, pointers)
        rows = (
            _fill(read.maps, wanted, 0),
            _fill(read.map_time, wanted, -1),
            _fill(read.pointers, wanted_pointers, 0),
            _fill(read.pointer_time, wanted_pointers, float("nan")),
        )
        maps, map_time, tokens, pointer_time = (_repeat_last(row, pad_objects(len(row))) for row in rows)
        return MemoryRead(maps, map_time, tokens, pointer_time, padded)

    def _run(self, call: str, *arguments: Any) -> Any:
        if torch.is_grad_enabled():
            return self._plain[call](*arguments)
        # torch counts the shapes of all networks of a process together, and gives up after a few
        with torch._dynamo.config.patch(cache_size_limit=_SHAPES):
            return self._compiled[call](*arguments)


def _fill(x: Tensor, length: int, value: float) -> Tensor:
    """Lengthen the second dimension."""
    if x.shape[1] == length:
        return x
    return torch.cat([x, x.new_full((len(x), length - x.shape[1], *x.shape[2:]), value)], 1)


def _repeat_last(x: Tensor, count: int) -> Tensor:
    """Lengthen the first dimension with copies of the last row: numbers that are in range, whatever they mean.

    The result is contiguous, since another layout would be compiled anew.
    """
    if len(x) < count:
        x = torch.cat([x, x[-1:].expand(count - len(x), *x.shape[1:])])
    return x.contiguous()


@torch.no_grad()
def _warm_up(network: Sam2Network, objects: list[int], progress: bool) -> None:
    """Run a frame for every number of objects, with a bank that is full and one that is not."""
    from tqdm import tqdm

    memory, device, side = network.config.memory, network.device, network.config.image_size
    with tqdm(total=1 + 4 * len(objects), desc="compiling", unit="call", disable=None if progress else True) as bar:
        features = network.encode_image(torch.zeros(1, 3, side, side, device=device))
        bar.update()
        for count in objects:
            for pointers in (_POINTERS, 1):
                read = MemoryRead(
                    torch.zeros(
                        count,
                        memory.num_maskmem,
                        memory.mem_dim,
                        side // 16,
                        side // 16,
                        device=device,
                        dtype=network.dtype,
                    ),
                    torch.zeros(count, memory.num_maskmem, dtype=torch.int64, device=device),
                    torch.zeros(count, pointers, network.config.hidden_dim, device=device),
                    torch.zeros(count, pointers, device=device),
                    padded=False,
                )
                conditioned = network.read_memory(features, read)
                bar.update()
            coords = torch.zeros(count, _NO_POINTS, 2, device=device)
            labels = torch.full((count, _NO_POINTS), PADDING, device=device)
            answer = network.decode_prompts(features, conditioned, coords, labels, multimask=True)
            bar.update()
            network.write_memory(features, answer.best, answer.object_score)
            bar.update()
