"""Memory attention: condition a frame's features on memories and object pointers (SAM 2 paper, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.config import MemoryConfig
from sam2v.nn.attention import Attention
from sam2v.nn.rotary import Rotation, rotate


class MemoryTokens(NamedTuple):
    """One group of what every layer reads: T slots of L tokens for each of B rows.

    Attributes:
        keys, values: B x T x L x Cm; the keys have position codes added.
        rotation: of a slot's L tokens, or None where they have no place in the image.
        bias: B x T, added to the attention logits, -inf hides a slot; or None.
        scale: B x T, factor on the projected keys, or None.
    """

    keys: Tensor
    values: Tensor
    rotation: Rotation | None = None
    bias: Tensor | None = None
    scale: Tensor | None = None


class MemoryAttentionLayer(nn.Module):
    """Self-attention over the frame, cross-attention to the memory, MLP; all pre-normalised and residual.

    Args:
        channels: C of the frame's features.
        config: memory channels, MLP width, dropout.
    """

    def __init__(self, channels: int, config: MemoryConfig) -> None:
        super().__init__()
        self.self_attn = Attention(channels)
        self.cross_attn_image = Attention(channels, memory_channels=config.mem_dim)
        self.linear1, self.linear2 = nn.Linear(channels, config.mlp_dim), nn.Linear(config.mlp_dim, channels)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, rotation: Rotation, memory: Sequence[MemoryTokens], bias: Tensor | None = None
    ) -> Tensor:
        """Update the frame's cells.

        Args:
            x: B (or 1) x cells x C. rotation: of the cells.
            memory: what B rows read. bias: of all their tokens, see `token_bias`.
        """
        x = x + self.dropout(self._self_attention(self.norm1(x), rotation))
        x = x + self.dropout(self._cross_attention(self.norm2(x), rotation, memory, bias))
        return x + self.dropout(self._mlp(self.norm3(x)))

    def _self_attention(self, x: Tensor, rotation: Rotation) -> Tensor:
        part = self.self_attn
        q, k = rotate(part.q_proj(x), rotation), rotate(part.k_proj(x), rotation)
        return self._attend(part, q, k, part.v_proj(x))

    def _cross_attention(
        self, x: Tensor, rotation: Rotation, memory: Sequence[MemoryTokens], bias: Tensor | None
    ) -> Tensor:
        part = self.cross_attn_image
        q = rotate(part.q_proj(x), rotation)
        k = torch.cat([_placed(part.k_proj(group.keys), group).flatten(1, 2) for group in memory], dim=1)
        v = torch.cat([part.v_proj(group.values).flatten(1, 2) for group in memory], dim=1)
        return self._attend(part, q, k, v, bias)

    def _attend(self, part: Attention, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attention with one head of the memory's rate of dropout."""
        q, k, v = (t[:, None] for t in (q, k, v))
        return part.out_proj(part.attend(q, k, v, bias, self.dropout.p if self.training else 0.0).flatten(2))

    def _mlp(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(F.relu(self.linear1(x))))


def _placed(keys: Tensor, group: MemoryTokens) -> Tensor:
    """Projected keys B x T x L x C, turned where they have a place (every slot by the same table) and scaled."""
    keys = keys if group.rotation is None else rotate(keys, group.rotation)
    return keys if group.scale is None else keys * group.scale[..., None, None].to(keys.dtype)


class MemoryAttention(nn.Module):
    """A stack of memory-attention layers.

    Args:
        channels: C of the frame's features.
        config: number of layers and their sizes.
    """

    def __init__(self, channels: int, config: MemoryConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryAttentionLayer(channels, config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, rotation: Rotation, memory: Sequence[MemoryTokens]) -> Tensor:
        """Condition a frame on its memory.

        Args:
            x: B (or 1) x cells x C features with a tenth of their position code added. With B = 1 and several rows of
                memory the first self-attention, which is the same for every row, is computed once.
            rotation: of the frame's cells.
            memory: what is read, in this order.

        Returns:
            B x cells x C.
        """
        bias = token_bias(memory)
        for layer in self.layers:
            x = layer(x, rotation, memory, bias)
        return self.norm(x)


def token_bias(memory: Sequence[MemoryTokens]) -> Tensor | None:
    """Attention bias B x 1 x 1 x (all tokens), None where no group has one."""
    bias = of_all_tokens(memory, [group.bias for group in memory], 0.0, memory[0].keys.dtype)
    return None if bias is None else bias[:, None, None]


def of_all_tokens(
    memory: Sequence[MemoryTokens], of_slots: Sequence[Tensor | None], otherwise: float, dtype: torch.dtype
) -> Tensor | None:
    """What groups say of their slots (each B x T, or None: `otherwise`) for every token, B x (all tokens); None where
    no group says anything."""
    if all(of_slot is None for of_slot in of_slots):
        return None
    parts = []
    for group, given in zip(memory, of_slots, strict=True):
        batch, slots, length = group.keys.shape[:3]
        of_slot = group.keys.new_full((batch, slots), otherwise, dtype=dtype) if given is None else given.to(dtype)
        parts.append(of_slot[..., None].expand(-1, -1, length).flatten(1))
    return torch.cat(parts, dim=1)
