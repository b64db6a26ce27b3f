"""The memory bank: typed entries per object and frame, policies that say what is read and remembered, and the pool that
holds a bounded number of bytes."""

from sam2v.memory.bank import MemoryBank, Reach
from sam2v.memory.candidates import Candidates
from sam2v.memory.combined import BestIou, Policy
from sam2v.memory.distractor import DistractorAnchors, PresentFrames
from sam2v.memory.entry import Held, MemoryEntry
from sam2v.memory.guard import FloodGuard, TrialGuard
from sam2v.memory.halves import CandidateChoice, LongTerm, ShortTerm
from sam2v.memory.motion import MotionChoice
from sam2v.memory.named import POLICIES, check_policy_name, named_policy
from sam2v.memory.past import Past
from sam2v.memory.policy import Choice, Commit, Hypothesis, Memo, MemoryPolicy, Moment, Read, Selection
from sam2v.memory.pool import Kept, Pool
from sam2v.memory.quality import QualityFrames, SureFrames
from sam2v.memory.recent import RecentFrames, RecentFramesPolicy
from sam2v.memory.scaling import KeyScaling
from sam2v.memory.tree import TreeChoice
from sam2v.memory.unbroken import UnbrokenFrames

__all__ = [
    "POLICIES",
    "BestIou",
    "CandidateChoice",
    "Candidates",
    "Choice",
    "Commit",
    "DistractorAnchors",
    "FloodGuard",
    "Held",
    "Hypothesis",
    "Kept",
    "KeyScaling",
    "LongTerm",
    "Memo",
    "MemoryBank",
    "MemoryEntry",
    "MemoryPolicy",
    "Moment",
    "MotionChoice",
    "Past",
    "Policy",
    "Pool",
    "PresentFrames",
    "QualityFrames",
    "Reach",
    "Read",
    "RecentFrames",
    "RecentFramesPolicy",
    "Selection",
    "ShortTerm",
    "SureFrames",
    "TreeChoice",
    "TrialGuard",
    "UnbrokenFrames",
    "check_policy_name",
    "named_policy",
]
