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
    """:func:`attend` after the split into heads: B x heads x L x channels in, B x L x heads x channels out."""
    batch = max(len(q), len(k))
    q, k, v = (t.expand(batch, -1, -1, -1) for t in (q, k, v))
    if dropout == 0 and (bias is None or bias.shape[2] == 1) and prefers_blocks(q, k.shape[2], v.shape[3]):
        return _attend_in_blocks(q, k, v, bias)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout).transpose(1, 2)


def prefers_blocks(q: Tensor, keys: int, value_channels: int) -> bool:
    """Which kernel attends, chosen by measurement.

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
            running = RunningAttention(q[b, head], v.shape[3])
            running.add(k[b, head], v[b, head], hidden)
            out[b, :, head] = running.mean()
    return out


class RunningAttention:
    """Attention of one set of queries over keys that come in parts, as blocks of matrix products.

    A running maximum keeps the exponentials in range (Milakov and Gimelshein 2018); sums are kept in float32.

    Args:
        q: Lq x C queries.
        value_channels: Cv.
    """

    def __init__(self, q: Tensor, value_channels: int) -> None:
        self._q = q * q.shape[1] ** -0.5
        self._rows = _BLOCK_BYTES // (_KEYS * q.element_size())
        self._space = q.new_empty(min(self._rows, len(q)), _KEYS)
        self._top = torch.full((len(q), 1), -1e30, device=q.device)  # finite: all keys of a block may be hidden
        self._total = torch.zeros(len(q), 1, device=q.device)
        self._sum = torch.zeros(len(q), value_channels, device=q.device)

    def add(self, k: Tensor, v: Tensor, bias: Tensor | None = None) -> None:
        """Take in keys Lk x C and values Lk x Cv; bias 1 x Lk is added to the logits."""
        blocks = list(zip(k.split(_KEYS), v.split(_KEYS), strict=True))
        hidden = [None] * len(blocks) if bias is None else bias.split(_KEYS, 1)
        states = zip(*(part.split(self._rows) for part in (self._q, self._top, self._total, self._sum)), strict=True)
        for q, top, total, mean in states:
            for (keys, values), extra in zip(blocks, hidden, strict=True):
                logits = torch.mm(q, keys.T, out=self._space[: len(q)]) if len(keys) == _KEYS else q @ keys.T
                if extra is not None:
                    logits += extra
                higher = torch.maximum(top, logits.amax(1, keepdim=True))
                shrink = (top - higher).exp_()
                top.copy_(higher)
                weights = logits.sub_(higher).exp_()
                total.mul_(shrink).add_(weights.sum(1, keepdim=True, dtype=torch.float32))
                mean.mul_(shrink).add_(weights @ values)

    def mean(self) -> Tensor:
        """The attended values so far, Lq x Cv float32."""
        return self._sum / self._total


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
