"""Attention on the CPU, and which kernel computes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sam2v.backends.cpu.products import products
from sam2v.backends.cpu.running import RunningAttention
from sam2v.model.hiera import HieraAttention
from sam2v.nn.attention import Attention, attend

#: Fewer products of queries and keys than this stay with torch's kernel.
_LARGE = 1 << 20
#: More products of queries and keys than this are not kept at once.
_KEPT = 1 << 23
#: Up to so many queries plain products are faster than torch's kernel in float32 too (windows of the trunk).
_SHORT = 64


def attend_on_cpu(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """`sam2v.nn.attention.attend` by the fastest of three kernels; without gradients."""
    batch = max(len(q), len(k))
    q, k, v = (x.expand(batch, -1, -1, -1) for x in (q, k, v))
    if prefers_blocks(q, k.shape[2]) and (bias is None or bias.shape[2] == 1):
        out = _attend_in_blocks(q, k, v, bias)
        if out is not None:
            return out
    return attend_by_products(q, k, v, bias, dropout)


def attend_by_products(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """`sam2v.nn.attention.attend`, by plain products in lower precision, in use and in training: they take a third of
    the time of torch's kernel (three fifths in float32, in short windows), as long as keeping all attention weights is
    no burden."""
    long = q.shape[2] > _SHORT if q.dtype == torch.float32 else q.shape[2] * k.shape[2] > _KEPT
    if dropout or long:
        return attend(q, k, v, bias, dropout)
    logits = (q * q.shape[3] ** -0.5) @ k.transpose(2, 3)
    weights = (logits if bias is None else logits + bias.to(logits.dtype)).softmax(3)
    return (weights @ v).transpose(1, 2)


def prefers_blocks(q: Tensor, keys: int) -> bool:
    """Whether blocks of products attend.

    Torch's fused kernel needs values as wide as the keys, gains little from bfloat16, and its products are MKL's, which
    use half of what some processors have (AMD's Zen 5); blocks take values of any width and are as fast as oneDNN is.
    Small problems, and float16, whose exponents are too short for them, are left to torch.

    Args:
        q: ... x Lq x C queries. keys: Lk.
    """
    return q.shape[-2] * keys >= _LARGE and q.dtype in (torch.float32, torch.bfloat16)


def _attend_in_blocks(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor | None:
    """B x heads x L x channels in, B x Lq x heads x Cv out; None as for `RunningAttention.mean`."""
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


class CpuHieraAttention(HieraAttention):
    """Self-attention over a map by the CPU's kernels."""

    attend = staticmethod(attend_on_cpu)


class CpuAttention(Attention):
    """Attention in which a short side takes on the projections of a long one.

    Where one side is so short that its tokens of all heads are fewer than the inner channels, the projections of the
    other side are applied to the short one: the same result for half of the work.
    """

    attend = staticmethod(attend_on_cpu)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries B x Lq x C, keys and values B x Lk x memory_channels; returns B x Lq x C."""
        if len(k) == 1 < len(q):  # queries of rows that look at the same are as good as those of one
            return self.forward(q.flatten(0, 1)[None], k, v)[0].unflatten(0, (len(q), -1))
        inner, (short, long) = self.q_proj.out_features, sorted((q.shape[1], k.shape[1]))
        if not self.heads * short < inner < long:
            return super().forward(q, k, v)
        return self._few_queries(q, k, v) if q.shape[1] == short else self._few_keys(q, k, v)

    def _few_queries(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(Q q) . (K k) = (K' Q q) . k; the keys' bias moves all logits of a query alike, which changes nothing. And
        weights sum to one, so the mean of the values is projected."""
        met = self.split_heads(self.q_proj(q)) * (self.q_proj.out_features // self.heads) ** -0.5
        met = (met @ self._of_heads(self.k_proj.weight)).flatten(1, 2)  # B x (heads * Lq) x memory channels
        mean = products(products(met, k).softmax(2), v.transpose(1, 2))
        mean = mean.unflatten(1, (self.heads, -1)) @ self._of_heads(self.v_proj.weight).transpose(1, 2)
        return self.out_proj(mean.transpose(1, 2).flatten(2) + self.v_proj.bias)

    def _few_keys(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same the other way round: keys meet the queries' projection, values that of the output."""
        key = self.split_heads(self.k_proj(k)) * (self.q_proj.out_features // self.heads) ** -0.5
        logits = self._logits_of_one(q, key) if len(q) == 1 < len(k) else self._logits(q, key)
        # keys before queries: a softmax over the last, short dimension takes ten times as long
        weights = logits.softmax(2).flatten(1, 2).transpose(1, 2)
        value = self.split_heads(self.v_proj(v)) @ self._of_heads(self.out_proj.weight.T)
        return products(weights, value.flatten(1, 2).transpose(1, 2)).add_(self.out_proj.bias)

    def _logits(self, q: Tensor, key: Tensor) -> Tensor:
        """Queries B x Lq x C and projected keys B x heads x Lk x channels of a head to B x heads x Lk x Lq."""
        offset = (key @ self.q_proj.bias.view(self.heads, -1, 1)).flatten(1, 2)  # B x (heads * Lk) x 1
        key = (key @ self._of_heads(self.q_proj.weight)).flatten(1, 2)
        return products(key, q).add_(offset).unflatten(1, (self.heads, -1))

    def _logits_of_one(self, q: Tensor, key: Tensor) -> Tensor:
        """The same where the queries of all B rows are the same, 1 x Lq x C: they are projected once."""
        query = self.split_heads(self.q_proj(q))[0]  # heads x Lq x channels of a head
        logits = key.transpose(0, 1).flatten(1, 2) @ query.transpose(1, 2)  # heads x (B * Lk) x Lq
        return logits.unflatten(1, (len(key), -1)).transpose(0, 1)

    def _of_heads(self, weight: Tensor) -> Tensor:
        """Cut inner x C into heads x channels of a head x C."""
        return weight.unflatten(0, (self.heads, -1))


class _TrainedAttention(Attention):
    attend = staticmethod(attend_by_products)


class _TrainedHieraAttention(HieraAttention):
    attend = staticmethod(attend_by_products)


#: Stand-ins for training on the CPU.
TRAINING_KINDS: dict[type[nn.Module], type[nn.Module]] = {
    Attention: _TrainedAttention,
    HieraAttention: _TrainedHieraAttention,
}
