"""What is trained and how fast: freezing, parameter groups, schedule, averaging."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from sam2v.training.config import OptimConfig

_BLOCK = re.compile(r"image_encoder\.trunk\.blocks\.(\d+)\.")


def freeze(network: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Exclude the parameters whose names match shell-style patterns from training; returns their names.

    Raises:
        ValueError: a pattern that matches nothing, or nothing is left to train.
    """
    names = [name for name, _ in network.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"train.freeze: {pattern!r} matches no parameter; they are named like {names[0]!r}")
    frozen = []
    for name, parameter in network.named_parameters():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad_(False)
            frozen.append(name)
    if len(frozen) == len(names):
        raise ValueError("train.freeze: every parameter is frozen, nothing is left to train")
    return frozen


def parameter_groups(network: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Groups of trainable parameters with equal peak learning rate and weight decay.

    Biases and normalisations (parameters of one dimension) are not decayed. Trunk block k of 1 to K has its rate
    multiplied by `layer_decay` ** (K + 1 - k), the patch embedding counts as block 0; position tables are exempt.
    """
    blocks = 1 + max(
        (int(found.group(1)) for name, _ in network.named_parameters() if (found := _BLOCK.match(name))), default=-1
    )
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = config.lr
        if name.startswith("image_encoder.") and config.encoder_lr is not None:
            rate = config.encoder_lr
        rate *= config.layer_decay ** _layers_behind(name, blocks)
        decay = 0.0 if parameter.ndim <= 1 else config.weight_decay
        group = groups.setdefault(
            (rate, decay), {"params": [], "names": [], "lr": rate, "peak": rate, "weight_decay": decay}
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def _layers_behind(name: str, blocks: int) -> int:
    """How many layers lie behind a trunk's one, the neck being the last of them; 0 elsewhere."""
    found = _BLOCK.match(name)
    if found:
        return blocks - int(found.group(1))
    return blocks + 1 if name.startswith("image_encoder.trunk.patch_embed") else 0


def make_optimizer(network: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`."""
    first, second = config.betas
    return torch.optim.AdamW(parameter_groups(network, config), betas=(first, second))


def rate_at(step: int, total: int, config: OptimConfig) -> float:
    """Factor on the peak learning rates at a step (from 0): linear growth, then a cosine down to `final`."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, total - config.warmup)
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class WeightAverage:
    """Exponential moving average of a network's floating-point state.

    Args:
        network: what is averaged; its present state is the start.
        decay: share that is kept per step; it grows towards this value, so that early weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state: dict[str, Tensor] = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take one step towards the network's present state."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 20))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue."""
        return {"updates": self.updates, "state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.updates = int(state["updates"])
        for name, value in state["state"].items():
            self.state[name].copy_(value)
