"""What the calls get, brought to few fixed shapes: rows, memories and pointers come in changing numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from sam2v.backends.base import Backend
from sam2v.config import MemoryConfig
from sam2v.model.values import PADDING, ImageFeatures, Prediction, Prompts, TokenGroup, Wanted

#: Memories beyond the temporal table, and object pointers, are padded to multiples of these.
MORE_MEMORIES, POINTERS = 4, 16
#: Points of a tracked object, all of them padding.
NO_POINTS = 2
#: Shapes of one compiled call that torch may keep.
SHAPES = 256


def padded_slots(group: TokenGroup, memory: MemoryConfig) -> TokenGroup:
    """A group of more slots, the new ones hidden by the bias: memories up to the temporal table (or to a few more),
    pointers up to a multiple."""
    slots, table = group.tokens.shape[1], memory.num_maskmem
    if group.has_grid:
        wanted = table + MORE_MEMORIES * -(-max(0, slots - table) // MORE_MEMORIES)
    else:
        wanted = POINTERS * max(1, -(-slots // POINTERS))
    bias = group.bias
    if bias is None and wanted != slots:
        bias = torch.zeros_like(group.time, dtype=torch.float32)
    hidden = float("-inf")
    fillers = ((group.tokens, 0.0), (group.time, 0.0), (bias, hidden), (group.scale, 1.0))
    tokens, time, bias, scale = (None if x is None else _fill(x, wanted, filler) for x, filler in fillers)
    assert tokens is not None and time is not None
    return TokenGroup(tokens, time, group.has_grid, bias, scale)


def padded_rows(group: TokenGroup, rows: int) -> TokenGroup:
    """A group of more rows."""
    parts = (None if x is None else repeat_last(x, rows) for x in (group.tokens, group.time, group.bias, group.scale))
    tokens, time, bias, scale = parts
    assert tokens is not None and time is not None
    return TokenGroup(tokens, time, group.has_grid, bias, scale)


def _fill(x: Tensor, length: int, value: float) -> Tensor:
    """Lengthen the second dimension."""
    if x.shape[1] == length:
        return x
    return torch.cat([x, x.new_full((len(x), length - x.shape[1], *x.shape[2:]), value)], 1)


def repeat_last(x: Tensor, count: int) -> Tensor:
    """Lengthen the first dimension with copies of the last row: numbers that are in range, whatever they mean.

    The result is contiguous, since another layout would be compiled anew.
    """
    if len(x) < count:
        x = torch.cat([x, x[-1:].expand(count - len(x), *x.shape[1:])])
    return x.contiguous()


def are_shown(features: ImageFeatures, rows: int) -> bool:
    """Whether so many rows are all on one picture, or each on a picture of its own."""
    return len(features.stride16) in (1, rows)


def padded_pictures(features: ImageFeatures, rows: int) -> ImageFeatures:
    """Features of more rows; those of one picture for all rows stay."""
    if len(features.stride16) == 1:
        return features
    return ImageFeatures(*(repeat_last(level, rows) for level in features))


def encode_padded(call: Callable[..., ImageFeatures], images: Tensor, rows: int) -> ImageFeatures:
    """Encode images, padded to `rows`."""
    features = call(repeat_last(images, rows))
    return ImageFeatures(*(level[: len(images)] for level in features))


def read_padded(
    call: Callable[..., Tensor], features: ImageFeatures, groups: Iterable[TokenGroup], count: int, rows: int
) -> Tensor:
    """Read what `count` rows remember, padded to `rows`; the groups' slots have been padded."""
    return call(padded_pictures(features, rows), tuple(padded_rows(group, rows) for group in groups))[:count]


def decode_padded(
    call: Callable[..., Prediction],
    features: ImageFeatures,
    conditioned: Tensor,
    prompts: Prompts,
    wanted: Wanted,
    rows: int,
) -> Prediction:
    """Decode rows without prompts, padded to `rows`."""
    read, *points = (repeat_last(x, rows) for x in (conditioned, *prompts[:2]))
    answer = call(padded_pictures(features, rows), read, Prompts(*points), wanted)
    return Prediction(*(part[: len(conditioned)] for part in answer))


def write_padded(
    call: Callable[..., Tensor], features: ImageFeatures, masks: Tensor, object_score: Tensor, rows: int
) -> Tensor:
    """Write rows' memories, padded to `rows`."""
    padded = (repeat_last(x, rows) for x in (masks, object_score))
    return call(padded_pictures(features, rows), *padded)[: len(masks)]


def is_tracking(prompts: Prompts, wanted: Wanted) -> bool:
    """Whether nothing is prompted, as on frames that are tracked; prompts have too many shapes."""
    return wanted.multimask and prompts.mask is None and prompts.coords.shape[1] == NO_POINTS


def of_many_shapes(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled call of which torch may keep `SHAPES`: it counts those of all networks of a process together, and
    gives up after a few."""

    def run(*arguments: Any) -> Any:
        with torch._dynamo.config.patch(cache_size_limit=SHAPES):
            return compiled(*arguments)

    return run


def warm_up(backend: Backend, objects: list[int], progress: bool, what: str) -> None:
    """Run a frame for every number of objects, with a bank that is full and one that is not.

    Args:
        progress: show a progress bar. what: what it says.
    """
    from tqdm import tqdm

    device = backend.device
    with tqdm(total=1 + 4 * len(objects), desc=what, unit="call", disable=None if progress else True) as bar:
        images = torch.zeros(1, *backend.config.input_size, 3, dtype=torch.uint8, device=device)
        features = backend.encode_image(images)
        bar.update()
        for count in objects:
            for memory in _memories(backend, features, count):
                conditioned = backend.read_memory(features, memory)
                bar.update()
            coords = torch.zeros(count, NO_POINTS, 2, device=device)
            labels = torch.full((count, NO_POINTS), PADDING, device=device)
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
    for pointers in (POINTERS, 1):
        tokens = torch.zeros(count, pointers, pieces, config.memory.mem_dim, device=device)
        yield [maps, TokenGroup(tokens, torch.zeros(count, pointers, device=device), False)]
