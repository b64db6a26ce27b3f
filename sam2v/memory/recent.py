"""The memory rule of the released models (SAM 2 paper, section 4: memory bank)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sam2v.memory.bank import Reach
from sam2v.memory.past import Past, closest_conditioning
from sam2v.memory.policy import Choice, Commit, Hypothesis, Memo, Moment, Read, Selection

if TYPE_CHECKING:
    from sam2v.memory.candidates import Candidates


@dataclass(frozen=True)
class RecentFrames:
    """Short-term half: the latest tracked frames, whatever they show.

    Attributes:
        stride: distance between memories; the frame just before is always read.

    Raises:
        ValueError: a stride below 1.
    """

    stride: int = 1

    looks = False

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError(f"memory_temporal_stride_for_eval must be at least 1, got {self.stride}")

    def note(self, candidates: Candidates, choice: Choice) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def memories(self, past: Past, count: int) -> list[Read]:
        """See `ShortTerm`."""
        frames = ((self._frame(past.moment, steps), steps - 1) for steps in range(count, 0, -1))
        return [Read(frame, entry, row) for frame, row in frames if (entry := past.get(frame)) is not None]

    def pointers(self, past: Past) -> list[Read]:
        """See `ShortTerm`."""
        frames = ((past.moment.ago(distance), distance) for distance in range(1, past.moment.max_pointers))
        return [Read(frame, entry, distance) for frame, distance in frames if (entry := past.get(frame)) is not None]

    def _frame(self, moment: Moment, steps: int) -> int:
        """Frame of the `steps`-th latest memory: the neighbour, then multiples of the stride beyond it."""
        if steps == 1:
            return moment.ago(1)
        direction = -1 if moment.reverse else 1
        # floor to a multiple of the stride in the direction of the past, on a mirrored axis in reverse
        mirrored = direction * moment.frame_idx
        return direction * (((mirrored - 2) // self.stride - (steps - 2)) * self.stride)


@dataclass(frozen=True)
class RecentFramesPolicy:
    """Read what is near.

    All conditioning frames are read, or the `max_cond_frames` closest ones; then the latest tracked frames, every
    `stride`-th one; and the object pointers of conditioning frames in the past and of the latest frames. The candidate
    with the highest predicted IoU lives on, and every frame is remembered.

    Attributes:
        num_maskmem: rows of the temporal table; one less is the number of recent memories.
        max_pointers: distance in frames up to which pointers are read, plus one.
        max_cond_frames: conditioning frames read at most, -1 for all; at least 2 otherwise.
        stride: distance between recent memories; the frame just before is always read.

    Raises:
        ValueError: a value out of range.
    """

    num_maskmem: int = 7
    max_pointers: int = 16
    max_cond_frames: int = -1
    stride: int = 1

    looks = False

    def __post_init__(self) -> None:
        check_cond_frames(self.max_cond_frames)
        RecentFrames(self.stride)

    def start(self, earlier: Memo | None = None) -> Memo:
        """Nothing has to be kept."""
        return {}

    def select(self, hypothesis: Hypothesis, moment: Moment) -> Selection:
        """See `MemoryPolicy`."""
        bank, short, last_row = hypothesis.bank, RecentFrames(self.stride), self.num_maskmem - 1
        chosen = self.closest_conditioning(list(bank.conditioning), moment.frame_idx)
        past = Past(hypothesis, moment, chosen)
        selection = conditioning_reads(hypothesis, moment, chosen, last_row)
        selection.memories += short.memories(past, last_row)
        selection.pointers += short.pointers(past)
        return selection

    def choose(self, hypotheses: Sequence[Hypothesis], candidates: Candidates, moment: Moment) -> Sequence[Choice]:
        """The candidate with the highest predicted IoU."""
        return [Choice(0, int(candidates.iou[0].argmax()))]

    def commit(self, hypothesis: Hypothesis, candidates: Candidates, choice: Choice, moment: Moment) -> Commit:
        """Every frame is remembered while it is recent."""
        return Commit()

    def reach(self, hypothesis: Hypothesis, moment: Moment) -> Reach:
        """As far back as a later frame reads, and as far ahead: what tracking in the other direction left there."""
        return Reach(
            _around(moment.frame_idx, self.stride * (self.num_maskmem - 1)),
            _around(moment.frame_idx, self.max_pointers - 1),
        )

    def closest_conditioning(self, frames: list[int], frame_idx: int) -> list[int]:
        """The conditioning frames to read: the nearest before, the nearest at or after, then the closest others."""
        return closest_conditioning(frames, frame_idx, self.max_cond_frames)


def check_cond_frames(max_cond_frames: int) -> None:
    """Raise ValueError unless it is -1 (all) or at least 2."""
    if max_cond_frames != -1 and max_cond_frames < 2:
        raise ValueError(f"max_cond_frames_in_attn must be -1 (all) or at least 2, got {max_cond_frames}")


def conditioning_reads(hypothesis: Hypothesis, moment: Moment, chosen: list[int], last_row: int) -> Selection:
    """The memories of conditioning frames, and the pointers of those in the past; before them what is known from other
    videos, as if it had been prompted on the farthest frame that pointers are read from."""
    known, farthest = hypothesis.bank.conditioning, moment.max_pointers - 1
    past = ((frame, moment.distance(frame)) for frame in chosen)
    elsewhere = [Read(moment.ago(farthest), entry, last_row) for entry in hypothesis.bank.exemplars]
    return Selection(
        elsewhere + [Read(frame, known[frame], last_row) for frame in chosen],
        [read._replace(time=farthest) for read in elsewhere]
        + [Read(frame, known[frame], distance) for frame, distance in past if distance >= 0],
    )


def _around(frame_idx: int, distance: int) -> frozenset[int]:
    return frozenset(range(frame_idx - distance, frame_idx + distance + 1))
