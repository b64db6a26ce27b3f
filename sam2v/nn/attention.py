"""Multi-head attention over token sequences, and which kernel computes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.nn.pieces import on_cpu_for_use

#: Fewer products of queries and keys than this stay with torch's kernel.
_LARGE = 1 << 20
#: Keys per block of the CPU kernel; a block of logits takes 1 MB, which stays in a core's cache.
_KEYS, _BLOCK_BYTES = 512, 1 << 20


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int = 1, bias: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention.

    Args:
        q: B x Lq x C queries. k: B x Lk x C keys. v: B x Lk x Cv values. B = 1 is broadcast.
        heads: number of heads the channels are split into.
        bias: B x 1 x Lq or 1 x Lk, added to the attention logits (-inf hides a key), or None.
        dropout: rate on the attention weights.

    Returns:
        B x Lq x Cv.
    """
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))  # B x heads x L x C/heads
    return attend_heads(q, k, v, bias, dropout).flatten(2)


def attend_heads(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """:func:`attend` for tensors that are split into heads: B x heads x L x channels in, B x L x heads x channels out."""
    batch = max(len(q), len(k))
    q, k, v = (t.expand(batch, -1, -1, -1) for t in (q, k, v))
    if dropout == 0 and (bias is None or bias.shape[2] == 1) and prefers_blocks(q, k.shape[2], v.shape[3]):
        return _attend_in_blocks(q, k, v, bias)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout).transpose(1, 2)


def prefers_blocks(q: Tensor, keys: int, value_channels: int) -> bool:
    """Which kernel attends, chosen by measurement (docs/performance.md).

    On the CPU torch's fused kernel needs values as wide as the keys and gains nothing from bfloat16; blocks of matrix
    products take values of any width, and reach the speed of the products. Elsewhere, for small problems, for training
    and for export torch's kernel is used.

    Args:
        q: ... x Lq x C queries. keys: Lk. value_channels: Cv.
    """
    if not on_cpu_for_use(q) or q.shape[-2] * keys < _LARGE:
        return False
    return value_channels < q.shape[-1] or q.dtype != torch.float32 or q.shape[-1] <= 128


def _attend_in_blocks(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """B x heads x L x channels in, B x Lq x heads x Cv out."""
    out = v.new_empty(len(q), q.shape[2], q.shape[1], v.shape[3])
    for b in range(q.shape[0]):
        hidden = None if bias is None else bias[b if len(bias) > 1 else 0, 0]
        for head in range(q.shape[1]):
            _attend_one(q[b, head], k[b, head], v[b, head], hidden, out[b, :, head])
    return out


def _attend_one(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, out: Tensor) -> None:
    """Softmax over blocks of keys with a running maximum (Milakov and Gimelshein 2018), sums in float32.

    Args:
        q: Lq x C. k: Lk x C. v: Lk x Cv. bias: 1 x Lk or None. out: Lq x Cv, written.
    """
    rows = _BLOCK_BYTES // (_KEYS * q.element_size())
    blocks = list(zip(k.split(_KEYS), v.split(_KEYS), (bias.split(_KEYS, 1) if bias is not None else ()), strict=False))
    if bias is None:
        blocks = [(keys, values, None) for keys, values in zip(k.split(_KEYS), v.split(_KEYS), strict=True)]
    space = q.new_empty(rows, _KEYS)
    for start in range(0, len(q), rows):
        part = q[start : start + rows] * q.shape[1] ** -0.5
        top = torch.full((len(part), 1), -1e30)
        total = torch.zeros(len(part), 1)
        mean = torch.zeros(len(part), v.shape[1])
        for keys, values, hidden in blocks:
            logits = torch.mm(part, keys.T, out=space[: len(part)] if len(keys) == _KEYS else None)
            if hidden is not None:
                logits += hidden
            higher = torch.maximum(top, logits.amax(1, keepdim=True).float())
            shrink = (top - higher).exp_()
            top = higher
            weights = logits.sub_(top).exp_()
            total.mul_(shrink).add_(weights.sum(1, keepdim=True, dtype=torch.float32))
            mean.mul_(shrink).add_(weights @ values)
        out[start : start + rows] = mean / total


class Attention(nn.Module):
    """Attention with learned projections of queries, keys, values and output.

    Args:
        channels: C of queries and output.
        heads: number of heads.
        inner: channels inside, C by default.
        memory_channels: channels of keys and values before projection, C by default.
    """

    def __init__(
        self, channels: int, heads: int = 1, inner: int | None = None, memory_channels: int | None = None
    ) -> None:
        super().__init__()
        inner, source = inner or channels, memory_channels or channels
        self.heads = heads
        self.q_proj, self.out_proj = nn.Linear(channels, inner), nn.Linear(inner, channels)
        self.k_proj, self.v_proj = nn.Linear(source, inner), nn.Linear(source, inner)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries B x Lq x C, keys and values B x Lk x memory_channels; returns B x Lq x C."""
        return self.out_proj(attend(self.q_proj(q), self.k_proj(k), self.v_proj(v), self.heads))
