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
        dtype: of features and memories. What is about masks and prompts is float32.
    """
    height, width = config.input_size
    h, w, c, cm = height // 16, width // 16, config.hidden_dim, config.memory.mem_dim
    pool = config.memory.pool
    cells = -(-h // pool) * -(-w // pool)
    single, kept = torch.float32, dtype
    stride16 = Port("stride16", kept, (FEATURES, c, h, w))
    stride8 = Port("stride8", kept, (FEATURES, c // 4, 2 * h, 2 * w))
    stride4 = Port("stride4", kept, (FEATURES, c // 8, 4 * h, 4 * w))
    conditioned = Port("conditioned", kept, (CONDITIONED, c, h, w))
    logits = (4 * h, 4 * w)
    masks = config.decoder.num_multimask_outputs + 1
    encoded = tuple(port._replace(shape=(PICTURES, *port.shape[1:])) for port in (stride16, stride8, stride4))
    images = Port("images", single, (PICTURES, height, width, 3))
    read = (
        stride16,
        Port("memories", kept, (ROWS, MEMORIES, cells, cm)),
        Port("memory_time", torch.int64, (ROWS, MEMORIES)),
        Port("memory_bias", single, (ROWS, MEMORIES)),
        Port("memory_scale", single, (ROWS, MEMORIES)),
        Port("pointers", kept, (ROWS, POINTERS, c // cm, cm)),
        Port("pointer_time", single, (ROWS, POINTERS)),
        Port("pointer_bias", single, (ROWS, POINTERS)),
        Port("pointer_scale", single, (ROWS, POINTERS)),
    )
    prompts = (
        stride8,
        stride4,
        conditioned,
        Port("coords", single, (ROWS, POINTS, 2)),
        Port("labels", torch.int32, (ROWS, POINTS)),
        Port("mask", single, (PROMPTED, 1, *logits)),
        Port("has_mask", torch.bool, (PROMPTED,)),
    )
    answer = (
        Port("masks", single, (ROWS, masks, *logits)),
        Port("iou", single, (ROWS, masks)),
        Port("pointers", single, (ROWS, masks, c)),
        Port("object_score", single, (ROWS, 1)),
    )
    given = Port("mask", torch.bool, (ROWS, 1, height, width))
    pointed = (Port("pointer", single, (ROWS, c)), Port("object_score", single, (ROWS, 1)))
    written = (
        stride16,
        Port("masks", single, (ROWS, 1, *logits)),
        Port("object_score", single, (ROWS, 1)),
        Port("binarize", torch.bool, (FLAGS,)),
    )
    memory = Port("memory", kept, (ROWS, cells, cm))
    read_out = conditioned._replace(shape=(ROWS, c, h, w))
    return [
        CallSpec("encode_image", EncodeImage, (images,), encoded),
        CallSpec("without_memory", WithoutMemory, (stride16,), (stride16._replace(name="conditioned"),)),
        CallSpec("read_memory", ReadMemory, read, (read_out,)),
        CallSpec("decode_prompts", DecodePrompts, prompts, answer),
        CallSpec("point_to_mask", PointToMask, (stride16, given), pointed),
        CallSpec("write_memory", WriteMemory, written, (memory,)),
    ]
