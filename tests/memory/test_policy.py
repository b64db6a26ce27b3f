"""Which memories and pointers a frame reads, and what a window keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2v.memory import (
    DistractorAnchors,
    Held,
    Hypothesis,
    MemoryBank,
    MemoryEntry,
    Moment,
    Policy,
    Reach,
    RecentFramesPolicy,
    UnbrokenFrames,
)


def entry(mark: float, memory: bool = True) -> MemoryEntry:
    value = torch.tensor(mark)
    result = Held((value.expand(2, 2), value.expand(4), value.expand(2)))
    return MemoryEntry(result, Held((value.expand(3, 2),)) if memory else None)


def bank(conditioning: list[int], tracked: list[int]) -> MemoryBank:
    filled = MemoryBank()
    for frame in conditioning:
        filled.conditioning[frame] = entry(float(frame))
    for frame in tracked:
        filled.put(frame, entry(float(frame)))
    return filled


def read(policy: RecentFramesPolicy, filled: MemoryBank, frame: int, reverse: bool = False, limit: int = 16) -> tuple:
    selection = policy.select(Hypothesis(filled), Moment(frame, reverse, limit))
    for part in (selection.memories, selection.pointers):
        assert all(int(r.entry.score) == r.frame_idx for r in part)
    return [(r.frame_idx, r.time) for r in selection.memories], [(r.frame_idx, r.time) for r in selection.pointers]


def test_conditioning_frame_then_the_six_latest() -> None:
    memories, pointers = read(RecentFramesPolicy(), bank([0], list(range(1, 10))), 10)
    assert memories == [(0, 6), (4, 5), (5, 4), (6, 3), (7, 2), (8, 1), (9, 0)]
    assert pointers == [(0, 10)] + [(10 - d, d) for d in range(1, 10)]


def test_reverse_mirrors_forward() -> None:
    forward = read(RecentFramesPolicy(stride=2), bank([0], list(range(1, 20))), 20)
    reverse = read(RecentFramesPolicy(stride=2), bank([40], list(range(39, 20, -1))), 20, reverse=True)
    assert reverse == tuple([(40 - frame, value) for frame, value in part] for part in forward)


def test_stride_reads_the_neighbour_and_multiples() -> None:
    memories, _ = read(RecentFramesPolicy(stride=3), bank([0], list(range(1, 30))), 20)
    assert memories[1:] == [(6, 5), (9, 4), (12, 3), (15, 2), (18, 1), (19, 0)]


def test_future_conditioning_frames_give_memories_but_no_pointers() -> None:
    assert read(RecentFramesPolicy(), bank([5], []), 2) == ([(5, 6)], [])
    assert read(RecentFramesPolicy(), bank([5], []), 9, reverse=True)[1] == []
    assert read(RecentFramesPolicy(), bank([9], []), 5, reverse=True)[1] == [(9, 4)]


def test_unselected_conditioning_frame_serves_as_a_recent_one() -> None:
    memories, pointers = read(RecentFramesPolicy(max_cond_frames=2), bank([0, 3, 6, 9], [1, 2, 4, 5, 7]), 8)
    assert memories[:2] == [(6, 6), (9, 6)]
    assert (3, 4) in memories and (0, 6) not in memories
    assert (6, 2) in pointers and (3, 5) in pointers and (9, -1) not in pointers


def test_pointer_limit() -> None:
    _, pointers = read(RecentFramesPolicy(), bank([0], list(range(1, 40))), 40, limit=4)
    assert pointers == [(0, 40), (39, 1), (38, 2), (37, 3)]


def test_what_is_only_a_result_is_not_read() -> None:
    filled = bank([0], [1, 3])
    filled.put(2, MemoryEntry(entry(2.0).result, None, readable=False))
    memories, pointers = read(RecentFramesPolicy(), filled, 4)
    assert [frame for frame, _ in memories] == [0, 1, 3] and [frame for frame, _ in pointers] == [0, 3, 1]
    assert filled.get(2) is not None and filled.tracked(2) is None


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


# -- what is kept ------------------------------------------------------------------------------------------------------


@given(stride=st.integers(1, 3), frame=st.integers(31, 60), reverse=st.booleans(), window=st.booleans())
def test_pruning_changes_nothing_that_is_read_later(stride: int, frame: int, reverse: bool, window: bool) -> None:
    policy = RecentFramesPolicy(stride=stride)
    tracked = [100 - f for f in range(1, frame)] if reverse else list(range(1, frame))
    whole, pruned = bank([100 if reverse else 0], tracked), bank([100 if reverse else 0], tracked)
    now = 101 - frame if reverse else frame - 1
    pruned.prune(policy.reach(Hypothesis(pruned), Moment(now, reverse, 16)), forget=window)
    following = now - 1 if reverse else now + 1
    assert read(policy, pruned, following, reverse) == read(policy, whole, following, reverse)
    selection = policy.select(Hypothesis(pruned), Moment(following, reverse, 16))
    assert all(r.entry.encoded is not None for r in selection.memories)
    kept = [f for f, e in pruned.history.items() if e.encoded is not None]
    assert len(kept) <= 6 * stride + 1
    assert len(pruned.history) == (min(frame - 1, max(16, 6 * stride + 1)) if window else frame - 1)


def test_anchors_stay() -> None:
    filled = bank([0], list(range(1, 30)))
    filled.put(4, entry(4.0), anchor=True)
    filled.prune(Reach(frozenset(), frozenset()), forget=True)
    assert list(filled.history) == [4] and list(filled.anchors) == [4]
    assert filled.history[4].encoded is not None
    filled.drop(4)
    assert not filled.anchors


@pytest.mark.parametrize(
    ("first", "tracked", "expected"),
    [
        (True, 9, [(0, 6), (6, 3), (7, 2), (8, 1), (9, 0), (2, 6), (1, 6)]),
        (False, 9, [(0, 6), (4, 5), (5, 4), (6, 3), (7, 2), (8, 1), (9, 0)]),
        (False, 5, [(0, 6), (1, 4), (2, 3), (3, 2), (4, 1), (5, 0)]),
    ],
)
def test_anchors_come_first_or_fill_up(first: bool, tracked: int, expected: list[tuple[int, int]]) -> None:
    policy = Policy(long=DistractorAnchors(), anchors_first=first)
    filled = bank([0], list(range(1, tracked + 1)))
    for frame in (1, 2):
        filled.put(frame, entry(float(frame)), anchor=True)
    hypothesis = Hypothesis(filled, {"long": {"anchors": [2, 1]}})
    selection = policy.select(hypothesis, Moment(tracked + 1, False, 16))
    assert [(r.frame_idx, r.time) for r in selection.memories] == expected


def test_anchors_fill_the_rows_of_an_object_that_was_away() -> None:
    policy = Policy(UnbrokenFrames(), DistractorAnchors(), anchors_first=False)
    filled = bank([0], list(range(1, 9)))
    filled.put(2, entry(2.0), anchor=True)
    gone = {"object_score": -1.0, "away": 3.0}
    filled.history[6] = replace(filled.history[6], facts=gone)
    hypothesis = Hypothesis(filled, {"long": {"anchors": [2]}})
    selection = policy.select(hypothesis, Moment(9, False, 16))
    assert [(r.frame_idx, r.time) for r in selection.memories] == [(0, 6), (7, 1), (8, 0), (2, 6)]


def test_hypotheses_share_their_past_and_part() -> None:
    first = bank([0], [1, 2])
    second = MemoryBank(first)
    first.put(3, entry(3.0), alone=False)
    second.put(3, entry(33.0), alone=False)
    assert [int(b.tracked(3).score) for b in (first, second)] == [3, 33]  # type: ignore[union-attr]
    assert first.tracked(2) is second.tracked(2)
    third = MemoryBank(second)
    third.put(4, entry(44.0), alone=False)
    assert second.tracked(4) is None and int(third.tracked(3).score) == 33  # type: ignore[union-attr]
    third.settle()
    assert [int(first.history[f].score) for f in (3, 4)] == [33, 44], "the past of the one that is left"
    assert int(first.tracked(3).score) == 3, "what it has for itself comes first"  # type: ignore[union-attr]
