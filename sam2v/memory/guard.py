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
    """Refuses answers that the model is not sure of where there is reason to doubt: the object is absent there then.

    A mask is refused if its area jumps from one frame to the next and its quality is below `min_quality`; or if the
    object was absent, was looked for with what was prompted alone, and the quality is below `min_found`. Quality is
    predicted IoU times how sure the object is there, see `QualityFrames`; an area jumps if it is more than `growth`
    times the median of the last 10 that were not refused. Areas are those of the low-resolution masks.

    Attributes:
        min_quality, min_found: in [0, 1]; 0 refuses nothing. growth: of the area, at least 1.

    Raises:
        ValueError: out of range.
    """

    min_quality: float = 0.15
    min_found: float = 0.35
    growth: float = 2.0

    def __post_init__(self) -> None:
        check_range("min_quality", self.min_quality, 0.0, 1.0)
        check_range("min_found", self.min_found, 0.0, 1.0)
        check_range("growth", self.growth, 1.0)

    def start(self) -> Memo:
        """What is kept about an object that was just prompted: any area is possible."""
        return {"areas": []}

    def refuses(self, memo: Memo, candidates: Candidates, choice: Choice, away: int, alone: bool) -> bool:
        """Whether an answer is refused; the memo is brought up to date.

        Args:
            away: on how many frames up to the one before the object was absent.
            alone: whether it was looked for with what was prompted alone.
        """
        area = int(np.count_nonzero(candidates.masks[choice.row, choice.mask]))
        quality = quality_of(candidates.iou[choice.row, choice.mask], candidates.object_score[choice.row])
        jumps = away == 0 and bool(memo["areas"]) and area > self.growth * median(memo["areas"])
        needed = self.min_found if alone else self.min_quality if jumps else 0.0
        refused = area > 0 and quality < needed
        if area > 0 and not refused:
            memo["areas"] = [*memo["areas"], area][-_AREAS:]
        return refused
