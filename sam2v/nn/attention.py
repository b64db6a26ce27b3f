"""Multi-head attention over token sequences."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017).

    Args:
        q: B x heads x Lq x C queries. k: B x heads x Lk x C keys. v: B x heads x Lk x Cv values. B = 1 is broadcast.
        bias: B x 1 x 1 x Lk, added to the attention logits (-inf hides a key), or None.
        dropout: rate on the attention weights.

    Returns:
        B x Lq x heads x Cv.
    """
    batch = max(q.shape[0], k.shape[0])  # not len(), by which a traced size becomes a constant
    q, k, v = (x.expand(batch, -1, -1, -1) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout).transpose(1, 2)


class Attention(nn.Module):
    """Attention with learned projections of queries, keys, values and output.

    Args:
        channels: C of queries and output.
        heads: number of heads.
        inner: channels inside, C by default.
        memory_channels: channels of keys and values before projection, C by default.
    """

    #: The kernel; backends set another one on their stand-ins.
    attend = staticmethod(attend)

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
        q, k, v = (self.split_heads(x) for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v)))
        return self.out_proj(self.attend(q, k, v).flatten(2))

    def split_heads(self, x: Tensor) -> Tensor:
        """B x L x inner as B x heads x L x inner / heads."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)
