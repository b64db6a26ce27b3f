"""What a `Policy` is put together from: a short-term half, a long-term half, and a choice among candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from sam2v.memory.candidates import Candidates
from sam2v.memory.past import Past
from sam2v.memory.policy import Choice, Hypothesis, Memo, Moment, Read


class ShortTerm(Protocol):
    """Which tracked frames are read.

    What it may read on a later frame is part of what it would read on the next one, or was tracked since: a window of
    the history keeps no more than that.
    """

    @property
    def looks(self) -> bool:
        """Whether it needs facts about the frames, see `MemoryPolicy.looks`."""

    def note(self, candidates: Candidates, choice: Choice) -> Mapping[str, float]:
        """Facts to keep with an answer, beside "iou" (predicted) and "object_score" (logit)."""

    def memories(self, past: Past, count: int) -> list[Read]:
        """At most `count` memories, the farthest first; `time` is a row of the temporal table, 0 for the nearest."""

    def pointers(self, past: Past) -> list[Read]:
        """At most `past.moment.max_pointers - 1` object pointers, the nearest first; `time` is their distance."""


class LongTerm(Protocol):
    """Which tracked frames are kept for good, and read as prompted frames are."""

    @property
    def looks(self) -> bool:
        """Whether it looks at candidates, see `MemoryPolicy.looks`."""

    def start(self) -> Memo:
        """What it keeps about an object that was just prompted."""

    def anchors(self, hypothesis: Hypothesis, memo: Memo) -> list[int]:
        """Frames to read."""

    def keeps(self, hypothesis: Hypothesis, memo: Memo, candidates: Candidates, choice: Choice, moment: Moment) -> bool:
        """Whether the answer becomes an anchor; its memo may be changed here, and older anchors given up."""


class CandidateChoice(Protocol):
    """Which candidate masks live on."""

    @property
    def looks(self) -> bool:
        """Whether it needs more than each row's best predicted IoU, see `MemoryPolicy.looks`."""

    def start(self) -> Memo:
        """What it keeps about an object that was just prompted."""

    def choose(
        self, hypotheses: Sequence[Hypothesis], memos: Sequence[Memo], candidates: Candidates, moment: Moment
    ) -> Sequence[Choice]:
        """See `MemoryPolicy.choose`; `memos` are its own, one per hypothesis."""

    def follow(self, memo: Memo, candidates: Candidates, choice: Choice, moment: Moment) -> Mapping[str, float]:
        """Bring the memo of a hypothesis that lives on up to date; gives facts to keep with its answer."""


def check_range(what: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise ValueError, naming the parameter, unless low <= value <= high (which nan never is)."""
    if not low <= value <= high:
        accepted = f"at least {low:g}" if high == math.inf else f"in [{low:g}, {high:g}]"
        raise ValueError(f"{what} must be {accepted}, got {value!r}")
