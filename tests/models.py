"""Small networks with weights by rule, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from golden.weights import weights_by_rule

from sam2v.config import load_model_config
from sam2v.model.build import build_model
from sam2v.model.network import Sam2Network


def nano_by_rule(salt: str = "nano-", overrides: Sequence[str] = ("model.image_size=96",)) -> Sam2Network:
    """The nano network with weights made from its parameters' names."""
    network = build_model(load_model_config("sam2v_nano", overrides))
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict(weights_by_rule(shapes, salt))
    return network
