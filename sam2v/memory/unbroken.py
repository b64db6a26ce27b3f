"""A short-term half that looks for an object that went away in two ways."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sam2v.memory.candidates import Candidates
from sam2v.memory.halves import check_range
from sam2v.memory.past import Past
from sam2v.memory.policy import Choice, Read
from sam2v.memory.recent import RecentFrames


@dataclass(frozen=True)
class UnbrokenFrames:
    """Short-term half: the latest tracked frames, back to where the object was last away.

    While it is away it is looked for in two ways by turns. With what was prompted, and with anchors, alone: an object
    that leaves is seen in part at last, and frames without it say nothing about it. And with the latest frames: they
    say that what is there now is something else.

    Attributes:
        patience: from so many frames without the object on it is away, at least 1.

    Raises:
        ValueError: a patience below 1.
    """

    patience: int = 3

    looks = True

    def __post_init__(self) -> None:
        check_range("patience", self.patience, 1)

    def note(self, candidates: Candidates, choice: Choice) -> Mapping[str, float]:
        """Nothing more."""
        return {}

    def memories(self, past: Past, count: int) -> list[Read]:
        """See `ShortTerm`."""
        return self._unbroken(past, RecentFrames().memories(past, count))

    def pointers(self, past: Past) -> list[Read]:
        """See `ShortTerm`."""
        return self._unbroken(past, RecentFrames().pointers(past))

    def keeps(self, past: Past, count: int) -> tuple[list[Read], list[Read]]:
        """See `ShortTerm`."""
        return RecentFrames().keeps(past, count)

    def _unbroken(self, past: Past, reads: Sequence[Read]) -> list[Read]:
        if (away := past.away()) >= self.patience:
            return list(reads) if (away - self.patience) % 2 else []
        missing = (past.moment.distance(r.frame_idx) for r in reads if r.entry.facts.get("away", 0) >= self.patience)
        last = min(missing, default=math.inf)
        return [read for read in reads if past.moment.distance(read.frame_idx) < last]
