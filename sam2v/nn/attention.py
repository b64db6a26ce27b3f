"""Multi-head attention over token sequences, and which kernel computes it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.nn.pieces import on_cpu, on_cpu_for_use
from sam2v.nn.products import Linear, linear, products

#: Fewer products of queries and keys than this stay with torch's kernel.
_LARGE = 1 << 20
#: More products of queries and keys than this are not kept at once.
_KEPT = 1 << 23
#: Queries per thread and keys of one block of the CPU kernel in float32 (in bfloat16 twice as many queries): the
#: products reach their full speed, and a block's logits stay in the cache.
_QUERIES, _KEYS = 1024, 512
#: Largest logits (as powers of two) of the first keys that go into exponentials as they are: half of what fits.
_SAFE = 64.0


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
    if dropout == 0 and (bias is None or bias.shape[2] == 1) and prefers_blocks(q, k.shape[2]):
        out = _attend_in_blocks(q, k, v, bias)
        if out is not None:
            return out
    if dropout == 0 and _prefers_products(q, k.shape[2]):
        return _attend_at_once(q, k, v, bias)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout).transpose(1, 2)


def prefers_blocks(q: Tensor, keys: int) -> bool:
    """Which kernel attends, chosen by measurement.

    On the CPU torch's fused kernel needs values as wide as the keys, gains nothing from bfloat16, and its products are
    MKL's, which use half of what some processors have (AMD's Zen 5); blocks of matrix products take values of any width
    and are as fast as oneDNN's products. Elsewhere, for small problems, for training, for export and for float16, whose
    exponents are too short for them, torch's kernel is used.

    Args:
        q: ... x Lq x C queries. keys: Lk.
    """
    if not on_cpu_for_use(q) or q.shape[-2] * keys < _LARGE:
        return False
    return q.dtype in (torch.float32, torch.bfloat16)


def _prefers_products(q: Tensor, keys: int) -> bool:
    """Whether plain products attend: in lower precision on the CPU, in use and in training, they take a third of the
    time of torch's kernel, as long as keeping all attention weights is no burden."""
    return on_cpu(q) and q.dtype != torch.float32 and q.shape[2] * keys <= _KEPT


def _attend_at_once(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attention as it is written down."""
    logits = (q * q.shape[3] ** -0.5) @ k.transpose(2, 3)
    weights = (logits if bias is None else logits + bias.to(logits.dtype)).softmax(3)
    return (weights @ v).transpose(1, 2)


def _attend_in_blocks(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor | None:
    """B x heads x L x channels in, B x Lq x heads x Cv out; None as for :meth:`RunningAttention.mean`."""
    out = v.new_empty(len(q), q.shape[2], q.shape[1], v.shape[3])
    for b in range(q.shape[0]):
        hidden = None if bias is None else bias[b if len(bias) > 1 else 0, 0]
        for head in range(q.shape[1]):
            running = RunningAttention(q[b, head], v.shape[3])
            running.add(k[b, head], v[b, head], hidden)
            mean = running.mean()
            if mean is None:
                return None
            out[b, :, head] = mean
    return out


class RunningAttention:
    """Attention of one set of queries over keys that come in parts, as blocks of matrix products.

    Exponentials are powers of two, which cost a third of those of e. Logits go straight into them where that is safe:
    float32 and bfloat16 hold powers of two from -126 to 127, and few logits are that large. Where the first keys' are
    large, each query's largest of them is subtracted from all; :meth:`mean` tells if that was not enough.

    Args:
        q: Lq x C queries, float32 or bfloat16.
        value_channels: Cv.
    """

    def __init__(self, q: Tensor, value_channels: int) -> None:
        q = q * (q.shape[1] ** -0.5 * math.log2(math.e))
        rows = _QUERIES * torch.get_num_threads() * 4 // q.element_size()
        self._blocks = [_Block(part, value_channels) for part in q.split(rows)]

    def add(self, k: Tensor, v: Tensor, bias: Tensor | None = None) -> None:
        """Take in keys Lk x C and values Lk x Cv; bias 1 x Lk is added to the logits."""
        for block in self._blocks:
            block.expect(torch.zeros_like(block.total))
            self._add(block, block.q, k, v, bias)

    def add_sharing(self, k: Tensor, v: Tensor, shared: Tensor, bias: Tensor | None = None) -> None:
        """Take in groups of keys that have something in common.

        Args:
            k: G x Lk x (C - E + D) keys. v: G x Lk x Cv values.
            shared: G x (D + 1) x E, of every group. The last E channels of the queries are multiplied by it; D of the
                products meet the last D channels of the group's keys, and the last one is added to all its logits.
            bias: G x Lk, added to the logits.
        """
        for block in self._blocks:
            for group, q in enumerate(block.meet(shared)):
                self._add(block, q, k[group], v[group], None if bias is None else bias[group, None])

    def _add(self, block: _Block, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> None:
        if bias is not None:
            bias = bias * math.log2(math.e)
        for start in range(0, len(k), _KEYS):
            part = slice(start, start + _KEYS)
            block.add(q, k[part], v[part], None if bias is None else bias[:, part])

    def mean(self) -> Tensor | None:
        """The attended values so far, Lq x Cv float32; None where logits went out of range (or the input was not
        finite): they must be attended to in another way."""
        mean = torch.cat([block.sum / block.total for block in self._blocks])
        return mean if bool(mean.isfinite().all()) else None


class _Block:
    """Some queries (rows x C), and what they have gathered."""

    def __init__(self, q: Tensor, value_channels: int) -> None:
        self.q = q
        self.total, self.sum = torch.zeros(len(q), 1), torch.zeros(len(q), value_channels)
        self._term = torch.zeros(len(q), 1)  # the sums are relative to two to the power of it
        self._first = True
        self._top: Tensor | None = None  # what is subtracted from logits, known from the first ones
        self._own: Tensor | None = None

    def expect(self, term: Tensor) -> None:
        """From now on all logits have ``term`` (rows x 1) added: the sums are brought to its scale."""
        scale = (self._term - term).exp2_()
        self.total *= scale
        self.sum *= scale
        self._term = term

    def meet(self, shared: Tensor) -> Iterator[Tensor]:
        """For groups of keys that share G x (D + 1) x E: queries rows x (C - E + D), in one place; what a group adds to
        its logits is expected."""
        (rows, channels), depth = self.q.shape, shared.shape[1] - 1
        own = channels - shared.shape[2]
        if self._own is None:  # the queries' own channels are written once, the others for every group
            self._own, self._last = self.q.new_empty(rows, own + depth), self.q[:, own:].contiguous()
            self._own[:, :own] = self.q[:, :own]
        terms = (self._last @ shared[:, depth].T).float()
        met = linear(self._last, shared[:, :depth].flatten(0, 1))  # one product for all groups
        for part, term in zip(met.split(depth, 1), terms.split(1, 1), strict=True):
            self._own[:, own:] = part
            self.expect(term)
            yield self._own

    def add(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> None:
        logits = linear(q, k)
        if bias is not None:
            logits += bias
        if self._first:
            top, self._first = logits.amax(1, keepdim=True), False
            top.masked_fill_(top == float("-inf"), 0.0)  # all of them are hidden
            self._top = top if bool(top.abs().amax() > _SAFE) else None
        weights = logits.exp2_() if self._top is None else logits.sub_(self._top).exp2_()
        self.total += weights.sum(1, keepdim=True)
        self.sum += linear(weights, v.T)


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
        self.q_proj, self.out_proj = Linear(channels, inner), Linear(inner, channels)
        self.k_proj, self.v_proj = Linear(source, inner), Linear(source, inner)

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
        mean = products(products(met, k).softmax(2), v.transpose(1, 2))
        mean = mean.unflatten(1, (self.heads, -1)) @ self._of_heads(self.v_proj.weight).transpose(1, 2)
        return self.out_proj(mean.transpose(1, 2).flatten(2) + self.v_proj.bias)

    def _few_keys(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same the other way round: keys meet the queries' projection, values that of the output."""
        key = self._in_heads(self.k_proj, k) * (self.q_proj.out_features // self.heads) ** -0.5
        offset = (key @ self.q_proj.bias.view(self.heads, -1, 1)).flatten(1, 2)  # B x (heads * Lk) x 1
        key = (key @ self._of_heads(self.q_proj.weight)).flatten(1, 2)
        logits = products(key, q).add_(offset).unflatten(1, (self.heads, -1))
        # keys before queries: a softmax over the last, short dimension takes ten times as long
        weights = logits.softmax(2).flatten(1, 2).transpose(1, 2)
        value = self._in_heads(self.v_proj, v) @ self._of_heads(self.out_proj.weight.T)
        return products(weights, value.flatten(1, 2).transpose(1, 2)).add_(self.out_proj.bias)

    def _in_heads(self, layer: Linear, x: Tensor) -> Tensor:
        """Project B x L x C to B x heads x L x channels of a head."""
        return layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _of_heads(self, weight: Tensor) -> Tensor:
        """Cut inner x C into heads x channels of a head x C."""
        return weight.unflatten(0, (self.heads, -1))
