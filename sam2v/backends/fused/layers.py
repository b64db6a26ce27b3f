"""Small layers in fewer operations."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.nn.layers import MLP

#: What added hidden channels hold, before their activation and after it: ReLU and GELU leave it as it is in every
#: precision, and its inverse is exact.
_UNIT = 8.0
#: So many channels are added: products are fastest where their sides are multiples of it.
_ADDED = 8


def linear_relu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`relu(linear(x))` as one operation; ... x C to ... x D."""
    made: Tensor = torch._addmm_activation(bias, x.reshape(-1, x.shape[-1]), weight.T)
    return made.unflatten(0, x.shape[:-1])


def plus_product(offset: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`offset + x @ weight.T` as one operation for every picture of a batch.

    Args:
        offset: B (or 1) x L (or 1) x D. x: B x L x C. weight: D x C.
    """
    batch = len(x)
    return torch.baddbmm(offset.expand(batch, -1, -1), x, weight.T.expand(batch, -1, -1))


class AddedMLP(NamedTuple):
    """Two linear layers whose answer is added to something as a part of their last product.

    The last product has no bias: channels are added between the layers that hold the same number always, and the last
    weights make the bias of the first one of them.

    Attributes:
        weight, bias: of the first layer, C to the hidden channels and those that are added. last: weight of the second.
    """

    weight: Tensor
    bias: Tensor
    last: Tensor

    @classmethod
    def of(cls, first: nn.Linear, second: nn.Linear, scale: Tensor | None = None) -> AddedMLP:
        """Join two layers; `scale` is a factor on the channels of the answer."""
        assert first.bias is not None and second.bias is not None
        weight: Tensor = second.weight
        bias: Tensor = second.bias
        if scale is not None:
            weight, bias = weight * scale[:, None], bias * scale
        return cls(
            F.pad(first.weight, (0, 0, 0, _ADDED)),
            F.pad(first.bias, (0, _ADDED), value=_UNIT),
            torch.cat([weight, F.pad(bias[:, None] / _UNIT, (0, _ADDED - 1))], 1),
        )

    def add_relu_(self, x: Tensor, given: Tensor) -> Tensor:
        """Add what the layers make of ... x C to x, which changes in place and is contiguous, with ReLU in between."""
        return self._add_(x, linear_relu(given, self.weight, self.bias))

    def add_gelu_(self, x: Tensor, given: Tensor) -> Tensor:
        """The same with GELU. No operation has the exact one built in."""
        return self._add_(x, F.gelu(F.linear(given, self.weight, self.bias)))

    def _add_(self, x: Tensor, hidden: Tensor) -> Tensor:
        x.view(-1, x.shape[-1]).addmm_(hidden.view(-1, hidden.shape[-1]), self.last.T)
        return x


class FusedMLP(MLP):
    """Linear layers with ReLU built in."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ... x widths[0] to ... x widths[-1]."""
        if self.activation != "relu":
            return super().forward(x)
        *hidden, last = cast("list[nn.Linear]", list(self.layers))
        for layer in hidden:
            x = linear_relu(x, layer.weight, layer.bias)
        return last(x)
