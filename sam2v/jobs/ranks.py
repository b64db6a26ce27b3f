"""The ranks of a torchrun job: who takes which job, and bringing everybody's results together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

Result = TypeVar("Result")


def rank_and_world() -> tuple[int, int]:
    """(rank, number of ranks) from torchrun's environment; (0, 1) outside of it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def default_workers() -> int:
    """Processes for this rank: the cores it may use, divided among the ranks of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def share(sizes: Sequence[int], rank: int, world: int) -> list[int]:
    """Indices that `rank` takes: biggest first, each to the rank with the least so far."""
    loads = [0] * world
    mine = []
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        taker = loads.index(min(loads))
        loads[taker] += sizes[index]
        if taker == rank:
            mine.append(index)
    return sorted(mine)


def gather(found: dict[int, Result], error: Exception | None) -> dict[int, Result]:
    """Everybody's results on every rank. An error on any rank is raised on all of them."""
    import torch.distributed as dist

    own = not dist.is_initialized()
    if own:
        dist.init_process_group("gloo")
    try:
        group: Any = dist.new_group(backend="gloo")
        everybody: list[tuple[dict[int, Result], Exception | None]] = [({}, None)] * dist.get_world_size()
        dist.all_gather_object(everybody, (found, error), group=group)
    finally:
        if own:
            dist.destroy_process_group()
    for _, failed in everybody:
        if failed is not None:
            raise failed
    return {index: result for results, _ in everybody for index, result in results.items()}
