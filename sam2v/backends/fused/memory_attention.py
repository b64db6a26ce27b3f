"""Memory attention in fewer operations: projections joined, a row's tokens in one piece, turns as complex products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.backends.fused.layers import linear_relu
from sam2v.backends.joined import in_one
from sam2v.model.memory_attention import MemoryAttention, MemoryAttentionLayer, MemoryTokens, of_all_tokens, token_bias
from sam2v.nn.attention import attend
from sam2v.nn.rotary import Rotation


class Turned(NamedTuple):
    """Slots of a row's tokens that have a place in the image: the first token, T slots, and a turn for each of a slot's
    L tokens (L x C/2 complex)."""

    start: int
    slots: int
    turns: Tensor


class Read(NamedTuple):
    """What every layer reads: all tokens of B rows, one group after the other.

    Attributes:
        keys, values: B x all x Cm. turned: the groups that are turned. bias: B x 1 x 1 x all, added to the logits, or
            None. scale: B x all x 1, factor on the projected keys, or None.
    """

    keys: Tensor
    values: Tensor
    turned: list[Turned]
    bias: Tensor | None
    scale: Tensor | None


def turn(x: Tensor, turns: Tensor) -> Tensor:
    """Turn every pair of neighbouring channels of x, ... x C, in float32, keeping x's dtype.

    Args:
        turns: complex numbers of length 1, ... x C/2; shapes broadcast.
    """
    return torch.view_as_real(_pairs(x.float()) * turns).flatten(-2).to(x.dtype)


def _pairs(x: Tensor) -> Tensor:
    """... x C floats as ... x C/2 complex numbers, in the same place."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))


class FusedMemoryAttentionLayer(MemoryAttentionLayer):
    """One layer. Projections of values and output are one: attention weights sum to one."""

    def prepare(self) -> None:
        """Join weights."""
        frame, memory = self.self_attn, self.cross_attn_image
        value, offset = in_one(frame.v_proj, frame.out_proj)
        self._frame = (
            torch.cat([frame.q_proj.weight, frame.k_proj.weight, value]),
            torch.cat([frame.q_proj.bias, frame.k_proj.bias, offset]),
        )
        self._value = in_one(memory.v_proj, memory.out_proj)

    def update(self, x: Tensor, turns: Tensor, read: Read) -> Tensor:
        """Update the frame's cells B (or 1) x cells x C, which have `turns`, cells x C/2."""
        x = x + self._look_at_frame(self.norm1(x), turns)
        x = x + self._look_at_memory(self.norm2(x), turns, read)
        return x + self.linear2(linear_relu(self.norm3(x), self.linear1))

    def _look_at_frame(self, x: Tensor, turns: Tensor) -> Tensor:
        channels = x.shape[-1]
        placed, v = F.linear(x, *self._frame).split([2 * channels, channels], -1)
        q, k = turn(placed.unflatten(-1, (2, channels)), turns[:, None]).unbind(2)
        return attend(q[:, None], k[:, None], v[:, None]).flatten(2)

    def _look_at_memory(self, x: Tensor, turns: Tensor, read: Read) -> Tensor:
        part = self.cross_attn_image
        q = turn(part.q_proj(x), turns)
        k = part.k_proj(read.keys).float()
        for start, slots, of_slot in read.turned:
            placed = _pairs(k)[:, start : start + slots * len(of_slot)]
            placed.unflatten(1, (slots, -1)).mul_(of_slot)
        k = k if read.scale is None else k * read.scale
        v = F.linear(read.values, *self._value)
        return attend(q[:, None], k.to(q.dtype)[:, None], v[:, None], read.bias).flatten(2)


class FusedMemoryAttention(MemoryAttention):
    """The stack of layers."""

    constants = ("turns",)

    def turns(self, rotation: Rotation) -> Tensor:
        """Angles as complex numbers of length 1, cells x C/2."""
        return torch.complex(rotation.cos, rotation.sin)

    def forward(self, x: Tensor, rotation: Rotation, memory: Sequence[MemoryTokens]) -> Tensor:
        """See `MemoryAttention.forward`."""
        read, turns = self._read(memory), self.turns(rotation)
        for layer in cast("list[FusedMemoryAttentionLayer]", list(self.layers)):
            x = layer.update(x, turns, read)
        return self.norm(x)

    def _read(self, memory: Sequence[MemoryTokens]) -> Read:
        start, turned = 0, []
        for group in memory:
            slots, length = group.keys.shape[1:3]
            if group.rotation is not None:
                turned.append(Turned(start, slots, self.turns(group.rotation)))
            start += slots * length
        keys, values = (
            torch.cat([x.flatten(1, 2) for x in of], 1) for of in zip(*[g[:2] for g in memory], strict=True)
        )
        scale = of_all_tokens(memory, [group.scale for group in memory], 1.0, torch.float32)
        return Read(keys, values, turned, token_bias(memory), None if scale is None else scale[..., None])
