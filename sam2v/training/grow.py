"""Deeper networks from trained ones: new blocks start as identities, so that nothing changes at first.

Chen et al. 2016 (Net2Net).
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import nn

from sam2v.model.network import Sam2Network

#: Last layers of a block's residual branches: with these at zero it is an identity.
_LAST = ("attn.proj", "mlp.layers.1", "self_attn.out_proj", "cross_attn_image.out_proj", "linear2")


@torch.no_grad()
def deepen(small: Sam2Network, large: Sam2Network) -> None:
    """Copy a network into one with more trunk blocks in some stages, or more memory-attention layers.

    Args:
        small: the trained network. large: takes its weights, in place; its widths must be the same, and blocks attend
            over windows or everything as their counterparts do.

    Raises:
        ValueError: the large network is shallower somewhere, or its shapes differ otherwise; named.
    """
    pairs = _pairs(small.config.trunk.stages, large.config.trunk.stages)
    windows = [(small.image_encoder.trunk.blocks[a], large.image_encoder.trunk.blocks[b]) for a, b in pairs.items()]
    if any(a.window != b.window for a, b in windows):
        raise ValueError("train.grow_from: a block of the larger network attends over another window")
    more = len(large.memory_attention.layers) - len(small.memory_attention.layers)
    if more < 0:
        raise ValueError("train.grow_from: the larger network has fewer layers of memory attention")
    state = {_renamed(name, pairs): value for name, value in small.state_dict().items()}
    missing, unexpected = large.load_state_dict(state, strict=False)
    new = [f"image_encoder.trunk.blocks.{k}." for k in range(sum(large.config.trunk.stages)) if k not in pairs.values()]
    new += [f"memory_attention.layers.{len(small.memory_attention.layers) + k}." for k in range(more)]
    strange = [name for name in missing if not name.startswith(tuple(new))]
    if unexpected or strange:
        raise ValueError(f"train.grow_from: the networks differ in more than depth, e.g. {[*unexpected, *strange][0]}")
    for name, module in large.named_modules():
        if name.startswith(tuple(new)) and name.endswith(_LAST) and isinstance(module, nn.Linear):
            module.weight.zero_()
            module.bias.zero_()


def _pairs(small: list[int], large: list[int]) -> dict[int, int]:
    """Number of each block of the smaller trunk -> its number in the larger; new blocks end their stage."""
    if any(a > b for a, b in zip(small, large, strict=True)):
        raise ValueError(f"train.grow_from: stages of {small} blocks do not fit into {large}")
    starts = [0, *accumulate(large)][:-1]
    return dict(enumerate(start + k for count, start in zip(small, starts, strict=True) for k in range(count)))


def _renamed(name: str, pairs: dict[int, int]) -> str:
    head = "image_encoder.trunk.blocks."
    if not name.startswith(head):
        return name
    number, _, rest = name[len(head) :].partition(".")
    return f"{head}{pairs[int(number)]}.{rest}"
