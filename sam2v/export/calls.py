"""The network's calls as functions of tensors alone: what goes in and comes out of every exported graph."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sam2v.config import ModelConfig
from sam2v.model.network import Sam2Network
from sam2v.model.values import ImageFeatures, Prompts, TokenGroup, Wanted

#: Symbolic sizes: pictures, rows (of objects), memories, object pointers and points of a row.
PICTURES, ROWS, MEMORIES, POINTERS, POINTS = "pictures", "rows", "memories", "pointers", "points"
#: Sides that are 1, for all rows, or as many as there are rows; each has a name of its own, since equal names are taken
#: for equal sizes.
FEATURES, CONDITIONED, PROMPTED, FLAGS = "features_rows", "conditioned_rows", "mask_rows", "flags_rows"
ONE_OR_ROWS = (FEATURES, CONDITIONED, PROMPTED, FLAGS)


class Port(NamedTuple):
    """One input or output.

    Attributes:
        name: of the tensor.
        dtype: its type.
        shape: sizes, of which some are symbolic.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[int | str, ...]


class CallSpec(NamedTuple):
    """One exported call: the module that computes it and its ports, in order."""

    name: str
    module: type[Call]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


class Call(nn.Module):
    """One call of a network."""

    def __init__(self, network: Sam2Network) -> None:
        super().__init__()
        self.network = network.eval()
        self.eval()
        height, width = network.config.input_size
        self.grid = (height // 16, width // 16)

    def features(self, stride16: Tensor, stride8: Tensor | None = None, stride4: Tensor | None = None) -> ImageFeatures:
        """Features of which some levels are not looked at."""
        (h, w), channels = self.grid, self.network.config.hidden_dim
        if stride8 is None:
            stride8 = stride16.new_zeros(1, channels // 4, 2 * h, 2 * w)
        if stride4 is None:
            stride4 = stride16.new_zeros(1, channels // 8, 4 * h, 4 * w)
        return ImageFeatures(stride16, stride8, stride4)


class EncodeImage(Call):
    """See `Sam2Network.encode_image`."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pictures to features."""
        return tuple(self.network.encode_image(images / 255))


class WithoutMemory(Call):
    """See `Sam2Network.without_memory`."""

    def forward(self, stride16: Tensor) -> Tensor:
        """Features of a frame that has no memory yet."""
        return self.network.without_memory(self.features(stride16))


class ReadMemory(Call):
    """See `Sam2Network.read_memory`: one group of memories and one of object pointers."""

    def forward(
        self,
        stride16: Tensor,
        memories: Tensor,
        memory_time: Tensor,
        memory_bias: Tensor,
        memory_scale: Tensor,
        pointers: Tensor,
        pointer_time: Tensor,
        pointer_bias: Tensor,
        pointer_scale: Tensor,
    ) -> Tensor:
        """Condition features on what rows read."""
        groups = [
            TokenGroup(memories, memory_time, True, memory_bias, memory_scale),
            TokenGroup(pointers, pointer_time, False, pointer_bias, pointer_scale),
        ]
        return self.network.read_memory(self.features(stride16), groups)


class DecodePrompts(Call):
    """See `Sam2Network.decode_prompts`: all candidate masks."""

    def forward(
        self,
        stride8: Tensor,
        stride4: Tensor,
        conditioned: Tensor,
        coords: Tensor,
        labels: Tensor,
        mask: Tensor,
        has_mask: Tensor,
    ) -> tuple[Tensor, ...]:
        """Masks, IoU, pointers and object score of prompts."""
        network, grid = self.network, self.grid
        sparse, shown = network.encode_prompts(Prompts(coords, labels, mask), grid)
        blank = network.sam_prompt_encoder.encode_mask(None, 1, grid)
        dense = torch.where(has_mask[:, None, None, None], shown, blank)
        features = self.features(conditioned, stride8, stride4)
        return tuple(network.decode(features, conditioned, sparse, dense, Wanted(True)))


class PointToMask(Call):
    """See `Sam2Network.point_to_mask`."""

    def forward(self, stride16: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Object pointer and score of given masks."""
        return self.network.point_to_mask(self.features(stride16), mask)


class WriteMemory(Call):
    """See `Sam2Network.write_memory`."""

    def forward(self, stride16: Tensor, masks: Tensor, object_score: Tensor, binarize: Tensor) -> Tensor:
        """Memories of masks."""
        flags = binarize[:, None, None, None]
        return self.network.write_memory(self.features(stride16), masks, object_score, flags)


def call_specs(config: ModelConfig, dtype: torch.dtype) -> list[CallSpec]:
    """All calls of a network.

    Args:
        config: the network's sizes.
        dtype: of features and memories. What is about prompts and masks is float32.
    """
    height, width = config.input_size
    h, w, c = height // 16, width // 16, config.hidden_dim
    levels = (
        Port("stride16", dtype, (FEATURES, c, h, w)),
        Port("stride8", dtype, (FEATURES, c // 4, 2 * h, 2 * w)),
        Port("stride4", dtype, (FEATURES, c // 8, 4 * h, 4 * w)),
    )
    stride16, *finer = levels
    conditioned = Port("conditioned", dtype, (CONDITIONED, c, h, w))
    score = Port("object_score", torch.float32, (ROWS, 1))
    memories, memory = _memory_ports(config, dtype)
    prompts, answer = _prompt_ports(config)
    images = Port("images", torch.float32, (PICTURES, height, width, 3))
    given = Port("mask", torch.bool, (ROWS, 1, height, width))
    masks = Port("masks", torch.float32, (ROWS, 1, 4 * h, 4 * w))
    flags = Port("binarize", torch.bool, (FLAGS,))
    pointer = Port("pointer", torch.float32, (ROWS, c))
    encoded = tuple(port._replace(shape=(PICTURES, *port.shape[1:])) for port in levels)
    plain = stride16._replace(name="conditioned")
    read = conditioned._replace(shape=(ROWS, c, h, w))
    return [
        CallSpec("encode_image", EncodeImage, (images,), encoded),
        CallSpec("without_memory", WithoutMemory, (stride16,), (plain,)),
        CallSpec("read_memory", ReadMemory, (stride16, *memories), (read,)),
        CallSpec("decode_prompts", DecodePrompts, (*finer, conditioned, *prompts), (*answer, score)),
        CallSpec("point_to_mask", PointToMask, (stride16, given), (pointer, score)),
        CallSpec("write_memory", WriteMemory, (stride16, masks, score, flags), (memory,)),
    ]


def _memory_ports(config: ModelConfig, dtype: torch.dtype) -> tuple[tuple[Port, ...], Port]:
    """What is read besides features, and a memory."""
    (height, width), memory = config.input_size, config.memory
    cells = -(-(height // 16) // memory.pool) * -(-(width // 16) // memory.pool)
    tokens = config.hidden_dim // memory.mem_dim
    read = (
        Port("memories", dtype, (ROWS, MEMORIES, cells, memory.mem_dim)),
        Port("memory_time", torch.int64, (ROWS, MEMORIES)),
        Port("memory_bias", torch.float32, (ROWS, MEMORIES)),
        Port("memory_scale", torch.float32, (ROWS, MEMORIES)),
        Port("pointers", dtype, (ROWS, POINTERS, tokens, memory.mem_dim)),
        Port("pointer_time", torch.float32, (ROWS, POINTERS)),
        Port("pointer_bias", torch.float32, (ROWS, POINTERS)),
        Port("pointer_scale", torch.float32, (ROWS, POINTERS)),
    )
    return read, Port("memory", dtype, (ROWS, cells, memory.mem_dim))


def _prompt_ports(config: ModelConfig) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Prompts, and the answer to them but for the object score."""
    logits = tuple(side // 4 for side in config.input_size)
    masks = config.decoder.num_multimask_outputs + 1
    prompts = (
        Port("coords", torch.float32, (ROWS, POINTS, 2)),
        Port("labels", torch.int32, (ROWS, POINTS)),
        Port("mask", torch.float32, (PROMPTED, 1, *logits)),
        Port("has_mask", torch.bool, (PROMPTED,)),
    )
    answer = (
        Port("masks", torch.float32, (ROWS, masks, *logits)),
        Port("iou", torch.float32, (ROWS, masks)),
        Port("pointers", torch.float32, (ROWS, masks, config.hidden_dim)),
    )
    return prompts, answer
