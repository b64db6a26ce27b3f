"""Which memories and pointers a frame reads."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2v.memory import EntryStore, MemoryBank, MemoryEntry, RecentFramesPolicy


def entry(mark: float, memory: bool = True) -> MemoryEntry:
    one = torch.tensor(mark)
    return MemoryEntry(one.expand(2, 2), one, one, one.expand(4), one.expand(3, 2, 2) if memory else None)


def bank(conditioning: list[int], tracked: list[int]) -> MemoryBank:
    filled = MemoryBank(1, EntryStore())
    for frame in conditioning:
        filled.conditioning[frame] = entry(float(frame))
    for frame in tracked:
        filled.put_tracked(frame, entry(float(frame)))
    return filled


def read(policy: RecentFramesPolicy, filled: MemoryBank, frame: int, reverse: bool = False, limit: int = 16) -> tuple:
    selection = policy.select(filled, frame, reverse, limit)
    maps = [(int(e.score), row) for e, row in selection.maps]
    return maps, [(int(e.score), distance) for e, distance in selection.pointers]


def test_conditioning_frame_then_the_six_latest() -> None:
    maps, pointers = read(RecentFramesPolicy(), bank([0], list(range(1, 10))), 10)
    assert maps == [(0, 6), (4, 5), (5, 4), (6, 3), (7, 2), (8, 1), (9, 0)]
    assert pointers == [(0, 10)] + [(10 - d, d) for d in range(1, 10)]


def test_reverse_mirrors_forward() -> None:
    forward = read(RecentFramesPolicy(stride=2), bank([0], list(range(1, 20))), 20)
    reverse = read(RecentFramesPolicy(stride=2), bank([40], list(range(39, 20, -1))), 20, reverse=True)
    assert reverse == tuple([(40 - frame, value) for frame, value in part] for part in forward)


def test_stride_reads_the_neighbour_and_multiples() -> None:
    maps, _ = read(RecentFramesPolicy(stride=3), bank([0], list(range(1, 30))), 20)
    assert maps[1:] == [(6, 5), (9, 4), (12, 3), (15, 2), (18, 1), (19, 0)]


def test_future_conditioning_frames_give_memories_but_no_pointers() -> None:
    maps, pointers = read(RecentFramesPolicy(), bank([5], []), 2)
    assert (maps, pointers) == ([(5, 6)], [])
    assert read(RecentFramesPolicy(), bank([5], []), 9, reverse=True)[1] == []
    assert read(RecentFramesPolicy(), bank([9], []), 5, reverse=True)[1] == [(9, 4)]


def test_unselected_conditioning_frame_serves_as_a_recent_one() -> None:
    maps, pointers = read(RecentFramesPolicy(max_cond_frames=2), bank([0, 3, 6, 9], [1, 2, 4, 5, 7]), 8)
    assert maps[:2] == [(6, 6), (9, 6)]
    assert (3, 4) in maps and (0, 6) not in maps
    assert (6, 2) in pointers and (3, 5) in pointers and (9, -1) not in pointers


def test_pointer_limit() -> None:
    _, pointers = read(RecentFramesPolicy(), bank([0], list(range(1, 40))), 40, limit=4)
    assert pointers == [(0, 40), (39, 1), (38, 2), (37, 3)]


@given(
    frames=st.lists(st.integers(0, 50), min_size=1, max_size=9, unique=True),
    limit=st.integers(2, 9),
    frame=st.integers(0, 50),
)
def test_closest_conditioning_frames(frames: list[int], limit: int, frame: int) -> None:
    chosen = RecentFramesPolicy(max_cond_frames=limit).closest_conditioning(frames, frame)
    assert len(chosen) == min(limit, len(frames)) and set(chosen) <= set(frames)
    before, after = [f for f in frames if f < frame], [f for f in frames if f >= frame]
    assert not before or max(before) in chosen
    assert not after or min(after) in chosen


@pytest.mark.parametrize("options", [{"max_cond_frames": 1}, {"stride": 0}])
def test_impossible_options_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=r"at least \d"):
        RecentFramesPolicy(**options)


def test_a_window_keeps_memories_near_and_pointers_further() -> None:
    filled = bank([0], list(range(1, 30)))
    filled.forget_outside(29, maps=6, pointers=15)
    assert filled.tracked_frames() == list(range(14, 30))
    with_memory = [frame for frame, e in filled if e.memory is not None and frame]
    assert with_memory == list(range(23, 30))
    maps, pointers = read(RecentFramesPolicy(), filled, 30)
    assert (maps, pointers) == read(RecentFramesPolicy(), bank([0], list(range(1, 30))), 30)
