"""A short-term half that forgets an object's last views when it goes away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile

from sam2v.memory.candidates import Candidates
from sam2v.memory.entry import MemoryEntry
from sam2v.memory.halves import check_range
from sam2v.memory.past import Past
from sam2v.memory.policy import Choice, Read


@dataclass(frozen=True)
class UnbrokenFrames:
    """Short-term half: the latest tracked frames, back to where the object was last away.

    An object that something hides is seen in part at last, and frames on which it is absent say nothing about it: while
    it is away it is looked for with what was prompted, and with anchors, alone. One that left over the frame's edge is
    not away in this sense, see `Policy.commit`.

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
        found = enumerate(islice(self._unbroken(past), count))
        return [Read(frame_idx, entry, row) for row, (frame_idx, entry) in found][::-1]

    def pointers(self, past: Past) -> list[Read]:
        """See `ShortTerm`."""
        known = ((f, entry, past.moment.distance(f)) for f, entry in self._unbroken(past))
        near = takewhile(lambda read: read[2] < past.moment.max_pointers, known)
        return [Read(*read) for read in near]

    def _unbroken(self, past: Past) -> Iterator[tuple[int, MemoryEntry]]:
        """Nearest first."""
        return takewhile(lambda known: known[1].facts.get("away", 0) < self.patience, past.nearest())
