"""One object of a session: its prompts, what they were answered with, and its hypotheses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields

from sam2v.memory import Hypothesis, MemoryBank, MemoryEntry, MemoryPolicy
from sam2v.tracking.prompts import MaskPrompt, PointPrompt


@dataclass(frozen=True)
class Pending:
    """The answer to a prompt that is not part of the memory bank yet; `conditioning` says as which kind it will be."""

    entry: MemoryEntry
    conditioning: bool


@dataclass
class ObjectTrack:
    """One object.

    Attributes:
        obj_id: its id.
        points, masks: its prompts by frame.
        pending: answers to prompts since the last propagation, by frame.
        passed: frames propagation has passed, with whether it ran in reverse.
        hypotheses: ways in which it may have moved, at least one; the first is what is shown.
        verified: frames whose result somebody found right: it is not changed any more.
    """

    obj_id: int
    points: dict[int, PointPrompt] = field(default_factory=dict)
    masks: dict[int, MaskPrompt] = field(default_factory=dict)
    pending: dict[int, Pending] = field(default_factory=dict)
    passed: dict[int, bool] = field(default_factory=dict)
    hypotheses: list[Hypothesis] = field(default_factory=lambda: [Hypothesis(MemoryBank())])
    verified: frozenset[int] = frozenset()

    @property
    def bank(self) -> MemoryBank:
        """The memory bank of what is shown."""
        return self.hypotheses[0].bank

    def entry(self, frame_idx: int) -> MemoryEntry | None:
        """What is shown of a frame: the newest answer to a prompt, else the frame's result, else None."""
        if frame_idx in self.pending:
            return self.pending[frame_idx].entry
        return self.bank.conditioning.get(frame_idx) or self.bank.history.get(frame_idx)

    def newest(self, frame_idx: int) -> MemoryEntry | None:
        """What the hypothesis that is best now has of a frame, which may be another mask than was shown."""
        return self.pending[frame_idx].entry if frame_idx in self.pending else self.bank.get(frame_idx)

    def shown(self, frame_idx: int) -> MemoryEntry:
        """What is shown of a frame that has a result.

        Raises:
            KeyError: it has none.
        """
        entry = self.entry(frame_idx)
        if entry is None:
            raise KeyError(f"object {self.obj_id} has no result on frame {frame_idx}")
        return entry

    def frames(self) -> list[int]:
        """Frames with a result, ascending."""
        return sorted({*self.pending, *self.bank.conditioning, *self.bank.history})

    def verify(self, frame_idx: int) -> None:
        """Let what is shown of a frame stay as it is, whatever the hypotheses have of it."""
        for hypothesis in self.hypotheses:
            hypothesis.bank.own.pop(frame_idx, None)
        self.verified |= {frame_idx}

    def become(self, other: ObjectTrack) -> None:
        """Take over everything that is known of another track."""
        for part in fields(self):
            setattr(self, part.name, getattr(other, part.name))

    def prompted_frames(self) -> list[int]:
        """Frames with a prompt, ascending."""
        return sorted({*self.points, *self.masks})

    def has_prompt(self) -> bool:
        """Whether there is a frame to track from."""
        return self.bank.has_start or any(answer.conditioning for answer in self.pending.values())

    def answer(self, frame_idx: int, entry: MemoryEntry, conditioning: bool) -> None:
        """Take the answer to a prompt."""
        self.pending[frame_idx] = Pending(entry, conditioning)

    def remember(self, frame_idx: int, entry: MemoryEntry, policy: MemoryPolicy) -> None:
        """Make a pending answer, whose memory is encoded now, part of the memory bank; the policy starts afresh."""
        self.collapse()
        if self.pending.pop(frame_idx).conditioning:
            self.bank.conditioning[frame_idx] = entry
        else:
            self.bank.put(frame_idx, entry)
        if frame_idx in self.bank.conditioning:
            self.bank.drop(frame_idx)
        self.hypotheses[0] = Hypothesis(self.bank, policy.start(self.hypotheses[0].memo))

    def recognise(self, exemplars: Sequence[MemoryEntry], policy: MemoryPolicy) -> None:
        """Take memories of the object from another video; the policy starts afresh."""
        self.collapse()
        self.bank.exemplars.extend(exemplars)
        self.hypotheses[0] = Hypothesis(self.bank, policy.start(self.hypotheses[0].memo))

    def collapse(self) -> None:
        """Keep what is shown as the only hypothesis."""
        self.bank.settle()
        del self.hypotheses[1:]

    def forget_tracked(self) -> None:
        """Read no more what it was tracked to; prompted and verified frames are read still, and all results stay."""
        self.collapse()
        self.bank.forget(self.bank.history.keys() - self.verified)

    def clear_prompts(self, frame_idx: int) -> None:
        """Forget the prompts on a frame; what was conditioning there stays as an ordinary result."""
        self.points.pop(frame_idx, None)
        self.masks.pop(frame_idx, None)
        self.pending.pop(frame_idx, None)
        if frame_idx in self.bank.conditioning:
            self.collapse()
            self.bank.demote(frame_idx)
            self.passed.pop(frame_idx, None)

    def replace_entries(self, new: Callable[[MemoryEntry], MemoryEntry]) -> None:
        """Exchange every entry for another."""
        self.pending = {f: Pending(new(answer.entry), answer.conditioning) for f, answer in self.pending.items()}
        banks = [hypothesis.bank for hypothesis in self.hypotheses]
        banks[0].exemplars[:] = map(new, banks[0].exemplars)
        shared = (banks[0].conditioning, banks[0].history)
        for entries in (*shared, *(part for bank in banks for part in (bank.anchors, bank.own))):
            entries.update({frame_idx: new(entry) for frame_idx, entry in entries.items()})

    def copy(self) -> ObjectTrack:
        """A track of its own with the same entries."""
        first = self.bank.copy()
        hypotheses = [
            Hypothesis(h.bank.copy(first) if number else first, deepcopy(h.memo), h.score)
            for number, h in enumerate(self.hypotheses)
        ]
        points, masks, pending = dict(self.points), dict(self.masks), dict(self.pending)
        return ObjectTrack(self.obj_id, points, masks, pending, dict(self.passed), hypotheses, self.verified)
