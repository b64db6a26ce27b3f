"""The two-way transformer in fewer operations: projections of the same tokens joined, those of position codes known.

A projection of tokens with their position codes is one of the tokens and one of the codes, P (t + p) = P t + P p. The
cells' codes are the same for every frame of a size, so their part is computed once; the tokens' codes are the same for
every layer, so their part is one product for all layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.backends.fused.layers import AddedMLP, plus_product
from sam2v.model.mask_decoder import TwoWayLayer, TwoWayTransformer
from sam2v.nn.attention import Attention


class Joined(NamedTuple):
    """Projections of the same tokens, one after the other.

    Attributes:
        weight: D x C. bias: D. placed: D x C, the weight where tokens come with their position codes, 0 elsewhere.
    """

    weight: Tensor
    bias: Tensor
    placed: Tensor

    @classmethod
    def of(cls, placed: Sequence[nn.Linear], plain: Sequence[nn.Linear] = ()) -> Joined:
        """Join layers of which the first ones see position codes."""
        weights = [layer.weight for layer in (*placed, *plain)]
        seen = [layer.weight for layer in placed] + [torch.zeros_like(layer.weight) for layer in plain]
        biases = [cast("Tensor", layer.bias) for layer in (*placed, *plain)]
        return cls(torch.cat(weights), torch.cat(biases), torch.cat(seen))


class FusedTwoWayTransformer(TwoWayTransformer):
    """Two-way layers and the last look."""

    constants = ("of_cells",)

    def prepare(self) -> None:
        """Join weights."""
        tokens, cells = [], []
        self._mlps = [AddedMLP.of(*layer.mlp.layers) for layer in list[Any](self.layers)]
        for layer in cast("list[TwoWayLayer]", list(self.layers)):
            own, to_image, to_tokens = layer.self_attn, layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
            alike = [own.q_proj, own.k_proj]
            tokens.append(Joined.of([], [*alike, own.v_proj]) if layer.first else Joined.of(alike, [own.v_proj]))
            tokens.append(Joined.of([to_image.q_proj]))
            tokens.append(Joined.of([to_tokens.k_proj], [to_tokens.v_proj]))
            cells.append(Joined.of([to_image.k_proj, to_tokens.q_proj], [to_image.v_proj]))
        final = self.final_attn_token_to_image
        tokens.append(Joined.of([final.q_proj]))
        cells.append(Joined.of([final.k_proj], [final.v_proj]))
        self._tokens, self._cells = tokens, cells
        self._codes = torch.cat([part.placed for part in tokens]), torch.cat([part.bias for part in tokens])

    def of_cells(self, image_pos: Tensor) -> list[Tensor]:
        """What the cells' position codes 1 x cells x C add to the projections of every layer, 1 x cells x D each."""
        return [F.linear(image_pos, part.placed, part.bias) for part in self._cells]

    def forward(self, tokens: Tensor, image: Tensor, image_pos: Tensor) -> tuple[Tensor, Tensor]:
        """See `TwoWayTransformer.forward`."""
        projected = self._projections(tokens)
        cells = zip(self._cells, self.of_cells(image_pos), strict=True)
        for layer, mlp in zip(cast("list[TwoWayLayer]", list(self.layers)), self._mlps, strict=True):
            tokens, image = _step(layer, mlp, tokens, image, projected, next(cells))
        final = self.final_attn_token_to_image
        (q,), (k, v) = projected.of(tokens, 1), _of_image(image, next(cells), 2)
        return self.norm_final_attn(tokens + _look(final, q, k, v)), image

    def _projections(self, position: Tensor) -> _Projections:
        offsets = F.linear(position, *self._codes).split([len(part.bias) for part in self._tokens], -1)
        return _Projections(zip(self._tokens, offsets, strict=True))


class _Projections:
    """Projections of a decoding's tokens in the order in which they are asked for."""

    def __init__(self, parts: Iterator[tuple[Joined, Tensor]]) -> None:
        self._parts = parts

    def of(self, tokens: Tensor, count: int) -> tuple[Tensor, ...]:
        """The next `count` projections of B x N x C tokens, B x N x inner each."""
        joined, offset = next(self._parts)
        flat = torch.addmm(offset.flatten(0, 1), tokens.flatten(0, 1), joined.weight.T)
        return flat.unflatten(0, tokens.shape[:2]).chunk(count, -1)


def _step(
    layer: TwoWayLayer,
    mlp: AddedMLP,
    tokens: Tensor,
    image: Tensor,
    projected: _Projections,
    cells: tuple[Joined, Tensor],
) -> tuple[Tensor, Tensor]:
    """See `TwoWayLayer.forward`."""
    own = _look(layer.self_attn, *projected.of(tokens, 3))
    tokens = layer.norm1(own if layer.first else tokens + own)
    (q,), (k, image_q, v) = projected.of(tokens, 1), _of_image(image, cells, 3)
    tokens = layer.norm2(tokens + _look(layer.cross_attn_token_to_image, q, k, v))
    tokens = layer.norm3(mlp.add_relu_(tokens, tokens))
    k, v = projected.of(tokens, 2)
    return tokens, layer.norm4(image + _look(layer.cross_attn_image_to_token, image_q, k, v))


def _of_image(image: Tensor, cells: tuple[Joined, Tensor], count: int) -> tuple[Tensor, ...]:
    """`count` projections of B x cells x C."""
    joined, offset = cells
    return plus_product(offset, image, joined.weight).chunk(count, -1)


def _look(part: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of projected queries, keys and values."""
    q, k, v = (part.split_heads(x) for x in (q, k, v))
    return part.out_proj(part.attend(q, k, v).flatten(2))
