"""The memory encoder in fewer operations: maps are rows of cells, sums are parts of products."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from sam2v.backends.fused.layers import AddedMLP, plus_product
from sam2v.model.memory_encoder import MemoryEncoder


class FusedMemoryEncoder(MemoryEncoder):
    """Features and masks to cells of a memory."""

    def prepare(self) -> None:
        """Join the biases of what is summed, and the residual's scale with the layers behind which it is."""
        masks: Any = self.mask_downsampler.encoder[-1]
        pixels, out = self.pix_feat_proj, self.out_proj
        assert pixels.bias is not None
        self._pixels = pixels.weight.flatten(1), pixels.bias + masks.bias
        self._masks, self._out = masks.weight.flatten(1), out.weight.flatten(1)
        blocks: Any = self.fuser.layers
        self._mixed = [AddedMLP.of(block.pwconv1, block.pwconv2, block.gamma) for block in blocks]

    def cells(self, features: Tensor, masks: Tensor, offset: Tensor) -> Tensor:
        """A memory's cells B x (h * w) x Cm, before they are averaged.

        Args:
            features: B (or 1) x C x h x w. masks: scaled, B x 1 x 16h x 16w. offset: bias of the last layer, B (or 1) x
                1 x Cm.
        """
        for layer in list(self.mask_downsampler.encoder)[:-1]:
            masks = layer(masks)
        projected = F.linear(features.permute(0, 2, 3, 1), *self._pixels).flatten(1, 2)
        x = plus_product(projected, masks.permute(0, 2, 3, 1).flatten(1, 2), self._masks)
        grid, blocks = features.shape[-2:], list[Any](self.fuser.layers)
        for block, mixed in zip(blocks, self._mixed, strict=True):
            looked = block.norm(block.dwconv(x.unflatten(1, grid).permute(0, 3, 1, 2)))
            mixed.add_gelu_(x, looked.permute(0, 2, 3, 1).flatten(1, 2).contiguous())
        return plus_product(offset, x, self._out)
