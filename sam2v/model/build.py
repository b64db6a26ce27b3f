"""Build a network from its configuration."""

from __future__ import annotations

import torch

from sam2v.config import ModelConfig
from sam2v.model.network import Sam2Network


def build_model(config: ModelConfig, device: torch.device | str | None = None) -> Sam2Network:
    """Network with random weights, in eval mode.

    Args:
        config: sizes, from `sam2v.config.load_model_config`.
        device: where to create the parameters; `"meta"` creates shapes only. CPU by default.
    """
    target = torch.device(device or "cpu")
    with target:
        network = Sam2Network(config).eval()
    return network if target.type == "meta" else network.to(target)  # constants are made on the CPU
