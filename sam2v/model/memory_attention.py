"""Memory attention: condition a frame's features on memories and object pointers (SAM 2 paper, section 4)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sam2v.config import MemoryConfig
from sam2v.nn.attention import Attention, RunningAttention, attend, prefers_blocks
from sam2v.nn.pieces import in_pieces, on_cpu_for_use
from sam2v.nn.products import Linear, in_one, linear
from sam2v.nn.rotary import Rotation, by_axes, project_by_axes, rotate

#: Keys that a row of cells of all memories must have before maps are read by rows, and rows that are prepared together.
_LONG_ROW, _ROWS = 384, 8


class MemoryTokens(NamedTuple):
    """What every layer reads: keys and values B x L x Cm, the maps' rotary table, how many tokens (the last) are
    pointers, and the bias B x 1 x 1 x L that hides some."""

    keys: Tensor
    values: Tensor
    rotation: Rotation
    pointers: int
    bias: Tensor | None


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
        self.linear1, self.linear2 = Linear(channels, config.mlp_dim), Linear(config.mlp_dim, channels)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.dropout = nn.Dropout(config.dropout)

    def _look_around(self, x: Tensor, rotation: Rotation) -> Tensor:
        part, normed = self.self_attn, self.norm1(x)
        q, k = (rotate(project_by_axes(layer, normed), rotation) for layer in (part.q_proj, part.k_proj))
        if self._rate == 0 and on_cpu_for_use(x):
            # attention weights sum to one, so the output's projection may come before them, joined with the values' own
            return attend(q, k, linear(normed, *in_one(part.v_proj, part.out_proj)))
        return part.out_proj(attend(q, k, part.v_proj(normed), dropout=self._rate))

    def _look_back(self, x: Tensor, rotation: Rotation, memory: MemoryTokens) -> Tensor:
        part, keys, values = self.cross_attn_image, memory.keys, memory.values
        q = rotate(project_by_axes(part.q_proj, self.norm2(x)), rotation)
        if self._rate == 0 and prefers_blocks(q, keys.shape[1]):
            # attention weights sum to one, so the values' mean can be projected instead of every value
            mean = self._mean_in_parts(q, memory)
            if mean is not None:
                return linear(mean.to(q.dtype), *in_one(part.v_proj, part.out_proj))
        maps = keys.shape[1] - memory.pointers
        k = project_by_axes(part.k_proj, keys)
        # every memory is turned by the same table; pointers have no place in the image and stay unturned
        turned = rotate(k[:, :maps].unflatten(1, (-1, len(memory.rotation.cos))), memory.rotation).flatten(1, 2)
        k = torch.cat([turned, k[:, maps:]], dim=1)
        return part.out_proj(attend(q, k, part.v_proj(values), bias=memory.bias, dropout=self._rate))

    def _mean_in_parts(self, q: Tensor, memory: MemoryTokens) -> Tensor | None:
        """Mean of the unprojected values, B x cells x Cm float32; keys are projected and turned a part at a time. None
        as for :meth:`RunningAttention.mean`."""
        keys, values, rotation, pointers, bias = memory
        layer, cells, maps = self.cross_attn_image.k_proj, len(rotation.cos), keys.shape[1] - pointers
        by_rows = maps // cells * rotation.columns >= _LONG_ROW and 2 * keys.shape[2] < q.shape[2]
        add_maps = self._add_rows if by_rows else self._add_maps
        means = []
        for n in range(len(keys)):
            running = RunningAttention(q[n if len(q) > 1 else 0], values.shape[2])
            hidden = (None, None) if bias is None else bias[n, 0].split([maps, pointers], 1)
            add_maps(running, keys[n, :maps], values[n, :maps], rotation, hidden[0])
            running.add(project_by_axes(layer, keys[n, maps:]), values[n, maps:], hidden[1])
            mean = running.mean()
            if mean is None:
                return None
            means.append(mean)
        return torch.stack(means)

    def _add_maps(
        self, running: RunningAttention, keys: Tensor, values: Tensor, rotation: Rotation, bias: Tensor | None
    ) -> None:
        """Add maps one by one."""
        cells = len(rotation.cos)
        for start in range(0, len(keys), cells):
            part = slice(start, start + cells)
            k = rotate(project_by_axes(self.cross_attn_image.k_proj, keys[part]), rotation)
            running.add(k, values[part], None if bias is None else bias[:, part])

    def _add_rows(
        self, running: RunningAttention, keys: Tensor, values: Tensor, rotation: Rotation, bias: Tensor | None
    ) -> None:
        """Add maps together, a row of cells at a time.

        The channels that turn with y turn alike in a row, and q . turn(W m + b) = (W' turn' q) . m + q . turn(b): they
        shrink to the memories' few, since queries take on the row's turn and the projection once for all its keys.
        """
        columns, rows = rotation.columns, len(rotation.cos) // rotation.columns
        layer, half = self.cross_attn_image.k_proj, self.cross_attn_image.k_proj.out_features // 2
        weight, offset = by_axes(layer.weight), by_axes(layer.bias)
        of_y = torch.cat([weight[half:].T, offset[None, half:]])  # (Cm + 1) x C/2
        turns = rotation.of_rows()
        shared = rotate(of_y, Rotation(turns.cos[:, None], turns.sin[:, None], 1))  # rows x (Cm + 1) x C/2
        keys, values = (t.unflatten(0, (-1, rows, columns)).transpose(0, 1) for t in (keys, values))
        hidden = None if bias is None else bias.view(-1, rows, columns).transpose(0, 1).flatten(1)
        for start in range(0, rows, _ROWS):
            part = slice(start, start + _ROWS)
            of_x = rotate(linear(keys[part], weight[:half], offset[:half]), rotation.along_row())
            running.add_sharing(
                torch.cat([of_x, keys[part]], -1).flatten(1, 2),  # rows x (K * columns) x (C/2 + Cm)
                values[part].flatten(1, 2),
                shared[part],
                None if hidden is None else hidden[part],
            )

    def _think(self, x: Tensor) -> Tensor:
        return self.dropout(self.linear2(self.dropout(self.linear1(self.norm3(x), "relu"))))

    @property
    def _rate(self) -> float:
        return self.dropout.p if self.training else 0.0

    def forward(self, x: Tensor, rotation: Rotation, memory: MemoryTokens) -> Tensor:
        """Update x, B (or 1) x cells x C, a grid with the table ``rotation``."""
        x = x + self.dropout(self._look_around(x, rotation))
        x = x + self.dropout(self._look_back(x, rotation, memory))
        return x + in_pieces(self._think, x, self.linear1.out_features // x.shape[2])


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
        key_rotation: Rotation,
        pointers: int,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Condition a frame on its memory.

        Args:
            x: B (or 1) x cells x C features with a tenth of their position code added. With B = 1 and several memories
                the first self-attention, which is the same for every object, is computed once.
            memory: B x L x Cm tokens: whole maps, then ``pointers`` pointer tokens.
            memory_pos: B x L x Cm position codes of the tokens, added to the keys only.
            rotation: rotary table of the frame's grid.
            key_rotation: rotary table of a memory's grid, a row per token of a map.
            pointers: number of pointer tokens at the end of ``memory``.
            bias: B x 1 x 1 x L, -inf hides a token; None when all are visible.

        Returns:
            B x cells x C.
        """
        tokens = MemoryTokens(memory + memory_pos, memory, key_rotation, pointers, bias)
        for layer in self.layers:
            x = layer(x, rotation, tokens)
        return self.norm(x)
