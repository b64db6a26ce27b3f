"""Answering prompts: those of many objects on a frame together, in as few calls as they differ in shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

import numpy as np

from sam2v.arrays import Array, Device, namespace, on_device
from sam2v.model.calls import Calls
from sam2v.model.offered import gate_by_score
from sam2v.model.values import Answer, ImageFeatures, Prompts
from sam2v.tracking.prompts import MaskPrompt, PointPrompt
from sam2v.tracking.step import prompt_with_mask, prompt_with_points


class Pointed(NamedTuple):
    """An object with points on a frame.

    Attributes:
        obj_id: its id. points: its points.
        previous: h4 x w4 logits of its earlier answer on the frame, or None.
        conditioned: C x h x w features after its memory, or None where it has none.
    """

    obj_id: int
    points: PointPrompt
    previous: Array | None
    conditioned: Array | None

    @property
    def shape(self) -> tuple[int, bool, bool]:
        """What must be alike in one call."""
        return len(self.points), self.previous is not None, self.conditioned is not None


def answer_masks(
    calls: Calls, features: ImageFeatures, masks: Mapping[int, MaskPrompt], device: Device
) -> dict[int, Answer]:
    """Answers to masks, by object."""
    if not masks:
        return {}
    planes = on_device(np.stack([mask.plane() for mask in masks.values()])[:, None], device)
    return dict(zip(masks, _each(prompt_with_mask(calls, features, planes).pick()), strict=True))


def answer_points(
    calls: Calls, features: ImageFeatures, pointed: Iterable[Pointed], device: Device, dynamic: bool
) -> dict[int, Answer]:
    """Answers to points, by object; the masks of absent objects are gated."""
    found: dict[int, Answer] = {}
    for (_, refines, remembers), alike in groupby(sorted(pointed, key=lambda p: p.shape), key=lambda p: p.shape):
        group = list(alike)
        coords = on_device(np.stack([p.points.coords for p in group]), device)
        labels = on_device(np.stack([p.points.labels for p in group]), device)
        xp = namespace(coords)
        previous = xp.stack([p.previous for p in group if p.previous is not None])[:, None] if refines else None
        if remembers:
            conditioned = xp.stack([p.conditioned for p in group if p.conditioned is not None])
        else:
            conditioned = calls.without_memory(features)
        points = Prompts(coords, labels, previous)
        answer = gate_by_score(prompt_with_points(calls, features, conditioned, points, dynamic)).pick()
        found.update(zip((p.obj_id for p in group), _each(answer), strict=True))
    return found


def _each(answer: Answer) -> Iterator[Answer]:
    """The answers of single rows, batch 1."""
    for row in range(len(answer.iou)):
        yield Answer(*(part[row : row + 1] for part in answer))
