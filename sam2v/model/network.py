"""The network as four pure calls: encode an image, read memory, decode prompts, write memory (SAM 2 paper, section 4).

No call keeps anything between frames. Objects are the batch axis N of the last three calls; features of one image have
batch 1 and are broadcast to its objects.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.config import ModelConfig
from sam2v.model.image_encoder import ImageEncoder
from sam2v.model.mask_decoder import DecodedMasks, MaskDecoder, stability_score
from sam2v.model.memory_attention import MemoryAttention
from sam2v.model.memory_encoder import MemoryEncoder
from sam2v.model.prompt_encoder import PromptEncoder, resize_mask_prompt
from sam2v.nn.layers import MLP
from sam2v.nn.position import sine_grid, sine_scalar
from sam2v.nn.rotary import axial_rotation

#: Mask logits of an object that is not there.
ABSENT_LOGIT = -1024.0


class ImageFeatures(NamedTuple):
    """Features of B images, finest last.

    stride16: B x C x h x w. stride8: B x C/4 x 2h x 2w. stride4: B x C/8 x 4h x 4w.
    """

    stride16: Tensor
    stride8: Tensor
    stride4: Tensor

    def select(self, index: int) -> ImageFeatures:
        """The features of one image, batch 1."""
        return ImageFeatures(*(level[index : index + 1] for level in self))


class MemoryRead(NamedTuple):
    """What N objects read: K memories and P pointers each, padded where an object has fewer.

    maps: N x K x Cm x h x w memories. map_time: N x K integers, row of the temporal table (0 = the frame before, the
    last row = conditioning frames), -1 = padding. pointers: N x P x C. pointer_time: N x P distances in frames over the
    pointer limit less one, NaN = padding. padded: whether any row is padding (a constant, so that tracing never looks
    at values).
    """

    maps: Tensor
    map_time: Tensor
    pointers: Tensor
    pointer_time: Tensor
    padded: bool


class Prediction(NamedTuple):
    """Answer to N prompts.

    masks: N x M x 4h x 4w logits (M = 3 ambiguous or 1). iou: N x M. object_score: N x 1 logits.
    best: N x 1 x 4h x 4w, the mask with the highest predicted IoU. best_iou: N x 1. pointer: N x C object pointer.
    """

    masks: Tensor
    iou: Tensor
    object_score: Tensor
    best: Tensor
    best_iou: Tensor
    pointer: Tensor


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

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.no_obj_ptr.device

    @property
    def dtype(self) -> torch.dtype:
        """What images are encoded and memories are kept in, see :meth:`set_precision`."""
        return self.memory_encoder.out_proj.weight.dtype

    def set_precision(self, dtype: torch.dtype | None) -> Sam2Network:
        """Compute in float32 (None or torch.float32), torch.bfloat16 or torch.float16.

        The parameters of the image encoder, memory attention and memory encoder are converted; what they lose is lost.
        Prompt encoder and mask decoder stay in float32: they are half a percent of the work, and their output is what
        people see.
        """
        if dtype not in (None, torch.float32, torch.bfloat16, torch.float16):
            raise ValueError(f"dtype must be float32, bfloat16 or float16, not {dtype}")
        for part in (self.image_encoder, self.memory_attention, self.memory_encoder):
            part.to(dtype or torch.float32)
        return self

    # -- 1. encode the image -------------------------------------------------------------------------------------------

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """Encode normalised images B x 3 x H x W, sides multiples of 32."""
        encoder, decoder = self.image_encoder, self.sam_mask_decoder
        maps = encoder.trunk(images.to(self.dtype))
        stride4, stride8 = encoder.neck.fine_levels(maps, decoder.conv_s0, decoder.conv_s1)
        return ImageFeatures(encoder.neck.stride16(maps), stride8, stride4)

    # -- 2. read memory ------------------------------------------------------------------------------------------------

    def without_memory(self, features: ImageFeatures) -> Tensor:
        """Stride-16 features of a frame that has no memory yet, B x C x h x w: the no-memory embedding is added."""
        return features.stride16 + self.no_mem_embed.reshape(1, -1, 1, 1)

    def read_memory(self, features: ImageFeatures, read: MemoryRead) -> Tensor:
        """Condition stride-16 features (batch 1 or N) on N objects' memories: N x C x h x w."""
        x = features.stride16
        h, w = x.shape[-2:]
        position = sine_grid(h, w, x.shape[1], x.device)
        tokens, places, pointer_tokens = self._memory_tokens(read)
        pool, rotation = self.config.memory.pool, axial_rotation(h, w, x.shape[1], x.device)
        key_rotation = rotation if pool == 1 else axial_rotation(h, w, x.shape[1], x.device, pool)
        bias = self._hide_padding(read, len(key_rotation.cos), tokens.dtype) if read.padded else None
        out = self.memory_attention(
            (x + 0.1 * position.to(x.dtype)).flatten(2).transpose(1, 2),
            tokens,
            places,
            rotation,
            key_rotation,
            pointer_tokens,
            bias,
        )
        return out.transpose(1, 2).unflatten(2, (h, w))

    def _memory_tokens(self, read: MemoryRead) -> tuple[Tensor, Tensor, int]:
        """Tokens N x L x Cm, their position codes, and how many of them (the last) belong to pointers."""
        channels, h, w = read.maps.shape[2:]
        pool = self.config.memory.pool
        maps = _average(read.maps.flatten(0, 1), pool).unflatten(0, read.maps.shape[:2])
        maps = maps.flatten(3).transpose(2, 3)  # N x K x cells x Cm
        time = self.maskmem_tpos_enc.flatten(0, 2)[read.map_time.clamp(min=0)]  # N x K x Cm
        place = _average(sine_grid(h, w, channels, maps.device)[None], pool)[0].flatten(1).T  # cells x Cm
        places = (time[:, :, None] + place).to(maps.dtype)
        pieces = read.pointers.unflatten(2, (-1, channels))  # N x P x pieces x Cm
        when = self._pointer_places(read.pointer_time).to(maps.dtype)[:, :, None].expand_as(pieces)
        tokens = torch.cat([maps.flatten(1, 2), pieces.flatten(1, 2).to(maps.dtype)], dim=1)
        return (
            tokens,
            torch.cat([places.flatten(1, 2), when.flatten(1, 2)], dim=1),
            pieces.shape[1] * pieces.shape[2],
        )

    def _pointer_places(self, time: Tensor) -> Tensor:
        """Temporal codes N x P x Cm of pointers (zeros in SAM 2.0, which has none)."""
        memory = self.config.memory
        if not memory.obj_ptr_time_encoding:
            return time.new_zeros(*time.shape, memory.mem_dim)
        codes = sine_scalar(time.nan_to_num(), self.config.hidden_dim)
        return self.obj_ptr_tpos_proj(codes.to(self.obj_ptr_tpos_proj.weight.dtype))

    def _hide_padding(self, read: MemoryRead, cells: int, dtype: torch.dtype) -> Tensor:
        """Attention bias N x 1 x 1 x L with -inf on padded tokens."""
        pieces = self.config.hidden_dim // self.config.memory.mem_dim
        maps = (read.map_time < 0).repeat_interleave(cells, dim=1)
        pointers = read.pointer_time.isnan().repeat_interleave(pieces, dim=1)
        hidden = torch.cat([maps, pointers], dim=1)[:, None, None]
        return torch.zeros_like(hidden, dtype=dtype).masked_fill(hidden, float("-inf"))

    # -- 3. decode prompts ---------------------------------------------------------------------------------------------

    def decode_prompts(
        self,
        features: ImageFeatures,
        conditioned: Tensor,
        coords: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        multimask: bool = False,
        dynamic_multimask: bool = True,
    ) -> Prediction:
        """Turn N prompts on one image (or on N images) into masks.

        Args:
            features: for the finer levels, batch 1 or N.
            conditioned: stride-16 features after memory, batch 1 or N.
            coords: N x P x 2 points (x, y) in pixels of the network input; P may be 0.
            labels: N x P, -1 padding, 0 negative, 1 positive, 2 and 3 a box's corners. The released models expect one
                padding point behind every set of points.
            mask: N x 1 x H x W mask logits as a prompt, or None.
            multimask: offer the three masks of an ambiguous prompt instead of one.
            dynamic_multimask: let the best of the three replace an unstable single mask.
        """
        grid = (conditioned.shape[-2], conditioned.shape[-1])
        encoder = self.sam_prompt_encoder
        sparse = encoder.encode_points(coords, labels, (16 * grid[0], 16 * grid[1]))
        dense = encoder.encode_mask(None if mask is None else resize_mask_prompt(mask, grid), len(coords), grid)
        position = encoder.dense_position(*grid)
        levels = (level.to(self.no_obj_ptr.dtype) for level in (conditioned, features.stride8, features.stride4))
        raw = self.sam_mask_decoder(*levels, sparse, dense, position)
        raw = DecodedMasks(*(part.float() for part in raw))
        masks, iou, token = self._offer_masks(raw, multimask, dynamic_multimask)
        pick = iou.argmax(dim=1, keepdim=True)
        best = masks.take_along_dim(pick[:, :, None, None], dim=1)
        if multimask:
            token = raw.tokens[:, 1:].take_along_dim(pick[:, :, None], dim=1)[:, 0]
        pointer = self.obj_ptr_proj(token).float()
        pointer = torch.where(raw.object_score > 0, pointer, self.no_obj_ptr.float())
        return Prediction(masks, iou, raw.object_score, best, iou.take_along_dim(pick, dim=1), pointer)

    def _offer_masks(self, raw: DecodedMasks, multimask: bool, dynamic: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Masks N x M and IoUs to return, and the single mask's token N x C."""
        token = raw.tokens[:, 0]
        if multimask:
            return raw.masks[:, 1:], raw.iou[:, 1:], token
        masks, iou = raw.masks[:, :1], raw.iou[:, :1]
        if not dynamic:
            return masks, iou, token
        config = self.config.decoder
        stable = stability_score(masks, config.stability_delta) >= config.stability_thresh  # N x 1
        pick = raw.iou[:, 1:].argmax(dim=1, keepdim=True)
        other = raw.masks[:, 1:].take_along_dim(pick[:, :, None, None], dim=1)
        other_iou = raw.iou[:, 1:].take_along_dim(pick, dim=1)
        return torch.where(stable[:, :, None, None], masks, other), torch.where(stable, iou, other_iou), token

    def point_to_mask(self, features: ImageFeatures, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Object pointer of a mask that was given rather than predicted.

        The mask (N x 1 x H x W, 0 or 1, at the network's input size) is shown to the decoder as a mask prompt on the
        frame's plain features.

        Returns:
            Pointer N x C and object score N x 1: +10, or -10 and the no-object pointer for an empty mask.
        """
        n, device = len(mask), mask.device
        none = torch.full((n, 2), -1, device=device)
        prompt = self.mask_downsample(mask.to(self.mask_downsample.weight.dtype))
        answer = self.decode_prompts(features, features.stride16, torch.zeros(n, 2, 2, device=device), none, prompt)
        present = mask.flatten(1).any(dim=1, keepdim=True)
        pointer = torch.where(present, answer.pointer, self.no_obj_ptr.float())
        return pointer, torch.where(present, 10.0, -10.0)

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
            N x Cm x h x w.
        """
        memory = self.config.memory
        size = [16 * side for side in features.stride16.shape[-2:]]
        masks = F.interpolate(masks.float(), size, mode="bilinear", align_corners=False)
        hard = torch.as_tensor(binarize, device=masks.device)
        shown = torch.where(hard, (masks > 0).float(), masks.sigmoid()) * memory.mask_scale + memory.mask_bias
        out = self.memory_encoder(features.stride16, shown.to(features.stride16.dtype))
        if memory.no_obj_embed_spatial:
            absent = (object_score <= 0)[..., None, None].to(out.dtype)  # N x 1 x 1 x 1
            out = out + absent * self.no_obj_embed_spatial[..., None, None].to(out.dtype)
        return out


def _average(maps: Tensor, pool: int) -> Tensor:
    """Means over pool x pool cells of B x C x h x w; what does not fit at the right and bottom is a mean of fewer."""
    return maps if pool == 1 else F.avg_pool2d(maps, pool, ceil_mode=True, count_include_pad=False)


def gate_by_score(prediction: Prediction) -> Prediction:
    """Set the mask logits of absent objects (score <= 0) to ABSENT_LOGIT, as tracking does."""
    present = (prediction.object_score > 0)[..., None, None]
    masks, best = (torch.where(present, m, ABSENT_LOGIT) for m in (prediction.masks, prediction.best))
    return prediction._replace(masks=masks, best=best)
