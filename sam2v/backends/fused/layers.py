"""Small layers in fewer operations."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.nn.layers import MLP, ConvNeXtBlock


def linear_relu(x: Tensor, layer: nn.Linear) -> Tensor:
    """`relu(layer(x))` as one operation; ... x C to ... x D."""
    assert layer.bias is not None
    made: Tensor = torch._addmm_activation(layer.bias, x.reshape(-1, x.shape[-1]), layer.weight.T)
    return made.unflatten(0, x.shape[:-1])


def plus_product(offset: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`offset + x @ weight.T` as one operation for every picture of a batch.

    Args:
        offset: B (or 1) x L x D. x: B x L x C. weight: D x C.
    """
    batch = len(x)
    return torch.baddbmm(offset.expand(batch, -1, -1), x, weight.T.expand(batch, -1, -1))


class FusedMLP(MLP):
    """Linear layers with ReLU built in. There is no such operation with the exact GELU."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ... x widths[0] to ... x widths[-1]."""
        if self.activation != "relu":
            return super().forward(x)
        *hidden, last = cast("list[nn.Linear]", list(self.layers))
        for layer in hidden:
            x = linear_relu(x, layer)
        return last(x)


class FusedConvNeXtBlock(ConvNeXtBlock):
    """A block with the residual's scale in the weights of its last layer."""

    def prepare(self) -> None:
        """Scale the last layer."""
        last = self.pwconv2
        assert last.bias is not None
        self._last = last.weight * self.gamma[:, None], last.bias * self.gamma

    def forward(self, x: Tensor) -> Tensor:
        """Map B x C x H x W to the same shape."""
        mixed = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        return x + F.linear(F.gelu(self.pwconv1(mixed)), *self._last).permute(0, 3, 1, 2)
