"""Trunk and neck in fewer operations."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sam2v.model.hiera import Hiera, HieraBlock, halve, to_windows
from sam2v.model.image_encoder import Neck


class FusedHiera(Hiera):
    """The trunk; positions are kept in its precision."""

    def position_embedding(self, h: int, w: int) -> Tensor:
        """See `Hiera.position_embedding`."""
        return super().position_embedding(h, w).to(self.patch_embed.proj.weight.dtype)


class FusedHieraBlock(HieraBlock):
    """A block that adds windows to the map where they are, instead of putting the map together first."""

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


class FusedNeck(Neck):
    """The top-down sum reads each coarse cell four times, where it is."""

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """See `Neck.forward`."""
        stride4, stride8, stride16 = self.convs[3](maps[0]), self.convs[2](maps[1]), self.convs[1](maps[2])
        from_above = self.convs[0](maps[3])[:, :, :, None, :, None]
        cells = stride16.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
        return stride4, stride8, (cells + from_above).flatten(4, 5).flatten(2, 3)
