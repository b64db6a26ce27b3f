"""Memory attention in fewer operations: projections joined, a row's tokens in one piece, turns as two products.

A turn of the pairs (a, b) of channels by angles t is (a, b) cos t + (-b, a) sin t. All a come before all b here, and
the projections' weights give the other order (b, a) as well: what is turned is never taken apart or put together.

Values are linear in the memory's Cm channels and attention weights sum to one, so values may be projected before they
are summed, to the C channels that queries and keys have (which flash kernels ask for), or after, which is less work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.backends.fused.layers import AddedMLP
from sam2v.backends.fused.measured import Fastest
from sam2v.backends.joined import in_one
from sam2v.model.memory_attention import MemoryAttention, MemoryAttentionLayer, MemoryTokens, of_all_tokens, token_bias
from sam2v.nn.attention import attend
from sam2v.nn.rotary import Rotation


class Turns(NamedTuple):
    """Factors of a turn, cells x C float32 each.

    Attributes:
        straight: of (a, b). crossed: of (b, a).
    """

    straight: Tensor
    crossed: Tensor

    def apply(self, x: Tensor, swapped: Tensor, out: Tensor | None = None) -> Tensor:
        """Turn ... x cells x C = (a, b), of which `swapped` = (b, a), in float32; the answer is of x's dtype.

        Args:
            out: where it goes, x itself too.
        """
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device) if out is None else out
        return torch.addcmul(x * self.straight, swapped, self.crossed, out=out)


class Turned(NamedTuple):
    """Slots of a row's tokens that have a place in the image: the first token, T slots, and the turns of a slot's L
    tokens."""

    start: int
    slots: int
    turns: Turns


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


def in_orders(layer: nn.Linear, *orders: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of a projection to C channels whose pairs are taken apart: for every number in `orders` all first
    channels of pairs (0) or all second ones (1)."""
    assert layer.bias is not None
    parts = [(layer.weight[first::2], layer.bias[first::2]) for first in orders]
    weight, bias = (torch.cat(of) for of in zip(*parts, strict=True))
    return weight, bias


class FusedMemoryAttentionLayer(MemoryAttentionLayer):
    """One layer. Projections of values and output are one: attention weights sum to one."""

    def prepare(self) -> None:
        """Join weights."""
        frame, memory = self.self_attn, self.cross_attn_image
        parts = [
            in_orders(frame.q_proj, 0, 1, 0),
            in_orders(frame.k_proj, 0, 1, 0),
            in_one(frame.v_proj, frame.out_proj),
        ]
        weight, bias = (torch.cat(of) for of in zip(*parts, strict=True))
        self._frame = weight, bias
        self._query = in_orders(memory.q_proj, 0, 1, 0)
        self._key = in_orders(memory.k_proj, 0, 1, 1, 0)  # both orders whole: keys are turned where they are
        self._value = in_one(memory.v_proj, memory.out_proj)
        self._mlp_added = AddedMLP.of(self.linear1, self.linear2)

    def update(self, x: Tensor, turns: Turns, read: Read, look: Fastest) -> Tensor:
        """Update the frame's cells B (or 1) x cells x C. `look` knows the ways of attention, `wide` and `narrow`."""
        x = x + self._look_at_frame(self.norm1(x), turns)
        x = x + self._look_at_memory(self.norm2(x), turns, read, look)
        return self._mlp_added.add_relu_(x, self.norm3(x))

    def _look_at_frame(self, x: Tensor, turns: Turns) -> Tensor:
        channels = x.shape[-1]
        placed, v = F.linear(x, *self._frame).split([3 * channels, channels], -1)
        both = placed.unflatten(-1, (2, -1)).transpose(1, 2)  # B x (queries, keys) x cells x 3C/2
        q, k = turns.apply(*_in_both_orders(both)).unbind(1)
        return attend(q[:, None], k[:, None], v[:, None]).flatten(2)

    def _look_at_memory(self, x: Tensor, turns: Turns, read: Read, look: Fastest) -> Tensor:
        q = turns.apply(*_in_both_orders(F.linear(x, *self._query)))
        k, swapped = F.linear(read.keys, *self._key).chunk(2, -1)
        for start, slots, of_slot in read.turned:
            of_group = slice(start, start + slots * len(of_slot.straight))
            placed, other = (x[:, of_group].unflatten(1, (slots, -1)) for x in (k, swapped))
            of_slot.apply(placed, other, out=placed)
        if read.scale is not None:
            k.mul_(read.scale)
        kind = len(k), k.shape[1].bit_length(), read.bias is None, x.dtype
        return look.run(kind, x.device, self, q, k, read)

    def wide(self, q: Tensor, k: Tensor, read: Read) -> Tensor:
        """Attention of q, B (or 1) x cells x C, to keys B x all x C; values are projected first."""
        v = F.linear(read.values, *self._value)
        return attend(q[:, None], k[:, None], v[:, None], read.bias).flatten(2)

    def narrow(self, q: Tensor, k: Tensor, read: Read) -> Tensor:
        """The same, of values in the memory's channels."""
        summed = attend(q[:, None], k[:, None], read.values[:, None], read.bias).flatten(2)
        return F.linear(summed, *self._value)


def _in_both_orders(x: Tensor) -> tuple[Tensor, Tensor]:
    """(a, b) and (b, a) of ... x 3C/2 = (a, b, a)."""
    half = x.shape[-1] // 3
    return x[..., : 2 * half], x[..., half:]


class FusedMemoryAttention(MemoryAttention):
    """The stack of layers."""

    constants = ("turns",)

    def prepare(self) -> None:
        """Nothing was measured yet."""
        layer = FusedMemoryAttentionLayer
        self.look = Fastest({"wide": layer.wide, "narrow": layer.narrow})

    def turns(self, rotation: Rotation) -> Turns:
        """Factors of a rotation's turns."""
        cos, sin = rotation.cos, rotation.sin
        return Turns(torch.cat([cos, cos], 1), torch.cat([-sin, sin], 1))

    def forward(self, x: Tensor, rotation: Rotation, memory: Sequence[MemoryTokens]) -> Tensor:
        """See `MemoryAttention.forward`."""
        starts, turned = 0, []
        for group in memory:
            slots, length = group.keys.shape[1:3]
            if group.rotation is not None:
                turned.append(Turned(starts, slots, self.turns(group.rotation)))
            starts += slots * length
        keys, values = (
            torch.cat([x.flatten(1, 2) for x in of], 1) for of in zip(*[g[:2] for g in memory], strict=True)
        )
        scale = of_all_tokens(memory, [group.scale for group in memory], 1.0, torch.float32)
        read = Read(keys, values, turned, token_bias(memory), None if scale is None else scale[..., None])
        x, turns = x.contiguous(), self.turns(rotation)
        for layer in list[Any](self.layers):
            x = layer.update(x, turns, read, self.look)
        return self.norm(x)
