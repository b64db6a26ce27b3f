"""A guard against masks that a lost object takes the frame with."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np

from sam2v.memory.candidates import Candidates
from sam2v.memory.halves import check_range
from sam2v.memory.policy import Choice, Memo
from sam2v.memory.quality import quality_of

#: The usual area is the median of so many frames.
_AREAS = 10


@dataclass(frozen=True)
class FloodGuard:
    """Refuses answers of low quality that do not continue what was there: the object then is absent on that frame.

    A mask is refused if its quality is below `min_quality` and either the object was away, or the mask's area is more
    than `growth` times the latest one and the median of the last 10 that were not refused: what grows from frame to
    frame comes nearer. Quality is predicted IoU times how sure the
    object is there, see `QualityFrames`; areas are those of the low-resolution masks.

    Attributes:
        min_quality: from which no answer is refused, in [0, 1]; 0 refuses nothing.
        growth: of the area, at least 1.
        patience: from so many frames without the object on it is away, at least 1.

    Raises:
        ValueError: out of range.
    """

    min_quality: float = 0.15
    growth: float = 2.0
    patience: int = 3

    def __post_init__(self) -> None:
        check_range("min_quality", self.min_quality, 0.0, 1.0)
        check_range("growth", self.growth, 1.0)
        check_range("patience", self.patience, 1)

    def start(self) -> Memo:
        """What is kept about an object that was just prompted: any area is possible."""
        return {"areas": []}

    def refuses(self, memo: Memo, candidates: Candidates, choice: Choice, away: int) -> bool:
        """Whether an answer is refused, after so many frames without the object; the memo is brought up to date."""
        area = int(np.count_nonzero(candidates.masks[choice.row, choice.mask]))
        unsure = quality_of(candidates.iou[choice.row, choice.mask], candidates.object_score[choice.row])
        grown = bool(memo["areas"]) and area > self.growth * max(memo["areas"][-1], median(memo["areas"]))
        refused = area > 0 and unsure < self.min_quality and (grown or away >= self.patience)
        if area > 0 and not refused:
            memo["areas"] = [*memo["areas"], area][-_AREAS:]
        return refused
