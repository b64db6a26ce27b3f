"""Prompt encoder: points, boxes and masks (Kirillov et al. 2023; SAM 2 paper, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.nn.layers import ChannelNorm
from sam2v.nn.position import FourierPoints


class PromptEncoder(nn.Module):
    """Turn prompts into sparse tokens (points and box corners) and a dense map (a mask prompt).

    Args:
        channels: C of tokens and map.
    """

    constants: tuple[str, ...] = ("label_table", "dense_position")

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pe_layer = FourierPoints(channels)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, channels) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, channels)
        self.no_mask_embed = nn.Embedding(1, channels)
        self.mask_downscaling = nn.Sequential(
            *(nn.Conv2d(1, 4, 2, stride=2), ChannelNorm(4), nn.GELU()),
            *(nn.Conv2d(4, 16, 2, stride=2), ChannelNorm(16), nn.GELU()),
            nn.Conv2d(16, channels, 1),
        )

    def encode_points(self, coords: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
        """Embed points.

        Args:
            coords: B x N x 2 (x, y) in pixels of the network input.
            labels: B x N integers, -1 (padding: the position is ignored) to 3.
            size: (height, width) of the network input in pixels.

        Returns:
            B x N x C tokens.
        """
        x, y = (coords.float() + 0.5).unbind(-1)
        position = self.pe_layer(torch.stack((x / size[1], y / size[0]), dim=-1))
        kinds, labels = self.label_table(), labels.long()
        return kinds[labels + 1] + position.to(kinds.dtype) * (labels >= 0)[..., None]

    def label_table(self) -> Tensor:
        """Learned codes of the labels from PADDING to BOX_END, 5 x C."""
        return torch.cat([self.not_a_point_embed.weight, *self.point_embeddings.parameters()])

    def encode_mask(self, mask: Tensor | None, batch: int, grid: tuple[int, int]) -> Tensor:
        """Embed mask logits B x 1 x 4h x 4w as B x C x h x w, where `grid` = (h, w); None gives the no-mask
        embedding."""
        if mask is None:
            return self.no_mask_embed.weight[..., None, None].expand(batch, -1, *grid)
        return self.mask_downscaling(mask)

    def dense_position(self, height: int, width: int) -> Tensor:
        """Position code of the feature grid's cell centres, 1 x C x height x width."""
        return self.pe_layer.grid(height, width)[None]


def resize_mask_prompt(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bring mask logits B x 1 x H x W to the size the prompt encoder takes, four times `grid`, antialiased bilinear."""
    wanted = (4 * grid[0], 4 * grid[1])
    if tuple(mask.shape[-2:]) == wanted:
        return mask
    return F.interpolate(mask.float(), wanted, mode="bilinear", align_corners=False, antialias=True)
