"""The network's calls on exported graphs: arrays in, arrays out; what the graphs leave open is done here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sam2v.arrays import floats, resized
from sam2v.model.offered import offered_masks
from sam2v.model.values import ImageFeatures, Prediction, Prompts, TokenGroup, Wanted
from sam2v.runtime.graphs import Graphs


class GraphCalls:
    """The calls, as `sam2v.model.network.Sam2Network` describes them; `sam2v.model.calls.Calls` in NumPy.

    Args:
        graphs: the exported graphs. no_mem_embed: C, added to the features of a frame that has no memory yet.
    """

    def __init__(self, graphs: Graphs, no_mem_embed: np.ndarray) -> None:
        self._graphs, self._config = graphs, graphs.config
        self._no_mem_embed = no_mem_embed.reshape(1, -1, 1, 1)
        height, width = self._config.input_size
        self._grid = (height // 16, width // 16)

    def encode_image(self, images: np.ndarray) -> ImageFeatures:
        """Encode B x H x W x 3 pictures, bytes or floats in [0, 1]."""
        if images.dtype != np.uint8:
            images = images * np.float32(255)
            if self._graphs.takes("encode_image", "images") == "uint8":
                images = images.round()
        h, w = self._grid
        count, channels = len(images), self._config.hidden_dim
        shapes = [(count, channels // part, side * h, side * w) for part, side in ((1, 1), (4, 2), (8, 4))]
        return ImageFeatures(*self._graphs.run("encode_image", {"images": images}, shapes))

    def without_memory(self, features: ImageFeatures) -> np.ndarray:
        """Features of a frame that has no memory yet, B x C x h x w."""
        return features.stride16 + self._no_mem_embed.astype(features.stride16.dtype)

    def read_memory(self, features: ImageFeatures, memory: Sequence[TokenGroup]) -> np.ndarray:
        """Condition stride-16 features on what N rows read: N x C x h x w."""
        memories = _joined([group for group in memory if group.has_grid])
        pointers = [group for group in memory if not group.has_grid]
        rows, _, _, width = memories.tokens.shape
        if pointers:
            pointed = _joined(pointers)
        else:
            none = np.zeros((rows, 0, self._config.hidden_dim // width, width), np.float32)
            pointed = TokenGroup(none, none[:, :, 0, 0], False)
        given = {"stride16": features.stride16, "memories": memories.tokens, "pointers": pointed.tokens}
        for kind, group in (("memory", memories), ("pointer", pointed)):
            given[f"{kind}_time"] = group.time
            given[f"{kind}_bias"] = np.zeros(group.time.shape) if group.bias is None else group.bias
            given[f"{kind}_scale"] = np.ones(group.time.shape) if group.scale is None else group.scale
        shape = (rows, *features.stride16.shape[1:])
        return self._graphs.run("read_memory", given, [shape])[0]

    def decode_prompts(
        self, features: ImageFeatures, conditioned: np.ndarray, prompts: Prompts, wanted: Wanted
    ) -> Prediction:
        """Turn N prompts into masks."""
        (h, w), rows = self._grid, len(prompts.coords)
        size, count = (4 * h, 4 * w), self._config.decoder.num_multimask_outputs + 1
        mask = np.zeros((1, 1, *size), np.float32) if prompts.mask is None else floats(prompts.mask)
        if mask.shape[2:] != size:
            mask = resized(mask, size, antialias=True)
        given = {
            "stride8": features.stride8,
            "stride4": features.stride4,
            "conditioned": conditioned,
            "coords": prompts.coords,
            "labels": prompts.labels,
            "mask": mask,
            "has_mask": np.full(len(mask), prompts.mask is not None),
        }
        shapes = [(rows, count, *size), (rows, count), (rows, count, self._config.hidden_dim), (rows, 1)]
        masks, iou, pointers, score = self._graphs.run("decode_prompts", given, shapes)
        offered = offered_masks(masks, iou, pointers, wanted, self._config.decoder)
        return Prediction(*offered, score)

    def point_to_mask(self, features: ImageFeatures, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Object pointer N x C and score N x 1 of masks that were given, N x 1 x H x W booleans (or 0 and 1)."""
        shapes = [(len(mask), self._config.hidden_dim), (len(mask), 1)]
        given = {"stride16": features.stride16, "mask": mask}
        pointer, score = self._graphs.run("point_to_mask", given, shapes)
        return pointer, score

    def write_memory(
        self, features: ImageFeatures, masks: np.ndarray, object_score: np.ndarray, binarize: bool | np.ndarray = False
    ) -> np.ndarray:
        """Encode N masks (N x 1 x 4h x 4w logits) of a frame as memories, N x L x Cm."""
        (h, w), memory = self._grid, self._config.memory
        cells = -(-h // memory.pool) * -(-w // memory.pool)
        flags = np.asarray(binarize).reshape(-1)
        given = {"stride16": features.stride16, "masks": masks, "object_score": object_score, "binarize": flags}
        return self._graphs.run("write_memory", given, [(len(masks), cells, memory.mem_dim)])[0]


def _joined(groups: Sequence[TokenGroup]) -> TokenGroup:
    """Groups of one kind as one."""
    if len(groups) == 1:
        return groups[0]
    biases = [np.zeros(g.time.shape, np.float32) if g.bias is None else g.bias for g in groups]
    scales = [np.ones(g.time.shape, np.float32) if g.scale is None else g.scale for g in groups]
    parts = ([g.tokens for g in groups], [g.time for g in groups], biases, scales)
    tokens, time, bias, scale = (np.concatenate(part, axis=1) for part in parts)
    return TokenGroup(tokens, time, groups[0].has_grid, bias, scale)
