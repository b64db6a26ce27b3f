"""Trunk and neck in fewer operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.backends.fused.layers import AddedMLP
from sam2v.model.hiera import Hiera, HieraBlock, halve, to_windows
from sam2v.model.image_encoder import Neck


class FusedHiera(Hiera):
    """The trunk; positions are kept in its precision."""

    def position_embedding(self, h: int, w: int) -> Tensor:
        """See `Hiera.position_embedding`."""
        return super().position_embedding(h, w).to(self.patch_embed.proj.weight.dtype)


class FusedHieraBlock(HieraBlock):
    """A block that adds windows to the map where they are, instead of putting the map together first, and its MLP as a
    part of the last product."""

    def prepare(self) -> None:
        """Join the MLP's layers."""
        first, second = cast("list[nn.Linear]", list(self.mlp.layers))
        self._mlp = AddedMLP.of(first, second)

    def attention(self, x: Tensor) -> Tensor:
        """The first half: B x H x W x Cin to B x H' x W' x C."""
        h, w = x.shape[1:3]
        if not self.window or h % self.window or w % self.window:
            return super().attention(x)
        normed = self.norm1(x)
        shortcut = x if self.proj is None else self.proj(normed)
        if self.pool:
            shortcut = halve(shortcut)
        windows = self.attn(to_windows(normed, self.window))
        side, channels = windows.shape[1], windows.shape[3]
        cut = shortcut.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # B x rows x side x columns x side x C
        windows = windows.reshape(-1, cut.shape[1], cut.shape[3], side, side, channels).transpose(2, 3)
        return (cut + windows).flatten(3, 4).flatten(1, 2)

    def transform(self, x: Tensor) -> Tensor:
        """The second half, B x H' x W' x C; x, which `attention` has made, changes in place."""
        x = x.contiguous()
        return self._mlp.add_gelu_(x, self.norm2(x))


class FusedNeck(Neck):
    """The levels as products over channels that come last; the top-down sum reads each coarse cell four times, where it
    is."""

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """See `Neck.forward`."""
        coarsest, coarse = (_product(self.convs[n], x) for n, x in ((0, maps[3]), (1, maps[2])))
        stride4, stride8 = self.convs[3](maps[0]), self.convs[2](maps[1])
        cells = coarse.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)) + coarsest[:, :, None, :, None]
        return stride4, stride8, cells.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def _product(lateral: Any, x: Tensor) -> Tensor:
    """A level's convolution of B x Cin x H x W, as B x H x W x C."""
    return F.linear(x.permute(0, 2, 3, 1), lateral.conv.weight.flatten(1), lateral.conv.bias)
