"""An object's memory bank."""

from __future__ import annotations

from collections.abc import Iterator

from sam2v.memory.entry import MemoryEntry
from sam2v.memory.store import EntryStore


class MemoryBank:
    """Entries of one object: conditioning frames (prompted) and tracked frames.

    A frame is in one of the two at most after :meth:`settle`. Conditioning frames keep the order in which they were
    added.

    Args:
        obj_id: whose entries they are.
        store: where tracked entries are kept; several banks may share one.
    """

    def __init__(self, obj_id: int, store: EntryStore) -> None:
        self.obj_id = obj_id
        self.conditioning: dict[int, MemoryEntry] = {}
        self._store = store
        self._tracked: dict[int, None] = {}

    def tracked_frames(self) -> list[int]:
        """Frames with a tracked (non-conditioning) entry, in the order they were written."""
        return list(self._tracked)

    def tracked(self, frame_idx: int) -> MemoryEntry | None:
        """The tracked entry of a frame, or None."""
        return self._store[self.obj_id, frame_idx] if frame_idx in self._tracked else None

    def get(self, frame_idx: int) -> MemoryEntry | None:
        """The conditioning entry of a frame, else its tracked one, else None."""
        return self.conditioning.get(frame_idx) or self.tracked(frame_idx)

    def put_tracked(self, frame_idx: int, entry: MemoryEntry) -> None:
        """Write a tracked entry, replacing an older one."""
        self._store[self.obj_id, frame_idx] = entry
        self._tracked[frame_idx] = None

    def drop_tracked(self, frame_idx: int) -> None:
        """Forget a tracked entry, if there is one."""
        if frame_idx in self._tracked:
            del self._tracked[frame_idx]
            del self._store[self.obj_id, frame_idx]

    def settle(self) -> None:
        """Forget tracked entries of frames that are conditioning."""
        for frame_idx in self.conditioning:
            self.drop_tracked(frame_idx)

    def demote(self, frame_idx: int) -> bool:
        """Turn a conditioning entry into a tracked one; False if there is none."""
        entry = self.conditioning.pop(frame_idx, None)
        if entry is not None:
            self.put_tracked(frame_idx, entry)
        return entry is not None

    def forget_outside(self, current: int, maps: int, pointers: int) -> None:
        """Keep only what lies within reach of frame ``current``: memories ``maps`` frames away, the rest
        ``pointers`` away."""
        for frame_idx in self.tracked_frames():
            distance = abs(current - frame_idx)
            entry = self.tracked(frame_idx)
            if distance > max(maps, pointers):
                self.drop_tracked(frame_idx)
            elif distance > maps and entry is not None and entry.memory is not None:
                self._store[self.obj_id, frame_idx] = entry.pointer_only()

    def clear(self) -> None:
        """Forget everything."""
        self.conditioning.clear()
        for frame_idx in self.tracked_frames():
            self.drop_tracked(frame_idx)

    def __iter__(self) -> Iterator[tuple[int, MemoryEntry]]:
        yield from self.conditioning.items()
        for frame_idx in self._tracked:
            yield frame_idx, self._store[self.obj_id, frame_idx]
