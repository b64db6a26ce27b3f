"""Guards against masks that a lost object takes the frame with, or takes something else for itself."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np

from sam2v.memory.candidates import Candidates
from sam2v.memory.halves import check_range
from sam2v.memory.motion import box_of, box_overlap
from sam2v.memory.policy import Choice, Memo
from sam2v.memory.quality import quality_of

#: The usual area is the median of so many frames.
_AREAS = 10
#: An object on trial may lose so much of its best quality; where one failed, boxes overlap by more than this, and a new
#: one needs so many times its quality.
_DROP, _SAME_PLACE, _BETTER = 0.5, 0.1, 1.5


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

    def refuses(self, memo: Memo, candidates: Candidates, choice: Choice, away: int) -> int:
        """Whether an answer is refused, after so many frames without the object; the memo is brought up to date.

        Returns:
            From how many frames the object then is away; 0 if the answer is not refused.
        """
        area = int(np.count_nonzero(candidates.masks[choice.row, choice.mask]))
        unsure = _quality(candidates, choice) < self.min_quality
        grown = bool(memo["areas"]) and area > self.growth * max(memo["areas"][-1], median(memo["areas"]))
        if area > 0 and unsure and (grown or away >= self.patience):
            return away + 1
        if area > 0:
            memo["areas"] = [*memo["areas"], area][-_AREAS:]
        return 0


@dataclass(frozen=True)
class TrialGuard(FloodGuard):
    """A `FloodGuard` that has an object which comes back on trial until it is surely there.

    Something that is a little like the object is often taken for it once, and less and less surely then, while the
    object itself becomes surer as more of it is seen. A mask whose quality falls below half of the best since it came
    back is refused, and the object is away as before. What comes up at such a place again is refused as well, unless
    it is half as much better.

    Attributes:
        sure: quality that ends the trial, in [0, 1]; 0 tries nothing.

    Raises:
        ValueError: out of range.
    """

    sure: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("sure", self.sure, 0.0, 1.0)

    def start(self) -> Memo:
        """Nothing is on trial, and nothing failed."""
        return {**super().start(), "trial": None, "failed": None}

    def refuses(self, memo: Memo, candidates: Candidates, choice: Choice, away: int) -> int:
        """See `FloodGuard`."""
        refused = super().refuses(memo, candidates, choice, away)
        mask = candidates.masks[choice.row, choice.mask]
        if refused:
            memo["trial"] = None
        box = box_of(mask)
        if refused or box is None:
            return refused
        quality, failed = _quality(candidates, choice), memo["failed"]
        if away >= self.patience:
            same = failed is not None and box_overlap(box, np.array(failed["box"])) > _SAME_PLACE
            if same and quality < _BETTER * failed["best"]:
                return away + 1
            memo["trial"] = {"box": box.tolist(), "best": quality, "away": away}
        trial = memo["trial"]
        if trial and quality >= self.sure:
            memo["trial"] = memo["failed"] = None
        elif trial and quality < _DROP * trial["best"]:
            memo["trial"], memo["failed"] = None, trial
            return int(trial["away"]) + 1
        elif trial:
            trial["best"] = max(trial["best"], quality)
        return 0


def _quality(candidates: Candidates, choice: Choice) -> float:
    return float(quality_of(candidates.iou[choice.row, choice.mask], candidates.object_score[choice.row]))
