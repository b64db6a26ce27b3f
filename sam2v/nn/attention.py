"""Multi-head attention over token sequences, and which kernel computes it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.nn.pieces import on_cpu_for_use

#: Fewer products of queries and keys than this stay with torch's kernel.
_LARGE = 1 << 20
#: Queries per thread and keys of one block of the CPU kernel: the products reach their full speed, and little of a
#: block leaves a core's cache.
_QUERIES, _KEYS = 1024, 512


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
    if dropout == 0 and bias is None and on_cpu_for_use(q) and q.dtype != torch.float32:
        return _attend_at_once(q, k, v)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout).transpose(1, 2)


def prefers_blocks(q: Tensor, keys: int, value_channels: int) -> bool:
    """Which kernel attends, chosen by measurement.

    On the CPU torch's fused kernel needs values as wide as the keys and gains nothing from bfloat16; blocks of matrix
    products take values of any width, and gain as much as the products do. Elsewhere, for small problems, for training
    and for export torch's kernel is used.

    Args:
        q: ... x Lq x C queries. keys: Lk. value_channels: Cv.
    """
    if not on_cpu_for_use(q) or q.shape[-2] * keys < _LARGE:
        return False
    return value_channels < q.shape[-1] or q.dtype != torch.float32


def _attend_at_once(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Many small problems in lower precision, of which torch's CPU kernel makes little: plain products."""
    shape = q.shape[:2]
    q, k, v = (t.flatten(0, 1) for t in (q * q.shape[3] ** -0.5, k, v))
    weights = torch.bmm(q, k.transpose(1, 2)).softmax(2)
    return torch.bmm(weights, v).unflatten(0, shape).transpose(1, 2)


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

    Every thread has queries of its own, so that a block's logits stay with the core that made them. A running maximum
    keeps the exponentials in range (Milakov and Gimelshein 2018); they and their sums are float32, and powers of two,
    which cost a third of those of e.

    Args:
        q: Lq x C queries.
        value_channels: Cv.
    """

    def __init__(self, q: Tensor, value_channels: int) -> None:
        threads = torch.get_num_threads()
        sets = next(n for n in range(threads, 0, -1) if len(q) % n == 0)
        q = (q * (q.shape[1] ** -0.5 * math.log2(math.e))).view(sets, -1, q.shape[1])
        self._blocks = [_Block(part, value_channels) for part in q.split(_QUERIES, 1)]
        self._space = q.new_empty(sets * min(_QUERIES, q.shape[1]) * _KEYS)
        self._wide = self._space if q.dtype == torch.float32 else torch.empty(len(self._space))

    def add(self, k: Tensor, v: Tensor, bias: Tensor | None = None) -> None:
        """Take in keys Lk x C and values Lk x Cv; bias 1 x Lk is added to the logits."""
        for block in self._blocks:
            self._add(block, block.q, None, k, v, bias)

    def add_sharing(self, k: Tensor, v: Tensor, shared: Tensor, bias: Tensor | None = None) -> None:
        """Take in groups of keys that have something in common.

        Args:
            k: G x Lk x (C - E + D) keys. v: G x Lk x Cv values.
            shared: E x G x (D + 1), of every group. The last E channels of the queries are multiplied by it; D of the
                products meet the last D channels of the group's keys, and the last one is added to all its logits.
            bias: G x Lk, added to the logits.
        """
        for block in self._blocks:
            for group, (q, term) in enumerate(block.meet(shared)):
                self._add(block, q, term, k[group], v[group], None if bias is None else bias[group, None])

    def _add(self, block: _Block, q: Tensor, term: Tensor | None, k: Tensor, v: Tensor, bias: Tensor | None) -> None:
        if bias is not None:
            bias = bias.float() * math.log2(math.e)
        for start in range(0, len(k), _KEYS):
            part = slice(start, start + _KEYS)
            hidden = None if bias is None else bias[:, part]
            block.add(q, term, k[part], v[part], hidden, self._space, self._wide)

    def mean(self) -> Tensor:
        """The attended values so far, Lq x Cv float32."""
        return torch.cat([block.sum / block.total for block in self._blocks], 1).flatten(0, 1)


class _Block:
    """Queries of every thread (sets x rows x C), and what they have gathered."""

    def __init__(self, q: Tensor, value_channels: int) -> None:
        self.q = q.contiguous()
        self.top = torch.full((*q.shape[:2], 1), -1e30)  # finite: all keys so far may be hidden
        self.total = torch.zeros(*q.shape[:2], 1)
        self.sum = torch.zeros(*q.shape[:2], value_channels)
        self._own: Tensor | None = None

    def meet(self, shared: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """For every group, queries (sets x rows x (C - E + D), in one place) and the term of their logits."""
        sets, rows, channels = self.q.shape
        own, depth = channels - len(shared), shared.shape[2] - 1
        if self._own is None:  # the queries' own channels are written once, the others for every group
            self._own, self._last = self.q.new_empty(sets, rows, own + depth), self.q[..., own:].flatten(0, 1)
            self._own[..., :own] = self.q[..., :own]
        products = (self._last @ shared.flatten(1)).view(sets, rows, -1, depth + 1)
        for made in products.unbind(2):
            self._own[..., own:] = made[..., :depth]
            yield self._own, made[..., depth:].float()

    def add(
        self, q: Tensor, term: Tensor | None, k: Tensor, v: Tensor, bias: Tensor | None, space: Tensor, wide: Tensor
    ) -> None:
        sets, rows, keys = *q.shape[:2], len(k)
        logits = space[: sets * rows * keys].view(sets, rows, keys)
        if wide is space:
            torch.bmm(q, k.T.expand(sets, -1, -1), out=logits)
        else:  # the library behind these products shares one of them out by itself, and copies what is expanded
            torch.mm(q.flatten(0, 1), k.T, out=logits.flatten(0, 1))
            logits = wide[: logits.numel()].view_as(logits).copy_(logits)
        if bias is not None:
            logits += bias
        top = logits.amax(2, keepdim=True)
        top = torch.maximum(self.top, top if term is None else top + term)
        shrink = (self.top - top).exp2_()
        self.top = top
        weights = logits.sub_(top if term is None else top - term).exp2_()
        self.total.mul_(shrink).add_(weights.sum(2, keepdim=True))
        self.sum.mul_(shrink)
        if wide is space:
            torch.baddbmm(self.sum, weights, v.expand(sets, -1, -1), out=self.sum)
        else:
            self.sum += (weights.to(v.dtype).flatten(0, 1) @ v).view_as(self.sum)


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
        """Queries B x Lq x C, keys and values B x Lk x memory_channels; returns B x Lq x C.

        Where one side is so short that its tokens of all heads are fewer than the inner channels, the projections of
        the other side are applied to the short one: the same result for half of the work.
        """
        inner, (short, long) = self.q_proj.out_features, sorted((q.shape[1], k.shape[1]))
        if on_cpu_for_use(q) and self.heads * short < inner < long:
            return self._few_queries(q, k, v) if q.shape[1] == short else self._few_keys(q, k, v)
        return self.out_proj(attend(self.q_proj(q), self.k_proj(k), self.v_proj(v), self.heads))

    def _few_queries(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(Q q) . (K k) = (K' Q q) . k; the keys' bias moves all logits of a query alike, which changes nothing. And
        weights sum to one, so the mean of the values is projected."""
        met = self._in_heads(self.q_proj, q) * (self.q_proj.out_features // self.heads) ** -0.5
        met = (met @ self._of_heads(self.k_proj.weight)).flatten(1, 2)  # B x (heads * Lq) x memory channels
        mean = (met @ k.transpose(1, 2)).softmax(2) @ v
        mean = mean.unflatten(1, (self.heads, -1)) @ self._of_heads(self.v_proj.weight).transpose(1, 2)
        return self.out_proj(mean.transpose(1, 2).flatten(2) + self.v_proj.bias)

    def _few_keys(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same the other way round: keys meet the queries' projection, values that of the output."""
        key = self._in_heads(self.k_proj, k) * (self.q_proj.out_features // self.heads) ** -0.5
        offset = (key @ self.q_proj.bias.view(self.heads, -1, 1)).flatten(1, 2)  # B x (heads * Lk) x 1
        key = (key @ self._of_heads(self.q_proj.weight)).flatten(1, 2)
        logits = torch.baddbmm(offset, key, q.transpose(1, 2)).unflatten(1, (self.heads, -1))
        # keys before queries: a softmax over the last, short dimension takes ten times as long
        weights = logits.softmax(2).flatten(1, 2).transpose(1, 2)
        value = self._in_heads(self.v_proj, v) @ self._of_heads(self.out_proj.weight.T)
        return torch.baddbmm(self.out_proj.bias, weights, value.flatten(1, 2))

    def _in_heads(self, layer: nn.Linear, x: Tensor) -> Tensor:
        """Project B x L x C to B x heads x L x channels of a head."""
        return layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _of_heads(self, weight: Tensor) -> Tensor:
        """Cut inner x C into heads x channels of a head x C."""
        return weight.unflatten(0, (self.heads, -1))
