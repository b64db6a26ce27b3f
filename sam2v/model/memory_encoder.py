"""Memory encoder: fuse a frame's features with its mask into a memory (SAM 2 paper, section 4)."""

from __future__ import annotations

from torch import Tensor, nn

from sam2v.nn.layers import ChannelNorm, ConvNeXtBlock


class MaskDownsampler(nn.Module):
    """Four stride-2 convolutions from full resolution to stride 16."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential()
        width = 1
        for _ in range(4):
            self.encoder.append(nn.Conv2d(width, 4 * width, 3, stride=2, padding=1))
            width *= 4
            self.encoder.extend([ChannelNorm(width), nn.GELU()])
        self.encoder.append(nn.Conv2d(width, channels, 1))

    def forward(self, masks: Tensor) -> Tensor:
        """Map B x 1 x H x W to B x C x H/16 x W/16."""
        return self.encoder(masks)


class Fuser(nn.Module):
    """A stack of ConvNeXt blocks."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(ConvNeXtBlock(channels) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """Map B x C x H x W to the same shape."""
        return self.layers(x)


class MemoryEncoder(nn.Module):
    """Sum of projected features and downsampled mask, fused and reduced.

    Args:
        channels: C of the features.
        memory_channels: channels of the memory.
    """

    def __init__(self, channels: int, memory_channels: int) -> None:
        super().__init__()
        self.mask_downsampler = MaskDownsampler(channels)
        self.pix_feat_proj = nn.Conv2d(channels, channels, 1)
        self.fuser = Fuser(channels, depth=2)
        self.out_proj = nn.Conv2d(channels, memory_channels, 1)

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        """Fuse features B (or 1) x C x h x w and scaled masks B x 1 x 16h x 16w into B x Cm x h x w."""
        return self.fuse(self.pix_feat_proj(features), masks)

    def fuse(self, projected: Tensor, masks: Tensor) -> Tensor:
        """The same from projected features."""
        return self.out_proj(self.fuser(projected + self.mask_downsampler(masks)))
