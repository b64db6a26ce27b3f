"""What a hypothesis remembers, as a frame that is tracked looks back on it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sam2v.memory.entry import MemoryEntry
from sam2v.memory.policy import Hypothesis, Moment

#: So many frames are looked up one by one before everything that is known is put in order.
_NEAR = 64
#: Where a policy with several hypotheses keeps [first, last] of the frames they were tracked to side by side.
SEVERAL = "several"


class Past:
    """The tracked entries of a hypothesis that may be read as memories.

    Args:
        hypothesis: whose. moment: the frame that looks back.
        taken: conditioning frames that are read as such; the others may serve as ordinary ones.
    """

    def __init__(self, hypothesis: Hypothesis, moment: Moment, taken: Collection[int]) -> None:
        self.bank, self.moment, self._taken = hypothesis.bank, moment, taken
        low, high = hypothesis.memo.get(SEVERAL, (1, 0))
        inside = low <= moment.frame_idx <= high
        self._parted = range(0) if inside else range(low, high + 1)

    def get(self, frame_idx: int) -> MemoryEntry | None:
        """The entry of a frame, or None. Since hypotheses parted, what was shown may be another one's."""
        if frame_idx in self._parted and frame_idx not in self.bank.own:
            return None
        known = self.bank.tracked(frame_idx)
        return known or (None if frame_idx in self._taken else self.bank.conditioning.get(frame_idx))

    def nearest(self) -> Iterator[tuple[int, MemoryEntry]]:
        """(frame, entry) in the past of the tracking direction, nearest first."""
        for frame_idx in self._frames():
            if (entry := self.get(frame_idx)) is not None:
                yield frame_idx, entry

    def _frames(self) -> Iterator[int]:
        yield from map(self.moment.ago, range(1, _NEAR + 1))
        known = {*self.bank.conditioning, *self.bank.history, *self.bank.own}
        yield from sorted((f for f in known if self.moment.distance(f) > _NEAR), key=self.moment.distance)


def closest_conditioning(frames: list[int], frame_idx: int, most: int) -> list[int]:
    """The conditioning frames to read, `most` of them or all (-1): the nearest before, the nearest at or after, then
    the closest others."""
    if most == -1 or len(frames) <= most:
        return frames
    before = [f for f in frames if f < frame_idx]
    after = [f for f in frames if f >= frame_idx]
    chosen = ([max(before)] if before else []) + ([min(after)] if after else [])
    others = sorted((f for f in frames if f not in chosen), key=lambda f: abs(f - frame_idx))
    return chosen + others[: most - len(chosen)]
