"""Which frames a run of tracking goes through: never over one that was verified."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

Direction = Literal["forward", "backward", "both"]
#: First frame, last frame, and 1 or -1: which way.
Leg = Sequence[int]


def legs(start: int, direction: Direction, first: int, last: int, verified: Collection[int]) -> list[Leg]:
    """The legs of a run, in the order in which they are tracked.

    A leg ends before the next verified frame. Where the run starts on one, it starts with the frame beside it; where it
    would start before the range, with the range.

    Args:
        start: where to start. first, last: of the range that may be tracked.

    Raises:
        ValueError: nothing is left to track.
    """
    found: list[Leg] = []
    if direction in ("forward", "both"):
        begin = max(start + 1 if start in verified else start, first)
        end = min([last, *(frame - 1 for frame in verified if frame >= begin)])
        if begin <= end:
            found.append([begin, end, 1])
    if direction in ("backward", "both"):
        begin = min(start - 1 if start in verified or direction == "both" else start, last)
        end = max([first, *(frame + 1 for frame in verified if frame <= begin)])
        if begin >= end:
            found.append([begin, end, -1])
    if not found:
        raise ValueError("there is nothing to track that way: the next frame is verified, or the video ends")
    return found


def frames_of(leg: Leg) -> range:
    """The frames of a leg, in order."""
    begin, end, step = leg
    return range(begin, end + step, step)


def rest(run: list[Leg], at: int | None) -> list[Leg]:
    """What is left of a run that got as far as a frame (None: nowhere)."""
    for number, leg in enumerate(run):
        _, end, step = leg
        if at is not None and at in frames_of(leg):
            left = run[number + 1 :]
            return left if at == end else [[at + step, end, step], *left]
    return run
