"""The network as four pure calls: encode images, read memory, decode prompts, write memory (SAM 2 paper, section 4).

No call keeps anything between frames. Rows (hypotheses of objects) are the batch axis N of the last three calls;
features of one image have batch 1 and are broadcast to its rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.config import ModelConfig
from sam2v.model.image_encoder import ImageEncoder
from sam2v.model.mask_decoder import DecodedMasks, MaskDecoder
from sam2v.model.memory_attention import MemoryAttention, MemoryTokens
from sam2v.model.memory_encoder import MemoryEncoder
from sam2v.model.offered import offered_masks
from sam2v.model.prompt_encoder import PromptEncoder, resize_mask_prompt
from sam2v.model.values import PADDING, ImageFeatures, Prediction, Prompts, TokenGroup, Wanted
from sam2v.nn.layers import MLP
from sam2v.nn.position import sine_grid, sine_scalar
from sam2v.nn.rotary import Rotation, axial_rotation

#: Mean and deviation of RGB in [0, 1] that images are normalised with (ImageNet's).
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Given masks that are looked at together: at the network's size they are large.
_MASKS = 16


class Sam2Network(nn.Module):
    """SAM 2: image encoder, memory attention, prompt encoder, mask decoder and memory encoder.

    Args:
        config: sizes. Parameter names are those of the released checkpoints.
    """

    maskmem_tpos_enc: nn.Parameter
    no_mem_embed: nn.Parameter
    no_mem_pos_enc: nn.Parameter  # part of the released checkpoints; nothing reads it
    no_obj_ptr: nn.Parameter
    no_obj_embed_spatial: nn.Parameter
    obj_ptr_tpos_proj: nn.Linear
    mean: Tensor
    std: Tensor

    #: What depends on sizes alone; backends compute it once (see `sam2v.backends`).
    constants: tuple[str, ...] = ("position_codes", "memory_codes", "rotations")

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.image_only = False  # whether the weights came without the modules for tracking
        channels, memory = config.hidden_dim, config.memory
        self.image_encoder = ImageEncoder(config)
        self.sam_prompt_encoder = PromptEncoder(channels)
        self.sam_mask_decoder = MaskDecoder(channels, config.decoder)
        self.memory_attention = MemoryAttention(channels, memory)
        self.memory_encoder = MemoryEncoder(channels, memory.mem_dim)
        self.mask_downsample = nn.Conv2d(1, 1, 4, stride=4)
        self.obj_ptr_proj = MLP((channels,) * 4)
        learned = {
            "maskmem_tpos_enc": (memory.num_maskmem, 1, 1, memory.mem_dim),
            "no_mem_embed": (1, 1, channels),
            "no_mem_pos_enc": (1, 1, channels),
            "no_obj_ptr": (1, channels),
        }
        if memory.no_obj_embed_spatial:
            learned["no_obj_embed_spatial"] = (1, memory.mem_dim)
        for name, shape in learned.items():
            self.register_parameter(name, nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02)))
        if memory.obj_ptr_time_encoding:
            self.obj_ptr_tpos_proj = nn.Linear(channels, memory.mem_dim)
        self.register_buffer("mean", torch.tensor(MEAN, device="cpu"), persistent=False)
        self.register_buffer("std", torch.tensor(STD, device="cpu"), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.no_obj_ptr.device

    @property
    def dtype(self) -> torch.dtype:
        """What images are encoded and memories are kept in, see `set_precision`."""
        return self.memory_encoder.out_proj.weight.dtype

    def set_precision(self, dtype: torch.dtype | None) -> Sam2Network:
        """Compute in float32 (None or torch.float32), torch.bfloat16 or torch.float16.

        The parameters of the image encoder (and of the decoder's two layers behind it), memory attention and memory
        encoder are converted; what they lose is lost. Prompt encoder and mask decoder stay in float32: they are half a
        percent of the work, and their output is what people see.
        """
        if dtype not in (None, torch.float32, torch.bfloat16, torch.float16):
            raise ValueError(f"dtype must be float32, bfloat16 or float16, not {dtype}")
        fine = (self.sam_mask_decoder.conv_s0, self.sam_mask_decoder.conv_s1)
        for part in (self.image_encoder, *fine, self.memory_attention, self.memory_encoder):
            part.to(dtype or torch.float32)
        return self

    # -- 1. encode images ----------------------------------------------------------------------------------------------

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """Encode B x H x W x 3 RGB, uint8 or floats in [0, 1]; H and W are multiples of 32."""
        stride4, stride8, stride16 = self.image_encoder(self.normalise(images).to(self.dtype))
        stride4, stride8 = self.sam_mask_decoder.project_fine(stride4, stride8)
        return ImageFeatures(stride16, stride8, stride4)

    def normalise(self, images: Tensor) -> Tensor:
        """B x H x W x 3 images as B x 3 x H x W float32, less the mean and over the deviation."""
        pixels = images.permute(0, 3, 1, 2)
        pixels = pixels.float() if images.is_floating_point() else pixels.float() / 255
        return (pixels - self.mean[:, None, None]) / self.std[:, None, None]

    # -- 2. read memory ------------------------------------------------------------------------------------------------

    def without_memory(self, features: ImageFeatures) -> Tensor:
        """Stride-16 features of a frame that has no memory yet, B x C x h x w: the no-memory embedding is added."""
        return features.stride16 + self.no_mem_embed.reshape(1, -1, 1, 1)

    def read_memory(self, features: ImageFeatures, memory: Sequence[TokenGroup]) -> Tensor:
        """Condition stride-16 features (batch 1 or N) on what N rows read: N x C x h x w."""
        x, grid = features.stride16, features.grid
        cells = x.flatten(2).transpose(1, 2) + self.position_codes(*grid).to(x.dtype)
        rotation, memory_rotation = self.rotations(*grid)
        groups = []
        for group in memory:
            values = group.tokens.to(x.dtype)
            keys = values + self._codes(group, grid).to(x.dtype)
            turn = memory_rotation if group.has_grid else None
            groups.append(MemoryTokens(keys, values, turn, group.bias, group.scale))
        out = self.memory_attention(cells, rotation, groups)
        return out.transpose(1, 2).unflatten(2, grid)

    def position_codes(self, h: int, w: int) -> Tensor:
        """A tenth of the position codes of a frame's h x w cells, cells x C, as they are added to its features."""
        codes = sine_grid(h, w, self.config.hidden_dim, self.device).flatten(1).T
        return 0.1 * codes.to(self.dtype)

    def memory_codes(self, h: int, w: int) -> Tensor:
        """Position codes of a memory of an h x w frame, L x Cm."""
        memory = self.config.memory
        codes = sine_grid(h, w, memory.mem_dim, self.device)[None]
        return average(codes, memory.pool)[0].flatten(1).T

    def rotations(self, h: int, w: int) -> tuple[Rotation, Rotation]:
        """Rotary tables of a frame's h x w cells, and of its memory's L."""
        channels, device = self.config.hidden_dim, self.device
        return axial_rotation(h, w, channels, device), axial_rotation(h, w, channels, device, self.config.memory.pool)

    def _codes(self, group: TokenGroup, grid: tuple[int, int]) -> Tensor:
        """Position codes N x T x (1 or L) x Cm (1 x 1 x 1 x Cm if there are none) that are added to a group's keys."""
        if group.has_grid:
            time = self.maskmem_tpos_enc.flatten(0, 2)[group.time]  # N x T x Cm
            return time[:, :, None] + self.memory_codes(*grid)
        memory = self.config.memory
        if not memory.obj_ptr_time_encoding:
            return group.tokens.new_zeros(1, 1, 1, memory.mem_dim)
        codes = sine_scalar(group.time, self.config.hidden_dim)
        return self.obj_ptr_tpos_proj(codes.to(self.obj_ptr_tpos_proj.weight.dtype))[:, :, None]

    # -- 3. decode prompts ---------------------------------------------------------------------------------------------

    def decode_prompts(
        self, features: ImageFeatures, conditioned: Tensor, prompts: Prompts, wanted: Wanted
    ) -> Prediction:
        """Turn N prompts on one image (or on N images) into masks.

        Args:
            features: for the finer levels, batch 1 or N.
            conditioned: stride-16 features after memory, batch 1 or N.
            prompts: points and masks.
            wanted: which masks.
        """
        grid = (conditioned.shape[-2], conditioned.shape[-1])
        sparse, dense = self.encode_prompts(prompts, grid)
        return self.decode(features, conditioned, sparse, dense, wanted)

    def encode_prompts(self, prompts: Prompts, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Tokens N x P x C of points, and the map N (1 without masks) x C x h x w of masks; `grid` = (h, w)."""
        coords, labels, mask = prompts
        encoder = self.sam_prompt_encoder
        sparse = encoder.encode_points(coords, labels, (16 * grid[0], 16 * grid[1]))
        # without masks the image's side is one for all rows, until it has met their tokens
        rows = min(1, len(coords)) if mask is None else mask.shape[0]
        return sparse, encoder.encode_mask(None if mask is None else resize_mask_prompt(mask, grid), rows, grid)

    def decode(
        self, features: ImageFeatures, conditioned: Tensor, sparse: Tensor, dense: Tensor, wanted: Wanted
    ) -> Prediction:
        """Masks of encoded prompts; arguments as for `decode_prompts` and `encode_prompts`."""
        position = self.sam_prompt_encoder.dense_position(*conditioned.shape[-2:])
        levels = (self.to_decode(level) for level in (conditioned, features.stride8, features.stride4))
        raw = self.sam_mask_decoder(*levels, sparse, dense, position, wanted.least_iou)
        raw = DecodedMasks(*(part.float() for part in raw))
        masks, iou, tokens = self._offer_masks(raw, wanted)
        pointers = self.obj_ptr_proj(tokens.to(self.no_obj_ptr.dtype)).float()
        pointers = torch.where(raw.object_score[..., None] > 0, pointers, self.no_obj_ptr.float())
        return Prediction(masks, iou, pointers, raw.object_score)

    def to_decode(self, level: Tensor) -> Tensor:
        """A level of features in the decoder's precision."""
        return level.to(self.no_obj_ptr.dtype)

    def _offer_masks(self, raw: DecodedMasks, wanted: Wanted) -> tuple[Tensor, Tensor, Tensor]:
        """Masks N x M, their IoUs, and the tokens N x M x C that pointers are made of, see `offered_masks`."""
        return offered_masks(raw.masks, raw.iou, raw.tokens, wanted, self.config.decoder)

    def point_to_mask(self, features: ImageFeatures, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Object pointer of a mask that was given rather than predicted.

        The mask (N x 1 x H x W booleans, or 0 and 1, at the network's input size) is shown to the decoder as a mask
        prompt on the frame's plain features.

        Returns:
            Pointer N x C and object score N x 1: +10, or -10 and the no-object pointer for an empty mask.
        """
        prompt = self._low_resolution(mask)
        coords = prompt.new_zeros(mask.shape[0], 2, 2)
        labels = torch.full_like(coords[..., 0], PADDING)
        answer = self.decode_prompts(features, features.stride16, Prompts(coords, labels, prompt), Wanted(False))
        present = mask.flatten(1).any(dim=1, keepdim=True)
        pointer = torch.where(present, answer.pointers[:, 0], self.no_obj_ptr.float())
        return pointer, torch.where(present, 10.0, -10.0)

    def _low_resolution(self, mask: Tensor) -> Tensor:
        """Given masks N x 1 x H x W as they are shown to the prompt encoder: N x 1 x H/4 x W/4."""
        shown = (part.to(self.mask_downsample.weight.dtype) for part in mask.split(_MASKS))
        return torch.cat([self.mask_downsample(part) for part in shown])

    # -- 4. write memory -----------------------------------------------------------------------------------------------

    def write_memory(
        self, features: ImageFeatures, masks: Tensor, object_score: Tensor, binarize: bool | Tensor = False
    ) -> Tensor:
        """Encode N masks of a frame as memories.

        Args:
            features: the frame's plain features, batch 1 or N.
            masks: N x 1 x h x w mask logits of any size; they are brought to the network's input size.
            object_score: N x 1 logits; frames without the object are marked as such (SAM 2.1).
            binarize: whether to harden the masks (for prompted frames), one flag or N x 1 x 1 x 1 booleans.

        Returns:
            N x L x Cm tokens, the cells row by row (averaged over `memory.pool` x `memory.pool` of them).
        """
        memory = self.config.memory
        shown = self.shown_masks(masks, features.grid, binarize) * memory.mask_scale + memory.mask_bias
        out = self.memory_encoder(features.stride16, shown.to(features.stride16.dtype))
        if memory.no_obj_embed_spatial:
            absent = (object_score <= 0)[..., None, None].to(out.dtype)  # N x 1 x 1 x 1
            out = out + absent * self.no_obj_embed_spatial[..., None, None].to(out.dtype)
        return average(out, memory.pool).flatten(2).transpose(1, 2).contiguous()

    def shown_masks(self, masks: Tensor, grid: tuple[int, int], binarize: bool | Tensor) -> Tensor:
        """Mask logits as the memory encoder sees them before scale and bias: probabilities at the network's input size,
        N x 1 x 16h x 16w for `grid` = (h, w)."""
        size = [16 * side for side in grid]
        return _hardened(F.interpolate(masks.float(), size, mode="bilinear", align_corners=False), binarize)


def _hardened(masks: Tensor, binarize: bool | Tensor) -> Tensor:
    """Probabilities of mask logits, 0 or 1 where `binarize` says so. Gradients are always those of the probabilities:
    in training, a prompted frame learns from what later frames make of its memory."""
    if binarize is False:
        return masks.sigmoid()
    hard = (masks > 0).float()
    if masks.requires_grad:
        soft = masks.sigmoid()
        hard = soft + (hard - soft).detach()
    return hard if binarize is True else torch.where(binarize, hard, masks.sigmoid())


def average(maps: Tensor, pool: int) -> Tensor:
    """Means over pool x pool cells of B x C x h x w; what does not fit at the right and bottom is a mean of fewer."""
    return maps if pool == 1 else F.avg_pool2d(maps, pool, ceil_mode=True, count_include_pad=False)
