"""Attention as plain products, queries in blocks: what an exported graph holds at a time stays small."""

from __future__ import annotations

import torch
from torch import Tensor

from sam2v.model.hiera import HieraAttention, halve
from sam2v.nn.attention import Attention

#: Logits of a block of queries, over all heads, which stay in the cache; and the fewest queries that are worth one.
_LOGITS, _LEAST_QUERIES = 1 << 23, 128


def attend_in_blocks(q: Tensor, k: Tensor, v: Tensor, keys: int) -> Tensor:
    """Mean of values by attention weights.

    Sizes other than rows and keys are constants of the graph, and so is the number of blocks.

    Args:
        q: B x ... x Lq x C queries, scaled. k: B x ... x Lk x C keys. v: B x ... x Lk x Cv values. Where one side has a
            single row, graphs broadcast it.
        keys: about how many there are for a query, over all heads.

    Returns:
        B x ... x Lq x Cv.
    """
    count = q.shape[-2]
    step = max(_LEAST_QUERIES, _LOGITS // max(1, keys))
    turned = k.transpose(-2, -1)
    blocks = [q] if step >= count else q.split(_even(count, step), dim=-2)
    means = [torch.matmul(torch.matmul(block, turned).softmax(-1), v) for block in blocks]
    return means[0] if len(means) == 1 else torch.cat(means, dim=-2)


def _even(count: int, most: int) -> list[int]:
    """Sizes of the fewest equal parts (but for one) that are not above `most`."""
    parts = -(-count // most)
    return [count // parts + (i < count % parts) for i in range(parts)]


class GraphAttention(Attention):
    """Attention between tokens and cells: few on one side, so all logits are kept."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries B x Lq x C, keys and values B x Lk x memory_channels; returns B x Lq x C."""
        scale = (self.q_proj.out_features // self.heads) ** -0.5
        q, k, v = (self.split_heads(x) for x in (self.q_proj(q) * scale, self.k_proj(k), self.v_proj(v)))
        weights = torch.matmul(q, k.transpose(2, 3)).softmax(3)
        return self.out_proj(torch.matmul(weights, v).transpose(1, 2).flatten(2))


class GraphHieraAttention(HieraAttention):
    """Self-attention over a map."""

    def forward(self, x: Tensor) -> Tensor:
        """Map B x H x W x Cin to B x H' x W' x C, where H' = H / 2 with pooling."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if self.pool:
            q = halve(q)
        h, w, c = q.shape[1:]
        each = c // self.heads
        q, k, v = (t.reshape(-1, t.shape[1] * t.shape[2], self.heads, each).transpose(1, 2) for t in (q, k, v))
        mean = attend_in_blocks(q * each**-0.5, k, v, k.shape[2] * self.heads)
        return self.proj(mean.transpose(1, 2).reshape(-1, h, w, c))
