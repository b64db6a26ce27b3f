"""An object's memory bank, as one hypothesis sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import NamedTuple

from sam2v.memory.entry import MemoryEntry


class Reach(NamedTuple):
    """Frames whose entries are still read: for their memories, and for their object pointers."""

    memories: frozenset[int]
    pointers: frozenset[int]


class MemoryBank:
    """Entries of one object by frame: prompted ones, tracked ones, and those a policy keeps for good.

    Several hypotheses of one object share what was prompted and what was tracked before they parted; each has what it
    tracked since then for itself.

    Attributes:
        conditioning: entries of prompted frames, in the order in which they were prompted.
        exemplars: entries of the object on other videos' frames.
        history: entries of tracked frames, in the order in which they were written.
        anchors: tracked entries that are kept for good, oldest first.
        own: what this hypothesis tracked since it parted from the others.

    Args:
        shared: the bank of another hypothesis of the object, which has the same past.
    """

    def __init__(self, shared: MemoryBank | None = None) -> None:
        self.conditioning: dict[int, MemoryEntry] = {} if shared is None else shared.conditioning
        self.exemplars: list[MemoryEntry] = [] if shared is None else shared.exemplars
        self.history: dict[int, MemoryEntry] = {} if shared is None else shared.history
        self.anchors: dict[int, MemoryEntry] = {} if shared is None else dict(shared.anchors)
        self.own: dict[int, MemoryEntry] = {} if shared is None else dict(shared.own)
        self._encoded: set[int] = set() if shared is None else shared._encoded  # frames of history with a memory

    def tracked(self, frame_idx: int) -> MemoryEntry | None:
        """The tracked entry of a frame that may be read as a memory, or None."""
        entry = self.own.get(frame_idx) or self.history.get(frame_idx)
        return entry if entry is not None and entry.readable else None

    def get(self, frame_idx: int) -> MemoryEntry | None:
        """What is known of a frame: the conditioning entry, else the tracked one, else None."""
        return self.conditioning.get(frame_idx) or self.own.get(frame_idx) or self.history.get(frame_idx)

    def put(self, frame_idx: int, entry: MemoryEntry, anchor: bool = False, alone: bool = True) -> None:
        """Write a tracked entry, replacing an older one.

        Args:
            anchor: keep it for good. alone: whether this is the object's only hypothesis.
        """
        (self.history if alone else self.own)[frame_idx] = entry
        if alone and entry.encoded is not None:
            self._encoded.add(frame_idx)
        self.anchors.pop(frame_idx, None)
        if anchor:
            self.anchors[frame_idx] = entry

    def show(self, frame_idx: int, entry: MemoryEntry) -> None:
        """Write what people see of a frame, whatever the hypotheses have of it."""
        self.history[frame_idx] = entry.with_memory(None)

    def settle(self) -> None:
        """Make what this hypothesis tracked by itself the object's only past."""
        self.history.update(self.own)
        self._encoded |= {frame_idx for frame_idx, entry in self.own.items() if entry.encoded is not None}
        self.own.clear()

    def drop(self, frame_idx: int) -> None:
        """Forget a tracked entry, if there is one."""
        for entries in (self.history, self.own, self.anchors):
            entries.pop(frame_idx, None)

    def forget(self, frames: Collection[int]) -> None:
        """Read the tracked entries of some frames no more; their results stay, for people alone."""
        for frame_idx in [frame for frame in frames if frame in self.history]:
            self.history[frame_idx] = replace(self.history[frame_idx], encoded=None, readable=False)
            self._encoded.discard(frame_idx)
        for entries in (self.own, self.anchors):
            for frame_idx in [frame for frame in frames if frame in entries]:
                del entries[frame_idx]

    @property
    def has_start(self) -> bool:
        """Whether there is something to track from: a prompted frame, or the object on another video's frames."""
        return bool(self.conditioning or self.exemplars)

    def demote(self, frame_idx: int) -> bool:
        """Turn a conditioning entry into a tracked one; False if there is none."""
        entry = self.conditioning.pop(frame_idx, None)
        if entry is not None:
            self.put(frame_idx, entry)
        return entry is not None

    def prune(self, reach: Reach, forget: bool) -> None:
        """Let go what is not read any more: memories, and with `forget` whole entries.

        Anchors and conditioning entries stay.
        """
        for frame_idx in self._encoded - reach.memories - self.anchors.keys():
            self._encoded.discard(frame_idx)
            if frame_idx in self.history:
                self.history[frame_idx] = self.history[frame_idx].with_memory(None)
        read = reach.memories | reach.pointers | self.anchors.keys()
        for frame_idx in self.own.keys() - read:
            del self.own[frame_idx]
        if forget:
            for frame_idx in self.history.keys() - read:
                del self.history[frame_idx]

    def keep_memory(self, frame_idx: int, entry: MemoryEntry) -> None:
        """Put an entry in the place of the same one without its memory; nothing changes where it is not there any
        more."""
        for known in (self.conditioning, self.own, self.history):
            if frame_idx in known and known[frame_idx].result is entry.result:
                known[frame_idx] = entry
                if known is self.history:
                    self._encoded.add(frame_idx)
                return

    def copy(self, first: MemoryBank | None = None) -> MemoryBank:
        """A bank of its own with the same entries; of another hypothesis, `first` is the copy of the first one's."""
        made = MemoryBank(self)
        if first is None:
            made.conditioning, made.history = dict(self.conditioning), dict(self.history)
            made.exemplars = list(self.exemplars)
            made._encoded = set(self._encoded)
        else:
            made.conditioning, made.history, made._encoded = first.conditioning, first.history, first._encoded
            made.exemplars = first.exemplars
        return made

    def restore(self, conditioning: dict[int, MemoryEntry], history: dict[int, MemoryEntry]) -> None:
        """Take entries that were saved."""
        self.conditioning, self.history = conditioning, history
        self._encoded = {frame_idx for frame_idx, entry in history.items() if entry.encoded is not None}

    def entries(self) -> Iterator[tuple[int, MemoryEntry]]:
        """(frame, entry) of everything that is known of this video's frames."""
        for known in (self.conditioning, self.history, self.own):
            yield from known.items()
