"""Memory attention in an exported graph: rotary turns as products with tables, hidden slots as one more channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.backends.joined import in_one
from sam2v.export.attention import attend_in_blocks
from sam2v.model.memory_attention import MemoryAttentionLayer, MemoryTokens
from sam2v.nn.attention import Attention
from sam2v.nn.rotary import Rotation

#: Logits of hidden tokens: their weight is zero in every precision, and, other than with -inf, nothing that a graph
#: computes on the way can become NaN.
HIDDEN = -30000.0
#: Memories that are read at most in the usual case, by which blocks are cut.
_MEMORIES = 8


class PairedLinear(nn.Module):
    """A projection with the first members of all channel pairs before the second ones; its bias is a channel of the
    weight that meets ones."""

    def __init__(self, layer: nn.Linear, scale: float = 1.0) -> None:
        super().__init__()
        whole = torch.cat([layer.weight, layer.bias[:, None]], 1).T.float() * scale  # (Cin + 1) x C
        halves = (half.to(layer.weight.dtype).contiguous() for half in (whole[:, ::2], whole[:, 1::2]))
        self.first, self.second = (nn.Parameter(half, False) for half in halves)

    def forward(self, x: Tensor, rotation: Rotation | None) -> list[Tensor]:
        """Project ... x cells x (Cin + 1), and turn every pair by its cell's angle: two halves ... x cells x C/2."""
        first, second = torch.matmul(x, self.first), torch.matmul(x, self.second)
        if rotation is None:
            return [first, second]
        cos, sin = (table.to(x.dtype) for table in rotation[:2])
        return [first * cos - second * sin, first * sin + second * cos]


class GraphMemoryAttentionLayer(MemoryAttentionLayer):
    """One layer, by products."""

    self_attn_q: PairedLinear
    self_attn_k: PairedLinear
    self_attn_out: nn.Linear
    cross_attn_image_q: PairedLinear
    cross_attn_image_k: PairedLinear
    cross_attn_image_out: nn.Linear

    def prepare(self) -> None:
        """Bring weights into the form in which they are used."""
        for name in ("self_attn", "cross_attn_image"):
            part: Attention = getattr(self, name)
            setattr(self, name, None)
            setattr(self, f"{name}_q", PairedLinear(part.q_proj, part.q_proj.out_features**-0.5))
            setattr(self, f"{name}_k", PairedLinear(part.k_proj))
            weight, bias = in_one(part.v_proj, part.out_proj)  # weights sum to one: values may be projected after all
            out = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
            out.weight, out.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
            setattr(self, f"{name}_out", out)

    def _self_attention(self, x: Tensor, rotation: Rotation) -> Tensor:
        shown = _with_ones(x)
        q, k = (torch.cat(part(shown, rotation), -1) for part in (self.self_attn_q, self.self_attn_k))
        return attend_in_blocks(q, k, self.self_attn_out(x), x.shape[1])

    def _cross_attention(
        self, x: Tensor, rotation: Rotation, memory: Sequence[MemoryTokens], bias: Tensor | None
    ) -> Tensor:
        q = _with_ones(torch.cat(self.cross_attn_image_q(_with_ones(x), rotation), -1))
        k = torch.cat([self._keys(group) for group in memory], dim=1)
        v = torch.cat([group.values.flatten(1, 2) for group in memory], dim=1)
        return self.cross_attn_image_out(attend_in_blocks(q, k, v, _MEMORIES * x.shape[1]))

    def _keys(self, group: MemoryTokens) -> Tensor:
        """Keys B x (T * L) x (C + 1), of which the last channel is what is added to their logits."""
        assert group.bias is not None and group.scale is not None
        keys = _with_ones(group.keys) * group.scale[..., None, None].to(group.keys.dtype)
        added = group.bias.clamp(min=HIDDEN).to(keys.dtype)[..., None, None] * keys.new_ones(keys.shape[2], 1)
        return torch.cat([*self.cross_attn_image_k(keys, group.rotation), added], -1).flatten(1, 2)


def _with_ones(x: Tensor) -> Tensor:
    """... x C with a channel of ones behind: ... x (C + 1)."""
    return F.pad(x, (0, 1), value=1.0)
