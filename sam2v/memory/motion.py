"""Choice by motion: look-alikes are told apart by where the object can be (SAMURAI, arXiv 2411.11922)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sam2v.masks.boxes import box_iou, box_prompt
from sam2v.memory.candidates import Candidates
from sam2v.memory.halves import check_range
from sam2v.memory.kalman import BoxFilter
from sam2v.memory.policy import Choice, Hypothesis, Memo, Moment


class _Motion(NamedTuple):
    """What is known of an object's motion: for how many frames it was followed, and its box on the next one."""

    stable: int = 0
    expected: BoxFilter | None = None


@dataclass(frozen=True)
class MotionChoice:
    """Choice: predicted IoU, mixed with the IoU of the candidate's box and the box that a Kalman filter expects.

    The filter starts with the first box and is trusted once it has followed the object for `stable_frames`; a frame
    with a predicted IoU below `min_iou` starts it anew. A frame without any mask is no measurement and starts it anew
    too, as do prompts, gaps and a change of direction. Boxes are those of the low-resolution masks.

    Attributes:
        weight: of the motion, in [0, 1]; predicted IoU has the rest.
        min_iou: predicted IoU from which a box is a measurement, in [0, 1].
        stable_frames: frames before the motion counts, at least 1.

    Raises:
        ValueError: out of range.
    """

    weight: float = 0.15
    min_iou: float = 0.3
    stable_frames: int = 15

    looks = True

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0.0, 1.0)
        check_range("min_iou", self.min_iou, 0.0, 1.0)
        check_range("stable_frames", self.stable_frames, 1)

    def start(self) -> Memo:
        """Nothing is known of the motion."""
        return {}

    def choose(
        self, hypotheses: Sequence[Hypothesis], memos: Sequence[Memo], candidates: Candidates, moment: Moment
    ) -> Sequence[Choice]:
        """See `CandidateChoice`: of the first hypothesis."""
        known, scores = _motion(memos[0], moment), candidates.iou[0]
        if self.weight > 0 and known.expected is not None and known.stable >= self.stable_frames:
            near = np.array([box_overlap(known.expected.box, box_of(mask)) for mask in candidates.masks[0]])
            scores = (1 - self.weight) * scores + self.weight * near
        return [Choice(0, int(scores.argmax()))]

    def follow(self, memo: Memo, candidates: Candidates, choice: Choice, moment: Moment) -> Mapping[str, float]:
        """See `CandidateChoice`. Once it is trusted, "motion" is the IoU of the mask's box and the expected one."""
        known, box = _motion(memo, moment), box_of(candidates.masks[choice.row, choice.mask])
        trusted = known.expected is not None and known.stable >= self.stable_frames
        facts = {"motion": box_overlap(known.expected.box, box)} if known.expected is not None and trusted else {}
        memo.clear()
        if box is not None and candidates.iou[choice.row, choice.mask] >= self.min_iou:
            seen = BoxFilter.at(box) if known.expected is None else known.expected.updated(box)
            memo |= {
                "frame": moment.frame_idx,
                "reverse": moment.reverse,
                "stable": known.stable + 1,
                "mean": seen.mean.tolist(),
                "covariance": seen.covariance.tolist(),
            }
        return facts


def box_of(mask: np.ndarray) -> np.ndarray | None:
    """The box (x0, y0, x1, y1), outer edges, of an h x w mask; None of an empty one."""
    return np.array(box_prompt(mask)) if mask.any() else None


def _motion(memo: Memo, moment: Moment) -> _Motion:
    """What the memo says for a frame that follows the one it was written on."""
    if not memo or memo["reverse"] != moment.reverse or moment.distance(memo["frame"]) != 1:
        return _Motion()
    seen = BoxFilter(np.array(memo["mean"]), np.array(memo["covariance"]))
    return _Motion(memo["stable"], seen.predicted())


def box_overlap(a: np.ndarray, b: np.ndarray | None) -> float:
    """IoU of two boxes, 0 where there is no second one."""
    return 0.0 if b is None else float(box_iou(a[None], b[None])[0, 0])
