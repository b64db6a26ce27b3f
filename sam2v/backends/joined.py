"""Weights that meet nothing in between, multiplied once instead of one after the other for every image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.model.network import Sam2Network


def in_one(first: nn.Linear | nn.Conv2d, second: nn.Linear | nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of `second(first(x))` as one product; both are linear layers or 1x1 convolutions."""
    assert first.bias is not None and second.bias is not None
    one, two = (layer.weight.flatten(1).float() for layer in (first, second))
    bias = torch.addmv(second.bias.float(), two, first.bias.float())
    return (two @ one).to(first.weight.dtype), bias.to(first.bias.dtype)


class JoinedLateral(nn.Module):
    """A level of the neck and the decoder's convolution behind it, as one product over channels that come last.

    Args:
        lateral: the level's convolution. fine: the decoder's.
    """

    def __init__(self, lateral: nn.Conv2d, fine: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = in_one(lateral, fine)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x Cin x H x W to B x C x H x W."""
        return self.product(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def product(self, x: Tensor) -> Tensor:
        """Map ... x Cin to ... x C."""
        return F.linear(x, self.weight, self.bias)


class JoinedNetwork(Sam2Network):
    """Stand-in whose levels at strides 4 and 8, which nothing else reads, come as the decoder wants them."""

    joined: type[JoinedLateral] = JoinedLateral

    def prepare(self) -> None:
        """Join the two levels."""
        levels: Any = self.image_encoder.neck.convs
        for level, name in ((3, "conv_s0"), (2, "conv_s1")):
            levels[level] = self.joined(levels[level].conv, getattr(self.sam_mask_decoder, name))
            setattr(self.sam_mask_decoder, name, nn.Identity())


JOINED_KINDS: dict[type[nn.Module], type[nn.Module]] = {Sam2Network: JoinedNetwork}
