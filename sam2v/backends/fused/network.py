"""The network in fewer operations: what depends on sizes and weights alone is a table."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from sam2v.backends.fused.memory_encoder import FusedMemoryEncoder
from sam2v.backends.joined import JoinedNetwork
from sam2v.model.network import average
from sam2v.model.prompt_encoder import PromptEncoder
from sam2v.model.values import ImageFeatures, TokenGroup
from sam2v.nn.position import wavelengths


class FusedPromptEncoder(PromptEncoder):
    """Points: a product, a sine and a look into a table."""

    constants = (*PromptEncoder.constants, "angles", "kinds")

    def encode_points(self, coords: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
        """See `PromptEncoder.encode_points`."""
        offset, weight = self.angles(size)
        position = torch.addmm(offset, coords.float().flatten(0, 1), weight).sin().unflatten(0, coords.shape[:2])
        kinds, placed = self.kinds()[labels.long()].split([len(offset), 1], -1)
        return torch.addcmul(kinds, position.to(kinds.dtype), placed)

    def angles(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Offset C and weight 2 x C that give a point's angles, of all sines and then of all cosines as sines."""
        frequencies = self.pe_layer.positional_encoding_gaussian_matrix.float() * (2 * math.pi)
        height, width = size
        per_pixel = torch.tensor([[2 / width], [2 / height]], device=frequencies.device)
        first = per_pixel[:, 0] / 2 - 1  # where the middle of pixel 0 lies in [-1, 1]
        offset = first @ frequencies
        return torch.cat([offset, offset + math.pi / 2]), (per_pixel * frequencies).repeat(1, 2)

    def kinds(self) -> Tensor:
        """Codes of the labels from 0 on, the last one of padding (-1), and in the last channel whether it is a point:
        5 x (C + 1)."""
        table = self.label_table().roll(-1, 0)
        placed = torch.ones_like(table[:, :1])
        placed[-1] = 0
        return torch.cat([table, placed], 1)


class FusedNetwork(JoinedNetwork):
    """Stand-in for the whole network."""

    constants = (*JoinedNetwork.constants, "slot_codes", "time_codes")

    def prepare(self) -> None:
        """Join the two levels, and bring the deviation of pixels into the first convolution."""
        super().prepare()
        patches: Any = self.image_encoder.trunk.patch_embed
        first, scale = patches.proj, 1 / (255 * self.std[None, :, None, None])
        scaled = nn.Conv2d(3, first.out_channels, first.kernel_size, first.stride, first.padding, device="meta")
        scaled.weight = nn.Parameter((first.weight.float() * scale).to(first.weight.dtype), requires_grad=False)
        scaled.bias = first.bias
        patches.proj = scaled
        self._middle = 255 * self.mean
        self._mask_bias = torch.full((), self.config.memory.mask_bias, device=self.device)
        self._offset = cast("Tensor", self.memory_encoder.out_proj.bias)[None, None]
        if self.config.memory.no_obj_embed_spatial:
            self._offset_absent = self._offset + self.no_obj_embed_spatial.to(self.dtype)

    def normalise(self, images: Tensor) -> Tensor:
        """B x H x W x 3 images as B x 3 x H x W float32 bytes less their mean; the convolution knows the deviation."""
        pixels = 255 * images if images.is_floating_point() else images
        return (pixels - self._middle).permute(0, 3, 1, 2)

    def position_codes(self, h: int, w: int) -> Tensor:
        """See `Sam2Network.position_codes`."""
        return super().position_codes(h, w).to(self.dtype).contiguous()

    def to_decode(self, level: Tensor) -> Tensor:
        """The level as it is: what it is added to brings it to the decoder's precision."""
        return level

    def write_memory(
        self, features: ImageFeatures, masks: Tensor, object_score: Tensor, binarize: bool | Tensor = False
    ) -> Tensor:
        """See `Sam2Network.write_memory`."""
        memory, encoder = self.config.memory, cast("FusedMemoryEncoder", self.memory_encoder)
        shown = self.shown_masks(masks, features.grid, binarize)
        scaled = shown.new_empty(shown.shape, dtype=features.stride16.dtype)
        torch.add(self._mask_bias, shown, alpha=memory.mask_scale, out=scaled)
        offset = self._offset
        if memory.no_obj_embed_spatial:
            offset = torch.where((object_score <= 0)[..., None], self._offset_absent, offset)
        cells = encoder.cells(features.stride16, scaled, offset)
        if memory.pool == 1:
            return cells
        maps = cells.transpose(1, 2).unflatten(2, features.grid)
        return average(maps, memory.pool).flatten(2).transpose(1, 2).contiguous()

    def slot_codes(self, h: int, w: int) -> Tensor:
        """Codes of a memory's cells at every time of an h x w frame's memories, times x L x Cm."""
        return (self.maskmem_tpos_enc.flatten(1, 2) + self.memory_codes(h, w)).to(self.dtype)

    def time_codes(self) -> tuple[Tensor, Tensor]:
        """Offset C and factor C that make a distance angles: of all sines, then of all cosines as sines."""
        speeds = (1 / wavelengths(self.config.hidden_dim // 4, self.device)).repeat_interleave(2)
        offset = torch.zeros_like(speeds)
        return torch.cat([offset, offset + math.pi / 2]), speeds.repeat(2)

    def _codes(self, group: TokenGroup, grid: tuple[int, int]) -> Tensor:
        """See `Sam2Network._codes`."""
        if group.has_grid:
            return self.slot_codes(*grid)[group.time]
        if not self.config.memory.obj_ptr_time_encoding:
            return super()._codes(group, grid)
        offset, speeds = self.time_codes()
        codes = torch.addcmul(offset, group.time[..., None], speeds).sin()
        return self.obj_ptr_tpos_proj(codes.to(self.obj_ptr_tpos_proj.weight.dtype))[:, :, None]
