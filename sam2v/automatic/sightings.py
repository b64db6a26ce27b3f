"""What association looks at: candidates that were found on a frame, and what the tracker shows of its objects there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sam2v.masks.bits import MaskBits
from sam2v.masks.boxes import mask_to_box

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Detections:
    """N candidates on a frame, from masks proposed at points or from any detector.

    Attributes:
        scores: N, the higher the better.
        masks: of the candidates, at the resolution of the tracker's; None where there are boxes alone.
        boxes: N x 4 (x0, y0, x1, y1) as shares of the frame's width and height; None takes those of the masks.
        labels: N names of what they are, None where nobody says.

    Raises:
        ValueError: neither masks nor boxes, or parts of different lengths.
    """

    scores: Numbers
    masks: MaskBits | None = None
    boxes: Numbers | None = None
    labels: Sequence[str | None] | None = None

    def __post_init__(self) -> None:
        if self.masks is None and self.boxes is None:
            raise ValueError("detections need masks or boxes")
        for name in ("masks", "boxes", "labels"):
            part = getattr(self, name)
            if part is not None and len(part) != len(self.scores):
                raise ValueError(f"{name} must have one entry per score: {len(self.scores)} expected, got {len(part)}")

    def __len__(self) -> int:
        return len(self.scores)

    def label(self, row: int) -> str | None:
        """What a candidate is."""
        return None if self.labels is None else self.labels[row]

    def select(self, rows: Sequence[int]) -> Detections:
        """Some of the candidates, in the order given."""
        chosen = np.asarray(rows, np.int64)
        boxes = None if self.boxes is None else self.boxes[chosen]
        labels = None if self.labels is None else [self.labels[row] for row in chosen.tolist()]
        return Detections(self.scores[chosen], None if self.masks is None else self.masks[chosen], boxes, labels)

    def outlines(self) -> Numbers:
        """N x 4 boxes: those given, else those of the masks."""
        if self.boxes is not None:
            return self.boxes
        assert self.masks is not None
        return boxes_of(self.masks)


@dataclass(frozen=True, eq=False)
class Shown:
    """What the tracker shows of N objects on a frame.

    Attributes:
        obj_ids: their ids.
        masks: theirs, in this order; empty where an object is not to be seen.
        quality: N, how good the masks are, 0 to 1: predicted IoU times stability.
    """

    obj_ids: Sequence[int]
    masks: MaskBits
    quality: Numbers

    @cached_property
    def row(self) -> dict[int, int]:
        """Which row an object has."""
        return {obj_id: row for row, obj_id in enumerate(self.obj_ids)}

    @cached_property
    def seen(self) -> npt.NDArray[np.bool_]:
        """N, whether anything of an object is to be seen."""
        return self.masks.areas > 0

    @cached_property
    def boxes(self) -> Numbers:
        """N x 4 boxes, as those of `Detections`."""
        return boxes_of(self.masks)

    @cached_property
    def overlaps(self) -> Numbers:
        """N x N mask IoU of the objects with each other."""
        return self.masks.iou(self.masks)

    def only(self, obj_ids: Sequence[int]) -> Shown:
        """What is shown of some of the objects, in their order."""
        rows = [self.row[obj_id] for obj_id in obj_ids]
        return Shown(list(obj_ids), self.masks[rows], self.quality[np.asarray(rows, np.int64)])


def boxes_of(masks: MaskBits) -> Numbers:
    """N x 4 tight boxes of masks as shares of width and height; zeros where a mask is empty."""
    height, width = masks.size
    boxes = mask_to_box(masks.planes()).astype(np.float64)
    boxes[:, 2:] += 1
    boxes[masks.areas == 0] = 0
    return boxes / [width, height, width, height]
