"""Small layers on the CPU: activations built into the products before them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sam2v.backends.cpu.products import linear
from sam2v.backends.joined import JoinedLateral, JoinedNetwork
from sam2v.model.memory_encoder import MemoryEncoder
from sam2v.nn.layers import MLP, ConvNeXtBlock


class CpuLinear(nn.Linear):
    """A linear layer by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ... x C to ... x D."""
        return linear(x, self.weight, self.bias)


class CpuMLP(MLP):
    """Linear layers with the activation built in."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ... x widths[0] to ... x widths[-1]."""
        *hidden, last = cast("list[nn.Linear]", list(self.layers))
        for layer in hidden:
            x = linear(x, layer.weight, layer.bias, self.activation)
        return last(x)


class CpuConvNeXtBlock(ConvNeXtBlock):
    """The pointwise MLP with the activation built in."""

    def forward(self, x: Tensor) -> Tensor:
        """Map B x C x H x W to the same shape."""
        mixed = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        wide = linear(mixed, self.pwconv1.weight, self.pwconv1.bias, "gelu")
        out = linear(wide, self.pwconv2.weight, self.pwconv2.bias)
        return x + (self.gamma * out).permute(0, 3, 1, 2)


class CpuMemoryEncoder(MemoryEncoder):
    """One object after the other: a memory that is encoded again alone is bit for bit what it was in a batch."""

    def fuse(self, projected: Tensor, masks: Tensor) -> Tensor:
        """See `MemoryEncoder.fuse`."""
        alone, rows = super().fuse, projected.expand(len(masks), -1, -1, -1).split(1)
        return torch.cat([alone(*row) for row in zip(rows, masks.split(1), strict=True)])


class CpuJoinedLateral(JoinedLateral):
    """Two convolutions as one product by `linear`."""

    def product(self, x: Tensor) -> Tensor:
        """Map ... x Cin to ... x C."""
        return linear(x, self.weight, self.bias)


class CpuNetwork(JoinedNetwork):
    """Stand-in for the whole network."""

    joined = CpuJoinedLateral
