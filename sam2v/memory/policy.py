"""The plug-in point of the memory: what a frame reads, which masks live on, what is remembered and for how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from sam2v.memory.bank import MemoryBank, Reach
from sam2v.memory.entry import MemoryEntry

if TYPE_CHECKING:
    from sam2v.memory.candidates import Candidates

#: What a policy keeps about a hypothesis: anything that JSON holds.
Memo = dict[str, Any]
#: As what a tracked frame is kept: read while it is recent, read for good, or not read at all; "absent": the answer is
#: refused, and what is kept while it is recent is that the object is not there.
Keep = Literal["recent", "anchor", "result", "absent"]


@dataclass(frozen=True)
class Moment:
    """The frame that is tracked.

    Attributes:
        frame_idx: its index. reverse: whether tracking goes towards the beginning.
        max_pointers: pointer limit: distances of pointers are given to the network relative to it less one.
    """

    frame_idx: int
    reverse: bool
    max_pointers: int

    def ago(self, steps: int) -> int:
        """The frame so many frames back, in the direction of tracking."""
        return self.frame_idx + (steps if self.reverse else -steps)

    def distance(self, frame_idx: int) -> int:
        """How many frames back a frame is, negative for frames ahead."""
        return frame_idx - self.frame_idx if self.reverse else self.frame_idx - frame_idx


class Read(NamedTuple):
    """One thing that is read.

    Attributes:
        frame_idx: its frame. entry: what is known of it.
        time: of a memory, the row of the temporal table (0 = one frame away, the last row = conditioning); of a
            pointer, its distance in frames, positive towards the past of the tracking direction.
        scale: factor on its keys in attention.
    """

    frame_idx: int
    entry: MemoryEntry
    time: int
    scale: float = 1.0


@dataclass
class Selection:
    """What one hypothesis reads for one frame: at least one memory, and object pointers."""

    memories: list[Read] = field(default_factory=list)
    pointers: list[Read] = field(default_factory=list)


@dataclass
class Hypothesis:
    """One way in which an object may have moved: a row of the batch.

    Attributes:
        bank: what it remembers. memo: what the policy keeps about it. score: how likely it is, the higher the better.
    """

    bank: MemoryBank
    memo: Memo = field(default_factory=dict)
    score: float = 0.0


class Choice(NamedTuple):
    """A candidate mask that lives on: mask `mask` of hypothesis `row`, with its new score."""

    row: int
    mask: int
    score: float = 0.0


class Commit(NamedTuple):
    """As what an answer is kept, and numbers to keep with it."""

    keep: Keep = "recent"
    facts: Mapping[str, float] = {}


class MemoryPolicy(Protocol):
    """Four questions that are asked for every object and tracked frame. A policy keeps nothing itself: what it has to
    remember about an object goes into the hypotheses' memos, which are saved with the session.
    """

    @property
    def looks(self) -> bool:
        """Whether `choose` and `commit` look at the candidates. They are then brought to the host on every frame, where
        a policy that does not look leaves everything on the device."""
        ...

    def start(self, earlier: Memo | None = None) -> Memo:
        """The memo of an object that was just prompted; `earlier` is the one it had before, if any."""
        ...

    def select(self, hypothesis: Hypothesis, moment: Moment) -> Selection:
        """What a hypothesis reads."""
        ...

    def choose(self, hypotheses: Sequence[Hypothesis], candidates: Candidates, moment: Moment) -> Sequence[Choice]:
        """Which candidates live on as the object's hypotheses, the one that is shown first."""
        ...

    def commit(self, hypothesis: Hypothesis, candidates: Candidates, choice: Choice, moment: Moment) -> Commit:
        """As what the answer of a hypothesis that lives on is kept; its memo may be changed here."""
        ...

    def reach(self, hypothesis: Hypothesis, moment: Moment) -> Reach:
        """Frames whose entries may still be read after this one, if tracking goes on in its direction; conditioning
        frames and anchors aside, which always may."""
        ...
