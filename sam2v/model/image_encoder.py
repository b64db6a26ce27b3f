"""Image encoder: the trunk and a feature-pyramid neck (SAM 2 paper, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.config import ModelConfig
from sam2v.model.hiera import Hiera


class Lateral(nn.Module):
    """1x1 convolution of one level."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x Cin x H x W to B x C x H x W."""
        return self.conv(x)


class Neck(nn.Module):
    """Feature pyramid: lateral convolutions, numbered from the coarsest level, and one top-down sum.

    Args:
        trunk_channels: channels of the trunk's stages, finest first.
        channels: C of every output level.
    """

    def __init__(self, trunk_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Lateral(width, channels) for width in reversed(trunk_channels))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Map the four stages to the levels at strides 4, 8 and 16. The stride-32 level only feeds the last of them: no
        other receives anything from above."""
        stride4, stride8, stride16 = self.convs[3](maps[0]), self.convs[2](maps[1]), self.convs[1](maps[2])
        from_above = F.interpolate(self.convs[0](maps[3]).float(), scale_factor=2.0, mode="nearest")
        return stride4, stride8, stride16 + from_above.to(stride16.dtype)


class ImageEncoder(nn.Module):
    """Trunk and neck."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.trunk = Hiera(config.trunk)
        self.neck = Neck(self.trunk.channels, config.hidden_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map normalised images B x 3 x H x W to levels B x C x H/s x W/s for s = 4, 8, 16."""
        return self.neck(self.trunk(images))
