"""One process or several: what torchrun's environment says, and sums over the processes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

_PATIENCE = timedelta(hours=12)  # the others wait while the first process validates


@dataclass(frozen=True)
class World:
    """This process among those of a run.

    Attributes:
        rank: number of this process. size: number of processes.
        device: where this process computes.
        owned: whether this run started the process group, and so ends it.
    """

    rank: int
    size: int
    device: torch.device
    owned: bool = False

    @property
    def first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """Sum over the processes, the same on all."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Meet the other processes."""
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        """End the process group if this run started it."""
        if self.owned and dist.is_initialized():
            dist.destroy_process_group()


def join_world(device: str | torch.device | None = None) -> World:
    """Join the processes that torchrun started (nccl on GPUs, gloo elsewhere), or be alone.

    Args:
        device: where to compute; None = a GPU if there is one, else the CPU. "cuda" is this process's own GPU.
    """
    size, rank, local = (
        int(os.environ.get(name, default)) for name, default in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0))
    )
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda":
        if device.index is None:
            device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if size == 1:
        return World(0, 1, device)
    if dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size(), device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=size, timeout=_PATIENCE)
    return World(rank, size, device, owned=True)
