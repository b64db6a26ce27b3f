"""Choice among several ways at once: a tree of hypotheses (SAM2Long, arXiv 2410.16268, section 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sam2v.memory.candidates import Candidates
from sam2v.memory.halves import check_range
from sam2v.memory.policy import Choice, Hypothesis, Memo, Moment

#: Added to a predicted IoU before its logarithm is taken.
_LEAST = 1e-5


@dataclass(frozen=True)
class TreeChoice:
    """Choice: the candidates of all hypotheses compete; several live on, each with its own memory.

    A hypothesis' score is the sum of the logarithms of its masks' predicted IoU. Where the object score of some
    hypothesis is sure, the best candidates live on; elsewhere the best ones that differ, in predicted IoU or in whether
    the object is there, so that the hypotheses do not become one. The best so far is shown at once.

    Attributes:
        hypotheses: how many live on, 1 to 16; 1 is `BestIou`.
        sure: object score logit, either sign, from which a frame is sure, at least 0.

    Raises:
        ValueError: out of range.
    """

    hypotheses: int = 3
    sure: float = 2.0

    looks = True

    def __post_init__(self) -> None:
        check_range("hypotheses", self.hypotheses, 1, 16)
        check_range("sure", self.sure, 0.0)

    def start(self) -> Memo:
        """Scores are with the hypotheses: nothing has to be kept."""
        return {}

    def choose(
        self, hypotheses: Sequence[Hypothesis], memos: Sequence[Memo], candidates: Candidates, moment: Moment
    ) -> Sequence[Choice]:
        """See `CandidateChoice`: the best first. Scores are relative to the best, and so stay small."""
        every = [
            Choice(row, mask, hypothesis.score + math.log(float(iou) + _LEAST))
            for row, hypothesis in enumerate(hypotheses)
            for mask, iou in enumerate(candidates.iou[row])
        ]
        ranked = sorted(every, key=lambda choice: -choice.score)
        if float(abs(candidates.object_score).max()) <= self.sure:
            ranked = _different_first(ranked, candidates)
        living = sorted(ranked[: self.hypotheses], key=lambda choice: -choice.score)
        return [choice._replace(score=choice.score - living[0].score) for choice in living]

    def follow(self, memo: Memo, candidates: Candidates, choice: Choice, moment: Moment) -> Mapping[str, float]:
        """Nothing."""
        return {}


def _different_first(ranked: Sequence[Choice], candidates: Candidates) -> list[Choice]:
    """Candidates that differ from all better ones, then the best of rows that are not among them, then the rest."""
    kinds: set[float] = set()
    different: list[Choice] = []
    rest: list[Choice] = []
    for choice in ranked:
        iou = round(float(candidates.iou[choice.row, choice.mask]), 2)
        kind = iou if candidates.object_score[choice.row] > 0 else -1 - iou
        (rest if kind in kinds else different).append(choice)
        kinds.add(kind)
    rows = {choice.row for choice in different}
    return different + sorted(rest, key=lambda choice: choice.row in rows)
