"""Small layers shared by the network's parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of an image map.

    Args:
        channels: C.
        eps: added to the variance (1e-6 wherever the released models normalise maps).
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise B x C x H x W over C."""
        channels_last = x.permute(0, 2, 3, 1)
        return F.layer_norm(channels_last, self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class MLP(nn.Module):
    """Linear layers with an activation between them.

    Args:
        widths: channels from input to output, e.g. `(256, 256, 256, 4)` for three layers.
        activation: after every layer but the last.
    """

    def __init__(self, widths: Sequence[int], activation: Literal["relu", "gelu"] = "relu") -> None:
        super().__init__()
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map ... x widths[0] to ... x widths[-1]."""
        *hidden, last = self.layers
        for layer in hidden:
            x = F.gelu(layer(x)) if self.activation == "gelu" else F.relu(layer(x))
        return last(x)


class DropPath(nn.Module):
    """Stochastic depth: in training, drop a residual branch for whole samples and rescale the others.

    Args:
        rate: probability of dropping.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Apply to B x ... (identity in eval mode or at rate 0)."""
        # dropout on a B x 1 x ... column of ones drops and rescales whole samples, and is the identity in eval mode
        if self.rate == 0.0:
            return x
        keep = x.new_ones((len(x),) + (1,) * (x.ndim - 1))
        return x * F.dropout(keep, self.rate, self.training)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7 convolution and a pointwise MLP with a learned residual scale (Liu et al. 2022).

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), 1e-6))
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = ChannelNorm(channels)
        self.pwconv1, self.pwconv2 = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x C x H x W to the same shape."""
        mixed = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        return x + (self.gamma * self.pwconv2(F.gelu(self.pwconv1(mixed)))).permute(0, 3, 1, 2)
