"""The memory bank: typed entries per object and frame, policies that choose what is read, and a store of bounded
size."""

from sam2v.memory.bank import MemoryBank
from sam2v.memory.entry import MemoryEntry
from sam2v.memory.policy import MemoryPolicy, RecentFramesPolicy, Selection
from sam2v.memory.store import EntryStore

__all__ = ["EntryStore", "MemoryBank", "MemoryEntry", "MemoryPolicy", "RecentFramesPolicy", "Selection"]
