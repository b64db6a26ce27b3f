"""Memory attention: condition a frame's features on memories and object pointers (SAM 2 paper, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sam2v.config import MemoryConfig
from sam2v.nn.attention import Attention, attend
from sam2v.nn.rotary import Rotation, rotate


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

    def _attend(self, part: Attention, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        rate = self.dropout.p if self.training else 0.0
        return self.dropout(part.out_proj(attend(q, k, v, bias=bias, dropout=rate)))

    def _look_back(
        self, x: Tensor, keys: Tensor, values: Tensor, rotation: Rotation, pointers: int, bias: Tensor | None
    ) -> Tensor:
        part = self.cross_attn_image
        cells = x.shape[1]
        k = part.k_proj(keys)
        spatial, plain = k[:, : k.shape[1] - pointers], k[:, k.shape[1] - pointers :]
        # every memory is turned by the same table; pointers have no place in the image and stay unturned
        spatial = rotate(spatial.unflatten(1, (-1, cells)), rotation).flatten(1, 2)
        q = rotate(part.q_proj(self.norm2(x)), rotation)
        return self._attend(part, q, torch.cat([spatial, plain], dim=1), part.v_proj(values), bias)

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, rotation: Rotation, pointers: int, bias: Tensor | None
    ) -> Tensor:
        """Update x, B (or 1) x cells x C; the other arguments as in :class:`MemoryAttention`."""
        part, normed = self.self_attn, self.norm1(x)
        q, k = rotate(part.q_proj(normed), rotation), rotate(part.k_proj(normed), rotation)
        x = x + self._attend(part, q, k, part.v_proj(normed), None)
        x = x + self._look_back(x, keys, values, rotation, pointers, bias)
        hidden = self.dropout(self.linear1(self.norm3(x)).relu())
        return x + self.dropout(self.linear2(hidden))


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

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        memory_pos: Tensor,
        rotation: Rotation,
        pointers: int,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Condition a frame on its memory.

        Args:
            x: B (or 1) x cells x C features with a tenth of their position code added. With B = 1 and several memories
                the first self-attention, which is the same for every object, is computed once.
            memory: B x L x Cm tokens: whole maps of ``cells`` tokens each, then ``pointers`` pointer tokens.
            memory_pos: B x L x Cm position codes of the tokens, added to the keys only.
            rotation: rotary table of the frame's grid.
            pointers: number of pointer tokens at the end of ``memory``.
            bias: B x 1 x 1 x L, -inf hides a token; None when all are visible.

        Returns:
            B x cells x C.
        """
        keys = memory + memory_pos
        for layer in self.layers:
            x = layer(x, keys, memory, rotation, pointers, bias)
        return self.norm(x)
