"""Small networks with weights by rule, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from golden.weights import weights_by_rule

from sam2v.config import load_model_config
from sam2v.model.build import build_model
from sam2v.model.network import Sam2Network
from sam2v.model.values import TokenGroup


def nano_by_rule(salt: str = "nano-", overrides: Sequence[str] = ("model.image_size=96",)) -> Sam2Network:
    """The nano network with weights made from its parameters' names."""
    network = build_model(load_model_config("sam2v_nano", overrides))
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict(weights_by_rule(shapes, salt))
    return network


def loud_nano(overrides: Sequence[str] = ()) -> Sam2Network:
    """The nano network with random weights that are always the same, and tells its inputs apart."""
    torch.manual_seed(0)
    network = build_model(load_model_config("sam2v_nano", overrides))
    # an untrained network hardly tells its inputs apart: make it louder where that would hide mistakes
    for name, value in network.named_parameters():
        if any(part in name for part in ("embed", "token", "tpos_enc", "no_obj_ptr", "q_proj", "k_proj")):
            value.data.mul_(3.0)
    return network.eval()


def pictures(seed: int, count: int, height: int, width: int) -> torch.Tensor:
    """Noise as B x H x W x 3 uint8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), generator=generator, dtype=torch.uint8)


def memory_groups(
    tokens: torch.Tensor, time: torch.Tensor, pointers: torch.Tensor, distances: torch.Tensor
) -> list[TokenGroup]:
    """What N rows read: memories N x T x L x Cm and pointers N x P x C. Negative times and NaN distances hide what they
    belong to; without any, there is no bias."""
    hidden, far = time < 0, distances.isnan()
    ragged = bool(hidden.any()) or bool(far.any())
    biases = [torch.where(mask, float("-inf"), 0.0) if ragged else None for mask in (hidden, far)]
    width = tokens.shape[3]
    return [
        TokenGroup(tokens, time.clamp(min=0), True, biases[0]),
        TokenGroup(pointers.unflatten(2, (-1, width)), distances.nan_to_num(), False, biases[1]),
    ]
