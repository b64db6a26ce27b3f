"""The memory bank: typed entries per object and frame, policies that say what is read and remembered, and the pool that
holds a bounded number of bytes."""

from sam2v.memory.bank import MemoryBank, Reach
from sam2v.memory.candidates import Candidates
from sam2v.memory.entry import Held, MemoryEntry
from sam2v.memory.policy import Choice, Commit, Hypothesis, Memo, MemoryPolicy, Moment, Read, Selection
from sam2v.memory.pool import Kept, Pool
from sam2v.memory.recent import RecentFramesPolicy

__all__ = [
    "Candidates",
    "Choice",
    "Commit",
    "Held",
    "Hypothesis",
    "Kept",
    "Memo",
    "MemoryBank",
    "MemoryEntry",
    "MemoryPolicy",
    "Moment",
    "Pool",
    "Reach",
    "Read",
    "RecentFramesPolicy",
    "Selection",
]
