"""Matrix products, and which library makes them."""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.nn.pieces import on_cpu_for_use

Activation = Literal["none", "relu", "gelu"]

#: Fewer rows than this are not worth arranging the weights for, nor are fewer multiplications of a pair.
_ROWS, _LARGE = 128, 1 << 22


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: Activation = "none") -> Tensor:
    """``activation(x @ weight.T + bias)``.

    On the CPU in use large products go to oneDNN with the activation built in, which saves a pass over the result. In
    float32 it was measured to be faster than torch's own choice, by a tenth on one processor and twice on another.

    Args:
        x: ... x C. weight: D x C. bias: D, or None.
        activation: ``none``, ``relu`` or ``gelu`` (exact).

    Returns:
        ... x D.
    """
    if on_cpu_for_use(x) and x.numel() >= _ROWS * x.shape[-1] and x.dtype == weight.dtype and _has_onednn(x.dtype):
        return _by_onednn(x, weight, bias, activation)
    out = F.linear(x, weight, bias)
    if activation == "gelu":
        return F.gelu(out)
    return F.relu(out) if activation == "relu" else out


def products(x: Tensor, y: Tensor) -> Tensor:
    """``x @ y.T`` for every pair of a batch.

    On the CPU in use large ones go to oneDNN one after the other: half of the time of torch's batched product, measured
    on an AMD Zen 5.

    Args:
        x: B x N x C. y: B x M x C.

    Returns:
        B x N x M.
    """
    large = x.shape[1] * y.shape[1] * x.shape[2] >= _LARGE
    if large and on_cpu_for_use(x) and len(x) == len(y) and x.dtype == y.dtype and _has_onednn(x.dtype):
        made = [_by_onednn(a, b) for a, b in zip(x, y, strict=True)]
        return torch.stack(made) if len(made) > 1 else made[0][None]
    return x @ y.transpose(1, 2)


def in_one(first: nn.Linear | nn.Conv2d, second: nn.Linear | nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of ``second(first(x))`` as one product; both are linear layers or 1x1 convolutions."""
    assert first.bias is not None and second.bias is not None
    one, two = (layer.weight.flatten(1).float() for layer in (first, second))
    bias = torch.addmv(second.bias.float(), two, first.bias.float())
    return (two @ one).to(first.weight.dtype), bias.to(first.bias.dtype)


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: Activation = "none") -> Tensor:
    if not (weight.is_contiguous() or weight.T.is_contiguous()):
        weight = weight.contiguous()  # anything else is taken by code that is a thousand times as slow
    how = "none" if activation == "gelu" else ""
    return torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, activation, [], how)


@cache
def _has_onednn(dtype: torch.dtype) -> bool:
    """Whether this torch and this processor have oneDNN's products with activations for a dtype."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


class Linear(nn.Linear):
    """A linear layer of :func:`linear`, optionally with an activation behind it."""

    def forward(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """Map ... x C to ... x D."""
        return linear(x, self.weight, self.bias, activation)
