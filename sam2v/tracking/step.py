"""What happens to a frame, as functions of tensors: tracking, prompting with points, prompting with a mask,
remembering.

Inference and training both go through these; none of them keeps anything or switches gradients off.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.memory import Selection
from sam2v.model.network import ImageFeatures, MemoryRead, Prediction, Sam2Network, gate_by_score
from sam2v.tracking.prompts import no_points, with_padding

#: Previous mask logits are clamped to this before they serve as a prompt.
PROMPT_LOGIT_LIMIT = 32.0
#: Logits of a mask that was given rather than predicted.
GIVEN_LOGIT = 10.0


def gather_memory(selections: Sequence[Selection], max_pointers: int) -> MemoryRead:
    """Stack what N objects read into one padded value.

    Args:
        selections: one per object, each with at least one memory.
        max_pointers: pointer limit; distances are given to the network relative to it.
    """
    tokens_per_object = {(len(s.maps), len(s.pointers)) for s in selections}
    most_maps = max(len(s.maps) for s in selections)
    most_pointers = max(len(s.pointers) for s in selections)
    sample = selections[0].maps[0][0]
    assert sample.memory is not None
    maps = sample.memory.new_zeros(len(selections), most_maps, *sample.memory.shape)
    pointers = sample.pointer.new_zeros(len(selections), most_pointers, *sample.pointer.shape)
    map_rows, pointer_rows = [], []
    for i, selection in enumerate(selections):
        for k, (entry, _) in enumerate(selection.maps):
            assert entry.memory is not None  # policies choose entries that have one
            maps[i, k] = entry.memory
        for k, (entry, _) in enumerate(selection.pointers):
            pointers[i, k] = entry.pointer
        spare = most_pointers - len(selection.pointers)
        map_rows.append([row for _, row in selection.maps] + [-1] * (most_maps - len(selection.maps)))
        pointer_rows.append([d / (max_pointers - 1) for _, d in selection.pointers] + [float("nan")] * spare)
    device = maps.device
    return MemoryRead(
        maps,
        torch.tensor(map_rows, device=device),
        pointers,
        torch.tensor(pointer_rows, dtype=torch.float32, device=device).reshape(len(selections), most_pointers),
        padded=len(tokens_per_object) > 1,
    )


def track_objects(
    network: Sam2Network, features: ImageFeatures, read: MemoryRead, dynamic_multimask: bool = True
) -> Prediction:
    """Find N objects on a frame from memory alone, in one batched call per network part."""
    conditioned = network.read_memory(features, read)
    coords, labels = no_points(len(read.maps), conditioned.device)
    # tracked frames are ambiguous: the released models take the best of the three masks there
    return gate_by_score(
        network.decode_prompts(
            features, conditioned, coords, labels, multimask=True, dynamic_multimask=dynamic_multimask
        )
    )


def prompt_with_points(
    network: Sam2Network,
    features: ImageFeatures,
    conditioned: Tensor,
    coords: Tensor,
    labels: Tensor,
    previous: Tensor | None = None,
    dynamic_multimask: bool = True,
) -> Prediction:
    """Answer points on a frame.

    Args:
        features: the frame's features.
        conditioned: its stride-16 features after memory, or ``network.without_memory(features)``.
        coords: N x P x 2 in network pixels; labels: N x P. A box counts as two points.
        previous: N x 1 x 4h x 4w mask logits of the objects' earlier answer on this frame, or None.
    """
    if previous is not None:
        previous = previous.clamp(-PROMPT_LOGIT_LIMIT, PROMPT_LOGIT_LIMIT)
    multimask = labels.shape[1] <= 1
    return gate_by_score(
        network.decode_prompts(
            features, conditioned, *with_padding(coords, labels), previous, multimask, dynamic_multimask
        )
    )


def prompt_with_mask(network: Sam2Network, features: ImageFeatures, mask: Tensor) -> Prediction:
    """Take N masks (N x 1 x H x W of 0 and 1 at the network's input size) as they are; the answer has one mask of
    IoU 1."""
    pointer, score = network.point_to_mask(features, mask)
    logits = mask * (2 * GIVEN_LOGIT) - GIVEN_LOGIT
    low = [side // 4 for side in mask.shape[-2:]]
    logits = F.interpolate(logits, low, mode="bilinear", align_corners=False, antialias=True)
    iou = torch.ones_like(score)
    return Prediction(logits, iou, score, logits, iou, pointer)
