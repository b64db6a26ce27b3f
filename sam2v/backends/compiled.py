"""The network's calls compiled by torch.compile, each for a few fixed shapes, so that tracking never recompiles.

Rows, memories and pointers come in changing numbers. Here they are padded up to the next of a few sizes (padded
memories are hidden by the attention bias, padded rows are cut off again), and every size is compiled once. What is
prompted runs as it is: prompts have too many shapes, and a user clicks rarely.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from sam2v.backends.base import Backend
from sam2v.model.network import Sam2Network
from sam2v.model.values import PADDING, ImageFeatures, Prediction, Prompts, TokenGroup, Wanted

Call = Literal["encode_image", "read_memory", "decode_prompts", "write_memory"]
#: In the order of a frame.
CALLS: tuple[Call, ...] = get_args(Call)
#: Those that gain on the CPU: none, the CPU's own kernels are ahead of the compiled ones.
CPU_CALLS: tuple[Call, ...] = ()
#: Memories beyond the temporal table, and object pointers, are padded to multiples of these.
_MORE_MEMORIES, _POINTERS = 4, 16
#: Points of a tracked object, all of them padding.
_NO_POINTS = 2
#: Shapes of one call that torch may keep.
_SHAPES = 256


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
        _warm_up(compiled, sorted({pad_objects(n) for n in objects}), progress)
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
        self._compiled = {call: make(getattr(network, call)) for call in calls}

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> ImageFeatures:
        """See `Sam2Network.encode_image`."""
        if "encode_image" not in self._compiled:
            return super().encode_image(images)
        features = self._run("encode_image", _repeat_last(images, pad_objects(len(images))))
        return ImageFeatures(*(level[: len(images)] for level in features))

    @torch.no_grad()
    def read_memory(self, features: ImageFeatures, memory: Sequence[TokenGroup]) -> Tensor:
        """See `Sam2Network.read_memory`."""
        if "read_memory" not in self._compiled or len(features.stride16) > 1:
            return super().read_memory(features, memory)
        count = len(memory[0].tokens)
        return self._run("read_memory", features, tuple(self._padded(group) for group in memory))[:count]

    @torch.no_grad()
    def decode_prompts(
        self, features: ImageFeatures, conditioned: Tensor, prompts: Prompts, wanted: Wanted
    ) -> Prediction:
        """See `Sam2Network.decode_prompts`."""
        count = len(prompts.coords)
        tracked = wanted.multimask and prompts.mask is None and prompts.coords.shape[1] == _NO_POINTS
        known = "decode_prompts" in self._compiled and len(conditioned) == count and len(features.stride16) == 1
        if not (tracked and known):
            return super().decode_prompts(features, conditioned, prompts, wanted)
        padded = [_repeat_last(x, pad_objects(count)) for x in (conditioned, *prompts[:2])]
        answer = self._run("decode_prompts", features, padded[0], Prompts(*padded[1:]), wanted._replace(least_iou=0.0))
        return Prediction(*(part[:count] for part in answer))

    @torch.no_grad()
    def write_memory(
        self, features: ImageFeatures, masks: Tensor, object_score: Tensor, binarize: bool | Tensor = False
    ) -> Tensor:
        """See `Sam2Network.write_memory`."""
        if "write_memory" not in self._compiled or binarize is not False or len(features.stride16) > 1:
            return super().write_memory(features, masks, object_score, binarize)
        padded = [_repeat_last(x, pad_objects(len(masks))) for x in (masks, object_score)]
        return self._run("write_memory", features, *padded)[: len(masks)]

    def _padded(self, group: TokenGroup) -> TokenGroup:
        """A group of more slots, the new ones hidden, and more rows."""
        slots, table = group.tokens.shape[1], self.config.memory.num_maskmem
        if group.has_grid:
            wanted = table + _MORE_MEMORIES * -(-max(0, slots - table) // _MORE_MEMORIES)
        else:
            wanted = _POINTERS * max(1, -(-slots // _POINTERS))
        bias = group.bias
        if bias is None and wanted != slots:
            bias = torch.zeros_like(group.time, dtype=torch.float32)
        rows = pad_objects(len(group.tokens))
        hidden = float("-inf")
        fillers = ((group.tokens, 0.0), (group.time, 0.0), (bias, hidden), (group.scale, 1.0))
        tokens, time, bias, scale = (
            None if x is None else _repeat_last(_fill(x, wanted, filler), rows) for x, filler in fillers
        )
        assert tokens is not None and time is not None
        return TokenGroup(tokens, time, group.has_grid, bias, scale)

    def _run(self, call: Call, *arguments: Any) -> Any:
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


def _warm_up(backend: CompiledBackend, objects: list[int], progress: bool) -> None:
    """Run a frame for every number of objects, with a bank that is full and one that is not."""
    from tqdm import tqdm

    device = backend.device
    with tqdm(total=1 + 4 * len(objects), desc="compiling", unit="call", disable=None if progress else True) as bar:
        images = torch.zeros(1, *backend.config.input_size, 3, dtype=torch.uint8, device=device)
        features = backend.encode_image(images)
        bar.update()
        for count in objects:
            for memory in _memories(backend, features, count):
                conditioned = backend.read_memory(features, memory)
                bar.update()
            coords = torch.zeros(count, _NO_POINTS, 2, device=device)
            labels = torch.full((count, _NO_POINTS), PADDING, device=device)
            answer = backend.decode_prompts(features, conditioned, Prompts(coords, labels), Wanted(True))
            bar.update()
            backend.write_memory(features, answer.pick().mask, answer.object_score)
            bar.update()


def _memories(backend: Backend, features: ImageFeatures, count: int) -> Iterator[list[TokenGroup]]:
    """A full bank with full pointers, and one pointer."""
    config, device = backend.config, backend.device
    memory = backend.write_memory(features, torch.zeros(1, 1, 4, 4, device=device), torch.ones(1, 1, device=device))
    slots, pieces = config.memory.num_maskmem, config.hidden_dim // config.memory.mem_dim
    time = torch.zeros(count, slots, dtype=torch.int64, device=device)
    maps = TokenGroup(memory.expand(count, slots, *memory.shape[1:]).contiguous(), time, True)
    for pointers in (_POINTERS, 1):
        tokens = torch.zeros(count, pointers, pieces, config.memory.mem_dim, device=device)
        yield [maps, TokenGroup(tokens, torch.zeros(count, pointers, device=device), False)]
