"""The mask decoder on the CPU: sizes are doubled by products over channels that come last."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.backends.cpu.products import linear
from sam2v.model.mask_decoder import MaskDecoder
from sam2v.nn.layers import ChannelNorm


class CpuMaskDecoder(MaskDecoder):
    """Paints masks with channels last, so that doubling the size is a product with each cell's 2 x 2 pixels side by
    side, and only masks are put in order."""

    def paint(self, cells: Tensor, stride8: Tensor, stride4: Tensor, kernels: Tensor) -> Tensor:
        """Masks B x M x 4h x 4w from cells B x h x w x C and a kernel B x M x C/8 for each mask."""
        layers = cast("tuple[nn.ConvTranspose2d, ChannelNorm, nn.GELU, nn.ConvTranspose2d]", self.output_upscaling)
        up8, norm, _, up4 = layers
        fine = _double(up8, cells).transpose(2, 3).flatten(1, 2).flatten(2, 3)  # B x 2h x 2w x C/4
        fine = F.layer_norm(fine + stride8.permute(0, 2, 3, 1), norm.weight.shape, norm.weight, norm.bias, norm.eps)
        fine = _double(up4, F.gelu(fine))  # B x 2h x 2w x 2 x 2 x C/8
        pixels = stride4.permute(0, 2, 3, 1).unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).transpose(2, 3)
        painted = F.gelu(fine + pixels).flatten(1, 4) @ kernels.transpose(1, 2)
        return painted.unflatten(1, fine.shape[1:5]).permute(0, 5, 1, 3, 2, 4).flatten(2, 3).flatten(3, 4)


def _double(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """A transposed convolution of kernel and stride 2 on B x h x w x Cin: B x h x w x 2 x 2 x Cout."""
    assert layer.bias is not None
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 * 2 * Cout) x Cin
    return linear(x, weight, layer.bias.repeat(4)).unflatten(3, (2, 2, -1))
