"""Policies by name."""

from __future__ import annotations

from collections.abc import Callable

from sam2v.memory.combined import Policy
from sam2v.memory.distractor import DistractorAnchors, PresentFrames
from sam2v.memory.guard import TrialGuard
from sam2v.memory.motion import MotionChoice
from sam2v.memory.policy import MemoryPolicy
from sam2v.memory.quality import QualityFrames, SureFrames
from sam2v.memory.recent import RecentFramesPolicy
from sam2v.memory.scaling import KeyScaling
from sam2v.memory.tree import TreeChoice
from sam2v.memory.unbroken import UnbrokenFrames

_Sizes = tuple[int, int, int]  # num_maskmem, max_pointers, max_cond_frames

_MADE: dict[str, Callable[[_Sizes, int], MemoryPolicy]] = {
    "recent": lambda sizes, stride: RecentFramesPolicy(*sizes, stride),
    "quality": lambda sizes, _: Policy(QualityFrames(), None, None, None, *sizes),
    "motion": lambda sizes, _: Policy(SureFrames(), None, MotionChoice(), None, *sizes),
    "distractor": lambda sizes, _: Policy(PresentFrames(), DistractorAnchors(), None, None, *sizes),
    "tree": lambda sizes, _: Policy(SureFrames(0.3), None, TreeChoice(), KeyScaling(), *sizes),
    "robust": lambda sizes, _: Policy(
        UnbrokenFrames(), DistractorAnchors(), None, None, *sizes, TrialGuard(), anchors_first=False
    ),
}
#: The names, see docs/identity.md.
POLICIES = tuple(_MADE)


def named_policy(
    name: str, num_maskmem: int = 7, max_pointers: int = 16, max_cond_frames: int = -1, stride: int = 1
) -> MemoryPolicy:
    """A policy by name.

    Args:
        name: one of `POLICIES`.
        num_maskmem: rows of the model's temporal table. max_pointers, max_cond_frames: as in `RecentFramesPolicy`.
        stride: of "recent"; the others have rules of their own.

    Raises:
        ValueError: an unknown name (the known ones are listed), or a number out of range.
    """
    check_policy_name(name)
    return _MADE[name]((num_maskmem, max_pointers, max_cond_frames), stride)


def check_policy_name(name: str) -> None:
    """Raise ValueError, listing the known names, unless it is one of them."""
    if name not in _MADE:
        raise ValueError(f"unknown memory policy {name!r}; known: {', '.join(POLICIES)}")
