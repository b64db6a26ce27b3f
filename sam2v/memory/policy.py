"""Which memories and object pointers a frame reads (SAM 2 paper, section 4: memory bank)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sam2v.memory.bank import MemoryBank
from sam2v.memory.entry import MemoryEntry


class Reach(NamedTuple):
    """How many frames away tracked entries are read at most: their memories, and their object pointers."""

    maps: int
    pointers: int


@dataclass
class Selection:
    """What one object reads for one frame.

    Attributes:
        maps: memories with the row of the temporal table each is read with (0 = one frame away, last row =
            conditioning).
        pointers: entries whose object pointer is read, with their distance in frames, positive towards the past of the
            tracking direction.
    """

    maps: list[tuple[MemoryEntry, int]] = field(default_factory=list)
    pointers: list[tuple[MemoryEntry, int]] = field(default_factory=list)


class MemoryPolicy(Protocol):
    """The plug-in point of the memory: choose what is read, and say how far back that reaches."""

    def select(self, bank: MemoryBank, frame_idx: int, reverse: bool, max_pointers: int) -> Selection:
        """What ``bank``'s object reads for ``frame_idx``, at least one memory; ``max_pointers`` bounds pointer
        distance."""
        ...

    def reach(self) -> Reach:
        """How far from the current frame tracked entries are still read; a window keeps no more."""
        ...


@dataclass(frozen=True)
class RecentFramesPolicy:
    """The rule of the released models.

    All conditioning frames are read, or the ``max_cond_frames`` closest ones; then the latest tracked frames, every
    ``stride``-th one; and the object pointers of conditioning frames in the past and of the latest frames.

    Attributes:
        num_maskmem: rows of the temporal table; one less is the number of recent memories.
        max_pointers: distance in frames up to which pointers are read, plus one.
        max_cond_frames: conditioning frames read at most, -1 for all; at least 2 otherwise.
        stride: distance between recent memories; the frame just before is always read.
    """

    num_maskmem: int = 7
    max_pointers: int = 16
    max_cond_frames: int = -1
    stride: int = 1

    def __post_init__(self) -> None:
        if self.max_cond_frames != -1 and self.max_cond_frames < 2:
            raise ValueError(f"max_cond_frames_in_attn must be -1 (all) or at least 2, got {self.max_cond_frames}")
        if self.stride < 1:
            raise ValueError(f"memory_temporal_stride_for_eval must be at least 1, got {self.stride}")

    def reach(self) -> Reach:
        """See :class:`MemoryPolicy`."""
        return Reach(maps=self.stride * (self.num_maskmem - 1), pointers=self.max_pointers - 1)

    def select(self, bank: MemoryBank, frame_idx: int, reverse: bool, max_pointers: int) -> Selection:
        """See :class:`MemoryPolicy`."""
        chosen = self.closest_conditioning(list(bank.conditioning), frame_idx)

        def recent(frame: int) -> MemoryEntry | None:
            # a conditioning frame that was not chosen may still serve as an ordinary recent one
            return bank.tracked(frame) or (None if frame in chosen else bank.conditioning.get(frame))

        last_row = self.num_maskmem - 1
        selection = Selection(maps=[(bank.conditioning[frame], last_row) for frame in chosen])
        for steps in range(last_row, 0, -1):
            entry = recent(self._recent_frame(frame_idx, steps, reverse))
            if entry is not None and entry.memory is not None:
                selection.maps.append((entry, steps - 1))

        direction = -1 if reverse else 1
        past = ((frame, direction * (frame_idx - frame)) for frame in chosen)
        selection.pointers = [(bank.conditioning[frame], distance) for frame, distance in past if distance >= 0]
        for distance in range(1, max_pointers):
            entry = recent(frame_idx - direction * distance)
            if entry is not None:
                selection.pointers.append((entry, distance))
        return selection

    def closest_conditioning(self, frames: list[int], frame_idx: int) -> list[int]:
        """The conditioning frames to read: the nearest before, the nearest at or after, then the closest others."""
        if self.max_cond_frames == -1 or len(frames) <= self.max_cond_frames:
            return frames
        before = [f for f in frames if f < frame_idx]
        after = [f for f in frames if f >= frame_idx]
        chosen = ([max(before)] if before else []) + ([min(after)] if after else [])
        others = sorted((f for f in frames if f not in chosen), key=lambda f: abs(f - frame_idx))
        return chosen + others[: self.max_cond_frames - len(chosen)]

    def _recent_frame(self, frame_idx: int, steps: int, reverse: bool) -> int:
        """Frame of the ``steps``-th latest memory: the neighbour, then multiples of the stride beyond it."""
        direction = -1 if reverse else 1
        if steps == 1:
            return frame_idx - direction
        # floor to a multiple of the stride in the direction of the past, on a mirrored axis in reverse
        mirrored = direction * frame_idx
        return direction * (((mirrored - 2) // self.stride - (steps - 2)) * self.stride)
