"""Mask decoder: a two-way transformer between prompt tokens and image features (SAM 2 paper, section 4, appendix
D.1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.config import DecoderConfig
from sam2v.model.offered import ABSENT_LOGIT
from sam2v.nn.attention import Attention
from sam2v.nn.layers import MLP, ChannelNorm


class DecodedMasks(NamedTuple):
    """Raw output of the decoder: mask 0 answers a clear prompt, the others an ambiguous one.

    masks: B x M x 4h x 4w logits. iou: B x M in [0, 1]. tokens: B x M x C. object_score: B x 1 logits.
    """

    masks: Tensor
    iou: Tensor
    tokens: Tensor
    object_score: Tensor


class TwoWayLayer(nn.Module):
    """Tokens attend to themselves and to the image, then the image attends to the tokens.

    Args:
        channels: C.
        config: heads and MLP width.
        first: the first layer's self-attention sees plain tokens and replaces them.
    """

    def __init__(self, channels: int, config: DecoderConfig, first: bool) -> None:
        super().__init__()
        heads, inner = config.num_heads, channels // 2
        self.first = first
        self.self_attn = Attention(channels, heads)
        self.cross_attn_token_to_image = Attention(channels, heads, inner)
        self.cross_attn_image_to_token = Attention(channels, heads, inner)
        self.mlp = MLP((channels, config.mlp_dim, channels))
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.norm3, self.norm4 = nn.LayerNorm(channels), nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, image: Tensor, token_pos: Tensor, image_pos: Tensor) -> tuple[Tensor, Tensor]:
        """Update tokens B x N x C and image B x cells x C; the position codes have the same shapes."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pos
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        image_keys = image + image_pos
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pos, image_keys, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = image + self.cross_attn_image_to_token(image_keys, tokens + token_pos, tokens)
        return tokens, self.norm4(image)


class TwoWayTransformer(nn.Module):
    """Two-way layers and a last look of the tokens at the image."""

    def __init__(self, channels: int, config: DecoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayLayer(channels, config, first=i == 0) for i in range(config.depth))
        self.final_attn_token_to_image = Attention(channels, config.num_heads, channels // 2)
        self.norm_final_attn = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, image: Tensor, image_pos: Tensor) -> tuple[Tensor, Tensor]:
        """Update tokens B x N x C (they are their own position code) and image B x cells x C."""
        token_pos = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pos, image_pos)
        look = self.final_attn_token_to_image(tokens + token_pos, image + image_pos, image)
        return self.norm_final_attn(tokens + look), image


class MaskDecoder(nn.Module):
    """Predict masks, their IoU and whether the object is there.

    Args:
        channels: C of the stride-16 features; strides 8 and 4 have C/4 and C/8.
        config: depth, heads, number of masks.
    """

    def __init__(self, channels: int, config: DecoderConfig) -> None:
        super().__init__()
        count = config.num_multimask_outputs + 1
        self.transformer = TwoWayTransformer(channels, config)
        self.obj_score_token = nn.Embedding(1, channels)
        self.iou_token = nn.Embedding(1, channels)
        self.mask_tokens = nn.Embedding(count, channels)
        # these two bring the finer levels in; they are applied once per image, by `project_fine`
        self.conv_s0, self.conv_s1 = nn.Conv2d(channels, channels // 8, 1), nn.Conv2d(channels, channels // 4, 1)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(channels, channels // 4, 2, stride=2),
            ChannelNorm(channels // 4),
            nn.GELU(),
            nn.ConvTranspose2d(channels // 4, channels // 8, 2, stride=2),
        )
        heads = (MLP((channels, channels, channels, channels // 8)) for _ in range(count))
        self.output_hypernetworks_mlps = nn.ModuleList(heads)
        self.iou_prediction_head = MLP((channels, channels, channels, count))
        self.pred_obj_score_head = MLP((channels, channels, channels, 1))

    def project_fine(self, stride4: Tensor, stride8: Tensor) -> tuple[Tensor, Tensor]:
        """Bring the neck's levels B x C x 4h x 4w and B x C x 2h x 2w to C/8 and C/4 channels."""
        return self.conv_s0(stride4), self.conv_s1(stride8)

    def forward(
        self,
        image: Tensor,
        stride8: Tensor,
        stride4: Tensor,
        sparse: Tensor,
        dense: Tensor,
        image_pos: Tensor,
        least_iou: float = 0.0,
    ) -> DecodedMasks:
        """Decode B prompts.

        Args:
            image: B (or 1) x C x h x w conditioned stride-16 features.
            stride8, stride4: B (or 1) x C/4 x 2h x 2w and B (or 1) x C/8 x 4h x 4w projected finer levels.
            sparse: B x N x C prompt tokens, N may be 0. dense: B (or 1) x C x h x w mask embedding.
            image_pos: 1 x C x h x w position code.
            least_iou: if above 0, masks are painted only for prompts of which some mask's predicted IoU is above it;
                the others' logits are ABSENT_LOGIT.
        """
        batch, (h, w) = sparse.shape[0], image.shape[-2:]
        own = self.own_tokens()
        tokens = torch.cat([own.expand(batch, -1, -1), sparse.to(own.dtype)], dim=1)
        cells = (image + dense).flatten(2).transpose(1, 2)  # B x cells x C
        tokens, cells = self.transformer(tokens, cells, self.places(image_pos, cells.dtype))
        answers, _ = tokens.split([len(own), sparse.shape[1]], dim=1)
        kernels, iou, score = self.heads(answers)
        cells = cells.unflatten(1, (h, w))
        if least_iou > 0:
            masks = self._paint_some((iou > least_iou).any(1), cells, stride8, stride4, kernels)
        else:
            masks = self.paint(cells, stride8, stride4, kernels)
        return DecodedMasks(masks, iou, answers[:, 2:], score)

    def own_tokens(self) -> Tensor:
        """The decoder's own tokens, (2 + M) x C: of the object score, of the IoUs, and of M masks."""
        return torch.cat([self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight])

    def places(self, image_pos: Tensor, dtype: torch.dtype) -> Tensor:
        """Position codes 1 x C x h x w as 1 x cells x C."""
        return image_pos.flatten(2).transpose(1, 2).to(dtype)

    def heads(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the decoder's own tokens B x (2 + M) x C say: a kernel B x M x C/8 for each mask, their IoUs B x M, and
        the object score B x 1."""
        score_token, iou_token, *mask_tokens = tokens.unbind(1)
        mlps = zip(self.output_hypernetworks_mlps, mask_tokens, strict=True)
        kernels = torch.stack([mlp(token) for mlp, token in mlps], dim=1)
        return kernels, self.iou_prediction_head(iou_token).sigmoid(), self.pred_obj_score_head(score_token)

    def _paint_some(self, wanted: Tensor, cells: Tensor, stride8: Tensor, stride4: Tensor, kernels: Tensor) -> Tensor:
        """As `paint`, for the rows of B booleans."""
        masks = kernels.new_full((*kernels.shape[:2], *stride4.shape[-2:]), ABSENT_LOGIT)
        if wanted.any():
            stride8, stride4 = (level[wanted] if len(level) > 1 else level for level in (stride8, stride4))
            masks[wanted] = self.paint(cells[wanted], stride8, stride4, kernels[wanted])
        return masks

    def paint(self, cells: Tensor, stride8: Tensor, stride4: Tensor, kernels: Tensor) -> Tensor:
        """Masks B x M x 4h x 4w from cells B x h x w x C and a kernel B x M x C/8 for each mask."""
        up8, norm, gelu, up4 = self.output_upscaling
        fine = gelu(norm(up8(cells.permute(0, 3, 1, 2)) + stride8))
        fine = F.gelu(up4(fine) + stride4)
        return (kernels @ fine.flatten(2)).unflatten(2, fine.shape[-2:])
