"""A policy put together from halves (after "Rethinking Memory Design in SAM-based tracking", arXiv 2512.22624)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from sam2v.memory.bank import Reach
from sam2v.memory.candidates import Candidates
from sam2v.memory.guard import FloodGuard
from sam2v.memory.halves import CandidateChoice, LongTerm, ShortTerm, check_range
from sam2v.memory.past import SEVERAL, Past, closest_conditioning
from sam2v.memory.policy import Choice, Commit, Hypothesis, Memo, Moment, Read, Selection
from sam2v.memory.recent import RecentFrames, check_cond_frames, conditioning_reads
from sam2v.memory.scaling import KeyScaling


@dataclass(frozen=True)
class BestIou:
    """Choice: the candidate with the highest predicted IoU, as the released models do."""

    looks = False

    def start(self) -> Memo:
        """Nothing has to be kept."""
        return {}

    def choose(
        self, hypotheses: Sequence[Hypothesis], memos: Sequence[Memo], candidates: Candidates, moment: Moment
    ) -> Sequence[Choice]:
        """See `CandidateChoice`."""
        return [Choice(0, int(candidates.iou[0].argmax()))]

    def follow(self, memo: Memo, candidates: Candidates, choice: Choice, moment: Moment) -> Mapping[str, float]:
        """Nothing."""
        return {}


@dataclass(frozen=True, init=False)
class Policy:
    """Two halves of memory and a choice. As it is, it does what `RecentFramesPolicy` does.

    Prompted frames are read as ever; then what `short` says, in the `num_maskmem - 1` rows of the temporal table; then
    the anchors of `long` that were not read so, which have no place in time, as prompted frames have none. They come
    first and leave at least one row to `short`, or are read in the rows that it leaves.

    Args:
        short: which tracked frames are read; None: `RecentFrames()`.
        long: which are kept for good; None: none.
        choose: which candidate masks live on; None: `BestIou()`.
        guard: which answers are refused, so that the object is absent there; None refuses none.
        anchors_first: whether anchors take rows of `short`'s, or only those that it leaves.
        scaling: how strongly memories are read, by object score; None reads all alike.
        num_maskmem: rows of the model's temporal table. max_pointers: as in `RecentFramesPolicy`.
        max_cond_frames: conditioning frames read at most, -1 for all; at least 2 otherwise.

    Raises:
        ValueError: a value out of range.
    """

    short: ShortTerm
    long: LongTerm | None
    choice: CandidateChoice
    scaling: KeyScaling | None
    guard: FloodGuard | None
    num_maskmem: int
    max_pointers: int
    max_cond_frames: int
    anchors_first: bool

    def __init__(
        self,
        short: ShortTerm | None = None,
        long: LongTerm | None = None,
        choose: CandidateChoice | None = None,
        scaling: KeyScaling | None = None,
        num_maskmem: int = 7,
        max_pointers: int = 16,
        max_cond_frames: int = -1,
        guard: FloodGuard | None = None,
        anchors_first: bool = True,
    ) -> None:
        check_range("num_maskmem", num_maskmem, 2)
        check_range("max_pointers", max_pointers, 2)
        check_cond_frames(max_cond_frames)
        parts = (short or RecentFrames(), long, choose or BestIou(), scaling, guard)
        values = (*parts, num_maskmem, max_pointers, max_cond_frames, anchors_first)
        for part, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, part.name, value)

    @property
    def looks(self) -> bool:
        """Whether any part looks at candidates."""
        parts = (self.short, self.long, self.choice)
        return (
            self.scaling is not None or self.guard is not None or any(part.looks for part in parts if part is not None)
        )

    def start(self, earlier: Memo | None = None) -> Memo:
        """What the parts keep, afresh: a prompt says that what was before may have been wrong."""
        parts = {"choice": self.choice, "long": self.long, "guard": self.guard}
        return {name: part.start() if part else {} for name, part in parts.items()}

    def select(self, hypothesis: Hypothesis, moment: Moment) -> Selection:
        """See `MemoryPolicy`."""
        bank, last_row = hypothesis.bank, self.num_maskmem - 1
        chosen = closest_conditioning(list(bank.conditioning), moment.frame_idx, self.max_cond_frames)
        anchors = self._anchors(hypothesis)
        past = Past(hypothesis, moment, chosen)
        selection = conditioning_reads(hypothesis, moment, chosen, last_row)
        recent = self.short.memories(past, max(1, last_row - len(anchors)) if self.anchors_first else last_row)
        known = {read.frame_idx for read in recent}
        others = [Read(f, bank.anchors[f], last_row) for f in anchors if f not in known]
        selection.memories += recent
        selection.memories += others if self.anchors_first else others[: last_row - len(recent)]
        selection.pointers += self.short.pointers(past)
        if self.scaling is not None:
            selection = Selection(*map(self.scaling.scaled, (selection.memories, selection.pointers)))
        return selection

    def choose(self, hypotheses: Sequence[Hypothesis], candidates: Candidates, moment: Moment) -> Sequence[Choice]:
        """See `MemoryPolicy`."""
        memos = [hypothesis.memo.setdefault("choice", self.choice.start()) for hypothesis in hypotheses]
        choices = self.choice.choose(hypotheses, memos, candidates, moment)
        for hypothesis in hypotheses:
            _note_several(hypothesis.memo, len(choices) > 1, moment.frame_idx)
        return choices

    def commit(self, hypothesis: Hypothesis, candidates: Candidates, choice: Choice, moment: Moment) -> Commit:
        """See `MemoryPolicy`; facts are those of the parts beside "iou", "object_score", and "edge" or "away".

        "edge" is 1 where the mask touches the frame's edge, and on the frames without the object after that: it left
        the picture, and such frames show what is not it. "away" is the frame's number among those without it after it
        vanished amid the picture: it may be there, hidden.
        """
        row, mask, (away, left) = choice.row, choice.mask, _before(hypothesis, moment)
        facts = {"iou": float(candidates.iou[row, mask]), "object_score": float(candidates.object_score[row])}
        if self.guard is not None:
            known = hypothesis.memo.setdefault("guard", self.guard.start())
            if gone := self.guard.refuses(known, candidates, choice, away):
                hypothesis.memo["choice"] = self.choice.start()
                absent = {"object_score": -abs(facts["object_score"]), "area": 0.0}
                return Commit("absent", facts | absent | ({"edge": 1.0} if left else {"away": float(gone)}))
        if facts["object_score"] > 0:
            facts |= {"edge": 1.0} if _touches_edge(candidates.masks[row, mask]) else {}
        else:
            facts |= {"edge": 1.0} if left else {"away": away + 1.0}
        facts |= self.choice.follow(hypothesis.memo["choice"], candidates, choice, moment)
        facts |= self.short.note(candidates, choice)
        anchor = False
        if self.long is not None:
            memo = hypothesis.memo.setdefault("long", self.long.start())
            anchor = self.long.keeps(hypothesis, memo, candidates, choice, moment)
        return Commit("anchor" if anchor else "recent", facts)

    def reach(self, hypothesis: Hypothesis, moment: Moment) -> Reach:
        """What the next frame reads, whichever way tracking goes: nothing else is read later, see `ShortTerm`."""
        memories, pointers = {moment.frame_idx}, {moment.frame_idx}
        for reverse in (False, True):
            following = Moment(moment.frame_idx + (-1 if reverse else 1), reverse, self.max_pointers)
            past = Past(hypothesis, following, list(hypothesis.bank.conditioning))
            memories |= {read.frame_idx for read in self.short.memories(past, self.num_maskmem - 1)}
            pointers |= {read.frame_idx for read in self.short.pointers(past)}
        return Reach(frozenset(memories), frozenset(pointers))

    def _anchors(self, hypothesis: Hypothesis) -> list[int]:
        return self.long.anchors(hypothesis, hypothesis.memo.get("long", {})) if self.long else []


def _before(hypothesis: Hypothesis, moment: Moment) -> tuple[int, bool]:
    """ "away" and "edge" of the frame before."""
    before = next(Past(hypothesis, moment, ()).nearest(), None)
    facts = {} if before is None else before[1].facts
    return int(facts.get("away", 0)), "edge" in facts


def _touches_edge(mask: np.ndarray) -> bool:
    """Whether an h x w mask reaches to the edge of the frame."""
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def _note_several(memo: Memo, several: bool, frame_idx: int) -> None:
    """Keep which frames hypotheses were tracked to side by side."""
    if several:
        low, high = memo.get(SEVERAL, (frame_idx, frame_idx))
        memo[SEVERAL] = [min(low, frame_idx), max(high, frame_idx)]
    else:
        memo.pop(SEVERAL, None)
