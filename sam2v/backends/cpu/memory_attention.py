"""Memory attention on the CPU: projections joined, values averaged before they are projected, memories read by rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sam2v.backends.cpu.attention import attend_on_cpu, prefers_blocks
from sam2v.backends.cpu.axes import Turn, by_axes, turn, turn_of
from sam2v.backends.cpu.pieces import in_pieces
from sam2v.backends.cpu.products import linear
from sam2v.backends.cpu.running import RunningAttention
from sam2v.backends.joined import in_one
from sam2v.model.memory_attention import MemoryAttentionLayer, MemoryTokens
from sam2v.nn.attention import Attention
from sam2v.nn.rotary import Rotation

#: Keys that a row of cells of all memories must have before they are read by rows, and rows prepared together.
_LONG_ROW, _ROWS = 384, 8


class _Projections(NamedTuple):
    """An attention's weights as they are used here: (weight, bias) of queries and keys with channels ordered by
    `by_axes`, and of values and output in one (attention weights sum to one, so both may come before or after them)."""

    q: tuple[Tensor, Tensor]
    k: tuple[Tensor, Tensor]
    value: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, part: Attention) -> _Projections:
        q, k = ((by_axes(layer.weight), by_axes(layer.bias)) for layer in (part.q_proj, part.k_proj))
        return cls(q, k, in_one(part.v_proj, part.out_proj))


class CpuMemoryAttentionLayer(MemoryAttentionLayer):
    """One layer, by blocks of products."""

    def prepare(self) -> None:
        """Bring weights into the form in which they are used."""
        self._frame, self._memory = (_Projections.of(part) for part in (self.self_attn, self.cross_attn_image))

    def forward(
        self, x: Tensor, rotation: Rotation, memory: Sequence[MemoryTokens], bias: Tensor | None = None
    ) -> Tensor:
        """See `MemoryAttentionLayer.forward`."""
        x = x + self._self_attention(self.norm1(x), rotation)
        x = x + self._cross_attention(self.norm2(x), rotation, memory, bias)
        return x + in_pieces(self._normed_mlp, x, self.linear1.out_features // x.shape[2])

    def _normed_mlp(self, x: Tensor) -> Tensor:
        return self._mlp(self.norm3(x))

    def _mlp(self, x: Tensor) -> Tensor:
        return self.linear2(linear(x, self.linear1.weight, self.linear1.bias, "relu"))

    def _self_attention(self, x: Tensor, rotation: Rotation) -> Tensor:
        weights, turned = self._frame, turn_of(rotation)
        q, k = (turn(linear(x, *w), turned)[:, None] for w in (weights.q, weights.k))
        return attend_on_cpu(q, k, linear(x, *weights.value)[:, None]).flatten(2)

    def _cross_attention(
        self, x: Tensor, rotation: Rotation, memory: Sequence[MemoryTokens], bias: Tensor | None
    ) -> Tensor:
        q = turn(linear(x, *self._memory.q), turn_of(rotation))
        if prefers_blocks(q, sum(group.keys[0, ..., 0].numel() for group in memory)):
            mean = self._mean(q, memory)
            if mean is not None:
                return linear(mean.to(q.dtype), *self._memory.value)
        k = torch.cat([self._placed(group.keys, group).flatten(1, 2) for group in memory], dim=1)
        v = linear(torch.cat([group.values.flatten(1, 2) for group in memory], dim=1), *self._memory.value)
        return attend_on_cpu(q[:, None], k[:, None], v[:, None], bias).flatten(2)

    def _mean(self, q: Tensor, memory: Sequence[MemoryTokens]) -> Tensor | None:
        """Mean of the unprojected values, B x cells x Cm float32; None as for `RunningAttention.mean`."""
        means = []
        for n in range(len(memory[0].keys)):
            running = RunningAttention(q[n if len(q) > 1 else 0], memory[0].values.shape[-1])
            for group in memory:
                self._add(running, _visible(group, n))
            mean = running.mean()
            if mean is None:
                return None
            means.append(mean)
        return torch.stack(means)

    def _add(self, running: RunningAttention, group: MemoryTokens) -> None:
        """Add the slots of one row (T x L x Cm)."""
        columns = 0 if group.rotation is None else group.rotation.columns
        narrow = 2 * group.keys.shape[-1] < self.cross_attn_image.k_proj.out_features
        if group.rotation is not None and len(group.keys) * columns >= _LONG_ROW and narrow and group.scale is None:
            self._add_rows(running, group, group.rotation)
        else:
            bias = None if group.bias is None else group.bias.repeat_interleave(group.values.shape[1])[None]
            running.add(self._placed(group.keys, group).flatten(0, 1), group.values.flatten(0, 1), bias)

    def _placed(self, keys: Tensor, group: MemoryTokens) -> Tensor:
        """Projected keys ... x L x C, turned where they have a place and scaled."""
        k = linear(keys, *self._memory.k)
        k = k if group.rotation is None else turn(k, turn_of(group.rotation))
        return k if group.scale is None else k * group.scale[..., None, None].to(k.dtype)

    def _add_rows(self, running: RunningAttention, group: MemoryTokens, rotation: Rotation) -> None:
        """Add memories together, a row of cells at a time.

        The channels that turn with y turn alike in a row, and q . turn(W m + b) = (W' turn' q) . m + q . turn(b): they
        shrink to the memories' few, since queries take on the row's turn and the projection once for all its keys.
        """
        columns, rows = rotation.columns, len(rotation.cos) // rotation.columns
        (weight, offset), half = self._memory.k, self.cross_attn_image.k_proj.out_features // 2
        of_y = torch.cat([weight[half:].T, offset[None, half:]])  # (Cm + 1) x C/2
        turned = turn_of(rotation)
        of_rows = Turn(turned.cos[::columns, None, 1:], turned.sin[::columns, None, 1:])
        of_columns = Turn(turned.cos[:columns, :1], turned.sin[:columns, :1])
        shared = turn(of_y, of_rows)  # rows x (Cm + 1) x C/2
        keys, values = (t.unflatten(1, (rows, columns)).transpose(0, 1) for t in (group.keys, group.values))
        hidden = None if group.bias is None else group.bias[None, :, None].expand(rows, -1, columns).flatten(1)
        for start in range(0, rows, _ROWS):
            part = slice(start, start + _ROWS)
            of_x = turn(linear(keys[part], weight[:half], offset[:half]), of_columns)
            running.add_sharing(
                torch.cat([of_x, keys[part]], -1).flatten(1, 2),  # rows x (T * columns) x (C/2 + Cm)
                values[part].flatten(1, 2),
                shared[part],
                None if hidden is None else hidden[part],
            )


def _visible(group: MemoryTokens, row: int) -> MemoryTokens:
    """The slots of one row, T x L x Cm, that are not hidden; a bias that hides nothing else is dropped."""
    keys, values = group.keys[row], group.values[row]
    bias, scale = (None if x is None else x[row] for x in (group.bias, group.scale))
    if bias is not None:
        seen = bias > float("-inf")
        if not bool(seen.all()):
            keys, values, bias = keys[seen], values[seen], bias[seen]
            scale = None if scale is None else scale[seen]
        bias = bias if bool(bias.any()) else None
    return MemoryTokens(keys, values, group.rotation, bias, scale)
