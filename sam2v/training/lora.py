"""Low-rank adaptation of linear layers (Hu et al. 2021), merged back into plain weights for export."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.utils import parametrize

from sam2v.model.build import build_model
from sam2v.model.network import Sam2Network
from sam2v.training.config import LoraConfig

_PARAMETRIZED = ".parametrizations.weight."


class LowRank(nn.Module):
    """Adds up @ down * scale to a weight of out x in; starts at zero."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, weight.shape[1]))
        self.up = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight."""
        return weight + self.up @ self.down * self.scale


def add_lora(network: nn.Module, config: LoraConfig) -> list[str]:
    """Give matching linear layers a low-rank update and freeze the rest; returns the layers' names.

    Raises:
        ValueError: no linear layer matches.
    """
    layers = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and _matches(name, config.layers)
    ]
    if not layers:
        raise ValueError(f"train.lora.layers={config.layers}: no linear layer of the network matches")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_matches(name, config.also))
    for name in layers:
        linear = network.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        rank = min(config.rank, *linear.weight.shape)
        update = LowRank(linear.weight.detach(), rank, config.alpha / config.rank)
        parametrize.register_parametrization(linear, "weight", update)
    return layers


def merged(network: Sam2Network) -> Sam2Network:
    """A copy of the network with every low-rank update added to its weight, under the usual parameter names."""
    plain = build_model(network.config, network.device)
    state = {}
    for name, value in network.state_dict().items():
        owner, parametrized, part = name.partition(_PARAMETRIZED)
        if not parametrized:
            state[name] = value
        elif part == "original":
            state[f"{owner}.weight"] = network.get_submodule(owner).weight
    plain.load_state_dict(state)
    return plain


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
