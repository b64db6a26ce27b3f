"""Samplers of frames, objects and data sets."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam2v.data import FrameSampler, MixedBatches, ObjectSampler, draw_seed


def rng(seed=0):
    return np.random.default_rng(seed)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.integers(0, 3), st.integers(0, 2**32))
def test_frames_are_evenly_spaced(count, frames, low, extra, seed):
    annotated = [4 * index for index in range(count)]
    chosen = FrameSampler(frames, (low, low + extra))(annotated, rng(seed))
    assert len(chosen) == frames and set(chosen) <= set(annotated)
    steps = np.diff(chosen)
    if (frames - 1) * low < count and frames > 1:  # long enough: one stride, one direction
        assert len(set(steps.tolist())) == 1 and 4 * low <= abs(steps[0]) <= 4 * (low + extra)
    elif frames > 1 and count > low:
        assert (np.abs(steps) <= 4 * low).all()


def test_all_starts_strides_and_both_directions_come_up():
    sampler = FrameSampler(3, (1, 3))
    drawn = Counter(tuple(sampler(range(8), rng(seed))) for seed in range(600))
    expected = {(s, s + d, s + 2 * d) for d in (1, 2, 3) for s in range(8 - 2 * d)}
    assert set(drawn) == expected | {chosen[::-1] for chosen in expected}
    forward = sum(count for chosen, count in drawn.items() if chosen[0] < chosen[-1])
    assert 230 < forward < 370
    never = FrameSampler(3, reverse=0)
    assert all(np.diff(never(range(8), rng(seed))).min() > 0 for seed in range(20))


def test_short_videos_are_walked_to_and_fro():
    assert FrameSampler(6, reverse=0)([10, 20, 30], rng()) == [10, 20, 30, 20, 10, 20]
    assert FrameSampler(3)([5], rng()) == [5, 5, 5]


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 11), st.integers(0, 2**32))
def test_clips_can_start_at_a_given_frame(count, frames, place, seed):
    place %= count
    chosen = FrameSampler(frames, (1, 2)).starting_at(place, range(count), rng(seed))
    assert len(chosen) == frames and chosen[0] == place and set(chosen) <= set(range(count))
    assert (np.abs(np.diff(chosen)) <= 2).all() and (count == 1 or (np.diff(chosen) != 0).any() or frames == 1)


def test_clips_from_a_given_frame_go_both_ways():
    drawn = {tuple(FrameSampler(2).starting_at(3, range(8), rng(seed))) for seed in range(30)}
    assert drawn == {(3, 4), (3, 2)}


def test_seeds_tell_lists_of_numbers_apart():
    assert draw_seed(5, 1) == draw_seed(5, 1)
    assert len({draw_seed(5), draw_seed(5, 0), draw_seed(5, 0, 0), draw_seed(0, 5)}) == 4


def test_objects():
    sampler = ObjectSampler(2, min_area=10)
    areas = {1: 100, 2: 9, 3: 10, 7: 50}
    drawn = [sampler(areas, rng(seed)) for seed in range(100)]
    assert all(len(set(chosen)) == 2 for chosen in drawn)
    assert {obj for chosen in drawn for obj in chosen} == {1, 3, 7}
    assert sampler({2: 9}, rng()) == [] and ObjectSampler(5)({3: 1}, rng()) == [3]


def test_bad_samplers():
    for options in ({"frames": 0}, {"strides": (0, 1)}, {"strides": (3, 2)}, {"reverse": 2}):
        with pytest.raises(ValueError, match=next(iter(options))):
            FrameSampler(**options)
    with pytest.raises(ValueError, match="at least 1"):
        ObjectSampler(0)
    with pytest.raises(ValueError, match="no annotated frame"):
        FrameSampler()([], rng())


def test_seeds():
    assert draw_seed(1, 2, 3) == draw_seed(1, 2, 3) != draw_seed(1, 3, 2)
    assert len({draw_seed(0, epoch, index) for epoch in range(20) for index in range(50)}) == 1000
    assert all(0 <= draw_seed(value) < 2**63 for value in range(100))


@given(st.integers(0, 30), st.integers(0, 5))
def test_resuming_continues_the_same_batches(start, seed):
    whole = list(MixedBatches([5, 100], 30, 4, weights=[1, 2], seed=seed))
    rest = MixedBatches([5, 100], 30, 4, weights=[1, 2], seed=seed, start=start)
    assert list(rest) == whole[start:] and len(rest) == 30 - start


def test_ranks_share_the_batches_of_one_process():
    whole = list(MixedBatches([7, 9], 20, [4, 6], seed=3))
    parts = [list(MixedBatches([7, 9], 20, [4, 6], seed=3, rank=(rank, 2))) for rank in range(2)]
    assert [first + second for first, second in zip(*parts)] == whole


def test_passes_are_complete_and_in_new_orders():
    keys = [key for batch in MixedBatches([10], 6, 5, seed=1) for key in batch]
    passes = [[index for _, number, index in keys if number == which] for which in range(3)]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert len(set(map(tuple, passes))) == 3


def test_weights():
    batches = list(MixedBatches([10, 10, 10], 3000, 1, weights=[1, 3, 0]))
    drawn = Counter(source for ((source, _, _),) in batches)
    assert 650 < drawn[0] < 850 and drawn[2] == 0
    assert all(len({source for source, _, _ in batch}) == 1 for batch in MixedBatches([3, 3], 50, 4))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"lengths": []}, "at least one data set"),
        ({"lengths": [3, 0]}, "none of them empty"),
        ({"weights": [1]}, "one weight"),
        ({"weights": [0, 0]}, "one of them > 0"),
        ({"weights": [-1, 2]}, "one weight >= 0"),
        ({"batch_size": [4]}, "one batch size per data set"),
        ({"batch_size": 3, "rank": (0, 2)}, "cannot share"),
        ({"rank": (2, 2)}, "cannot share"),
        ({"start": 9}, "start is between"),
    ],
)
def test_bad_mixes(arguments, message):
    with pytest.raises(ValueError, match=message):
        MixedBatches(**{"lengths": [3, 3], "steps": 8, "batch_size": 4} | arguments)
