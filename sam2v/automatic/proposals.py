"""Masks proposed at points of an encoded image, at low resolution: decoded in batches, scored, filtered, told apart.

Nothing here asks where the features come from: those of a photograph, of a crop or of a frame that is tracked anyway
are all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from sam2v.automatic.options import MaskOptions, checked_points
from sam2v.backends.batched import BatchedCalls
from sam2v.masks.boxes import mask_to_box
from sam2v.masks.logits import packed
from sam2v.model.values import ImageFeatures, Prediction, Prompts, Wanted
from sam2v.tracking.step import with_padding

#: Logits are clamped to this before they are a prompt.
_LOGIT_LIMIT = 32.0
#: Masks that may be kept before those with the same boxes are dropped.
_WAITING = 256


@dataclass(frozen=True, eq=False)
class Proposals:
    """N masks proposed on an image, as a value: filtered, sorted and joined, never changed.

    Attributes:
        logits: N x h x w mask logits at low resolution (a quarter of the network's input), less the mask threshold:
            > 0 is the object. float32, on the device.
        iou: N predicted IoU. stability: N, at low resolution. object_score: N logits; > 0 says there is an object. On
            the device.
        points: N x 2 float64 (x, y) in [0, 1], where each mask was proposed. On the CPU.
    """

    logits: Tensor
    iou: Tensor
    stability: Tensor
    object_score: Tensor
    points: Tensor

    def __len__(self) -> int:
        return len(self.iou)

    def __getitem__(self, rows: Any) -> Proposals:
        """Some of the masks, or all in another order: a slice, or indices or booleans in a tensor."""
        rows = rows if isinstance(rows, slice) else torch.as_tensor(rows)
        return Proposals(*(part[_beside(rows, part)] for part in self._parts()))

    @classmethod
    def joined(cls, parts: Sequence[Proposals]) -> Proposals:
        """The masks of several proposals, at least one, one after the other."""
        return cls(*map(torch.cat, zip(*(part._parts() for part in parts), strict=True)))

    def masks(self) -> Tensor:
        """N x h x w booleans."""
        return self.logits > 0

    def bits(self) -> Tensor:
        """Masks as bits, N x ceil(h * w / 8) uint8, as `sam2v.masks.logits.packed` makes them."""
        return packed(self.masks())

    def boxes(self) -> Tensor:
        """N x 4 float32 (x0, y0, x1, y1) in low-resolution pixels, ends included; zeros where a mask is empty."""
        return mask_to_box(self.masks())

    def distinct(self, max_iou: float) -> Proposals:
        """The best by predicted IoU of those whose boxes overlap by more than `max_iou`, best first."""
        return self[keep_distinct(self.boxes(), self.iou, max_iou)]

    def _parts(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]


def propose(backend: BatchedCalls, features: ImageFeatures, points: Any, options: MaskOptions) -> Proposals:
    """The masks of an image that are good, stable and distinct, best first.

    Stability and boxes are taken at low resolution. About 256 masks beyond those returned are held at a time: of so
    many that wait, those that overlap a better one are dropped before the next are decoded.

    Args:
        backend: the network's calls.
        features: the image's, batch 1.
        points: P x 2 (x, y) in [0, 1].
        options: of them count how points are decoded, the thresholds of predicted IoU and stability, and
            `box_nms_thresh`.

    Raises:
        ValueError, TypeError: the points are no such array.
    """
    kept: Proposals | None = None
    waiting = 0
    for batch in decode_points(backend, features, points, options):
        stable = batch[batch.stability >= options.stability_score_thresh]
        kept = stable if kept is None else Proposals.joined([kept, stable])
        waiting += len(stable)
        if waiting > _WAITING:
            kept, waiting = kept.distinct(options.box_nms_thresh), 0
    assert kept is not None  # there is a point at least
    return kept.distinct(options.box_nms_thresh)


def decode_points(
    backend: BatchedCalls, features: ImageFeatures, points: Any, options: MaskOptions
) -> Iterator[Proposals]:
    """The masks at points whose predicted IoU is good enough, batch by batch of points; arguments as `propose`."""
    places = torch.from_numpy(checked_points(points, "points"))
    conditioned = backend.without_memory(features)
    for some in places.split(options.points_per_batch):
        yield _decode(backend, features, conditioned, some, options)


def keep_distinct(boxes: Tensor, scores: Tensor, max_iou: float) -> Tensor:
    """Indices of the boxes that stay when each drops those of lower score that it overlaps by more than `max_iou`
    (non-maximum suppression), by falling score.

    Args:
        boxes: N x 4 (x0, y0, x1, y1). scores: N.
    """
    from torchvision.ops import nms

    return nms(boxes.float(), scores.float(), max_iou)


def stability_of(inner: Tensor, outer: Tensor) -> Tensor:
    """Overlap of masks cut slightly above and slightly below their threshold, from the areas of both; 0 where there is
    none."""
    return inner / outer.clamp(min=1)


def stability(logits: Tensor, offset: float) -> Tensor:
    """Overlap of N x h x w logits cut `offset` above and below 0, N; see `stability_of`."""
    return stability_of(*((logits > level).sum((1, 2)) for level in (offset, -offset)))


def _decode(
    backend: BatchedCalls, features: ImageFeatures, conditioned: Tensor, points: Tensor, options: MaskOptions
) -> Proposals:
    """Decode P points."""
    prompts = _prompts(points, features)
    least = 0.0 if options.use_m2m else options.pred_iou_thresh
    answer = backend.decode_prompts(features, conditioned, prompts, Wanted(options.multimask_output, least_iou=least))
    points = points.repeat_interleave(answer.iou.shape[1], dim=0)
    if options.use_m2m:
        answer = _refined(backend, features, conditioned, points, answer, options)
    masks, iou = answer.masks.flatten(0, 1), answer.iou.flatten()
    score = answer.object_score.expand_as(answer.iou).flatten()
    good = (iou > options.pred_iou_thresh if options.pred_iou_thresh > 0 else torch.ones_like(iou)).nonzero()[:, 0]
    logits = masks[good]
    logits = logits - options.mask_threshold if options.mask_threshold else logits
    steady = stability(logits, options.stability_score_offset)
    return Proposals(logits, iou[good], steady, score[good], points[good.cpu()])


def _refined(
    backend: BatchedCalls,
    features: ImageFeatures,
    conditioned: Tensor,
    points: Tensor,
    answer: Prediction,
    options: MaskOptions,
) -> Prediction:
    """The answers to each of N x M candidate masks and its point: N * M rows of one mask."""
    shown = answer.masks.flatten(0, 1)[:, None].clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT)
    parts = []
    for some, masks in zip(*(x.split(options.points_per_batch) for x in (points, shown)), strict=True):
        prompts = _prompts(some, features)._replace(mask=masks)
        least = options.pred_iou_thresh
        parts.append(backend.decode_prompts(features, conditioned, prompts, Wanted(False, least_iou=least)))
    return Prediction(*map(torch.cat, zip(*parts, strict=True)))


def _prompts(points: Tensor, features: ImageFeatures) -> Prompts:
    """A positive click at each of P points in [0, 1]."""
    height, width = (16 * side for side in features.grid)
    coords = (points * torch.tensor([width, height])).float()[:, None].to(features.stride16.device)
    return with_padding(coords, coords.new_ones(len(points), 1, dtype=torch.long))


def _beside(rows: Any, part: Tensor) -> Any:
    return rows if isinstance(rows, slice) else rows.to(part.device)
