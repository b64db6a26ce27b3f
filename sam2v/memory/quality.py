"""Short-term halves that read the frames on which the model was sure (SAM 3's tracker; SAMURAI, arXiv 2411.11922)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sam2v.memory.candidates import Candidates
from sam2v.memory.entry import MemoryEntry
from sam2v.memory.halves import check_range
from sam2v.memory.past import Past
from sam2v.memory.policy import Choice, Read


def quality_of(iou: float, object_score: float) -> float:
    """Predicted IoU times how sure the object is there, 2 sigmoid(object score) - 1; 0 where it is not."""
    return math.tanh(object_score / 2) * float(iou) if object_score > 0 else 0.0


class SelectedFrames:
    """The frame before, and the latest frames that pass a test. Times are their places in that order, so that they stay
    among those that the model was trained with however far back a frame is."""

    looks = True

    def note(self, candidates: Candidates, choice: Choice) -> Mapping[str, float]:
        """Nothing more."""
        return {}

    def passes(self, facts: Mapping[str, float]) -> bool:
        """Whether a frame is read, by its facts; what was prompted has none."""
        raise NotImplementedError

    def memories(self, past: Past, count: int) -> list[Read]:
        """See `ShortTerm`."""
        found = zip(range(count), self._passing(past), strict=False)
        return [Read(frame_idx, entry, row) for row, (frame_idx, entry) in found][::-1]

    def pointers(self, past: Past) -> list[Read]:
        """See `ShortTerm`."""
        found = zip(range(1, past.moment.max_pointers), self._passing(past), strict=False)
        return [Read(frame_idx, entry, distance) for distance, (frame_idx, entry) in found]

    def _passing(self, past: Past) -> Iterator[tuple[int, MemoryEntry]]:
        """The frames that are read, nearest first."""
        before = past.moment.ago(1)
        return ((f, entry) for f, entry in past.nearest() if f == before or self.passes(entry.facts))


@dataclass(frozen=True)
class QualityFrames(SelectedFrames):
    """Short-term half: frames of a quality, the rule of SAM 3's tracker.

    Quality is predicted IoU times how sure the object is there, 2 sigmoid(object score) - 1, and 0 where it is not.

    Attributes:
        min_quality: the lowest quality that is read, in [0, 1]; 0 reads every frame.

    Raises:
        ValueError: outside [0, 1].
    """

    min_quality: float = 0.01

    def __post_init__(self) -> None:
        check_range("min_quality", self.min_quality, 0.0, 1.0)

    def passes(self, facts: Mapping[str, float]) -> bool:
        """See `SelectedFrames`."""
        return quality_of(facts.get("iou", 1.0), facts.get("object_score", math.inf)) >= self.min_quality


@dataclass(frozen=True)
class SureFrames(SelectedFrames):
    """Short-term half: frames on which predicted IoU and object score are high enough, and the mask was not where the
    motion says it cannot be (SAMURAI's rule; SAM2Long's without the motion, which nothing notes there).

    Attributes:
        min_iou: the lowest predicted IoU, in [0, 1].
        min_object_score: the object score logit has to be above it.
        min_motion: the IoU of the mask's box with the expected one, in [0, 1], has to be above it, where it is known.

    Raises:
        ValueError: out of range.
    """

    min_iou: float = 0.5
    min_object_score: float = 0.0
    min_motion: float = 0.0

    def __post_init__(self) -> None:
        check_range("min_iou", self.min_iou, 0.0, 1.0)
        check_range("min_object_score", self.min_object_score, -100.0, 100.0)
        check_range("min_motion", self.min_motion, 0.0, 1.0)

    def passes(self, facts: Mapping[str, float]) -> bool:
        """See `SelectedFrames`."""
        sure = facts.get("iou", 1.0) >= self.min_iou and facts.get("object_score", math.inf) > self.min_object_score
        return sure and facts.get("motion", 1.0) > self.min_motion
