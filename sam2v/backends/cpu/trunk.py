"""The image trunk on the CPU: blocks in pieces that stay in the cache."""

from __future__ import annotations

from torch import Tensor

from sam2v.backends.cpu.pieces import in_pieces
from sam2v.model.hiera import Hiera, HieraBlock


class CpuHieraBlock(HieraBlock):
    """A block in pieces."""

    def forward(self, x: Tensor) -> Tensor:
        """Map B x H x W x Cin to B x H' x W' x C."""
        widest = 4 * self.norm2.normalized_shape[0] // x.shape[3]
        if self.window:  # rows of windows know nothing of each other
            return in_pieces(super().forward, x, widest, step=self.window)
        return in_pieces(self.transform, self.attention(x), 4)


class CpuHiera(Hiera):
    """The trunk, with positions added in place."""

    def embed(self, images: Tensor) -> Tensor:
        """What the first block gets: patches B x H/4 x W/4 x C with their positions."""
        x = self.patch_embed(images)
        return x.add_(self.position_embedding(x.shape[1], x.shape[2]))
