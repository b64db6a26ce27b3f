"""The three phases at the bench: what is computed, what stays, what is written down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_engine.made import Squares, square, squares

from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.bench import open_bench
from sam2v.data_engine.tools import Tools

RATE = 6.0  # of 24: frames 0, 4, 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares(tmp_path_factory.mktemp("clips"))["squares0"][0]


def tracked(tools: Tools, clip: Path, frame: int, mask: np.ndarray) -> dict[int, np.ndarray]:
    """What the tracker itself makes of the mask of one frame."""
    state = tools.video.init_state(clip)
    tools.video.add_mask(state, frame, 1, mask)
    return {r.frame_idx: r.binary()[0].copy() for r in tools.video.propagate_in_video(state, start_frame_idx=frame)}


def test_phase_1_knows_nothing_of_other_frames(tools: Tools, clip: Path) -> None:
    with open_bench(1, tools, clip, RATE) as bench:
        mask = bench.click(4, 12, 14, 1)
        again = bench.click(4, 30, 30, 0)
        assert not list(bench.propose(4)) and not bench.mask(0).any() and not bench.mask(8).any()
        assert np.array_equal(bench.mask(4), again) and mask.shape == (48, 64)
        bench.begin(4)  # from scratch
        assert not bench.mask(4).any() and np.array_equal(bench.click(4, 12, 14, 1), mask)
        done = bench.done()
    assert (done.phase, done.edited, done.count("click"), done.masks.frames) == (1, 1, 3, [0, 4, 8])
    assert done.model == tools.name and done.model_seconds > 0


@pytest.mark.parametrize("phase", [1, 2, 3])
def test_a_click_that_is_refused_changes_nothing(tools: Tools, clip: Path, phase: int) -> None:
    with open_bench(phase, tools, clip, RATE) as bench, open_bench(phase, tools, clip, RATE) as other:
        bench.give(4, Squares().masks(4)[1])
        for frame, x, y, label in ((4, 12, 14, 5), (4, -1, 2, 1), (4, 99, 2, 0), (4, float("nan"), 2, 0), (3, 1, 1, 1)):
            with pytest.raises(ValueError, match=r"label|outside|NaN|finite|not one that is annotated"):
                bench.click(frame, x, y, label)
        assert np.array_equal(bench.mask(4), Squares().masks(4)[1]) and len(bench.acts) == 1
        assert np.array_equal(bench.click(0, 12, 14, 1), other.click(0, 12, 14, 1))


def test_phase_2_proposes_from_one_mask_alone(tools: Tools, clip: Path) -> None:
    first, later = (Squares().masks(index)[1] for index in (0, 4))
    with open_bench(2, tools, clip, RATE) as bench:
        bench.give(0, first)
        assert list(bench.propose(0)) == [4, 8]
        expected = tracked(tools, clip, 0, first)
        assert all(np.array_equal(bench.mask(index), expected[index]) for index in (4, 8))
        bench.give(4, later)
        assert list(bench.propose(4)) == [8]
        assert np.array_equal(bench.mask(0), first) and np.array_equal(bench.mask(4), later)
        assert np.array_equal(bench.mask(8), tracked(tools, clip, 4, later)[8])


def test_phase_3_remembers_edited_frames_and_nothing_that_was_tracked(tools: Tools, clip: Path) -> None:
    """The frames behind the second mask follow from the two masks, whatever was tracked in between."""
    state = tools.refining.init_state(clip)
    with open_bench(3, tools, clip, RATE) as bench:
        first = bench.click(0, 12, 14, 1)
        assert list(bench.propose(0)) == [4, 8]
        before = bench.mask(8)
        later = bench.click(4, 30, 30, 1)
        assert list(bench.propose(4)) == [8]
        assert np.array_equal(bench.mask(0), first) and np.array_equal(bench.mask(4), later)
        for index, mask in ((0, first), (4, later)):
            tools.refining.add_mask(state, index, 1, mask)
        list(tools.refining.track_frames(state, [3, 2, 1], reverse=True))  # anew
        expected = {r.frame_idx: r.binary()[0].copy() for r in tools.refining.propagate_in_video(state, 4)}
        assert np.array_equal(bench.mask(8), expected[8]) and not np.array_equal(bench.mask(8), before)


def test_phase_3_goes_on_where_the_object_is_not_to_be_seen(tools: Tools, clip: Path) -> None:
    nothing = np.zeros((48, 64), bool)
    with open_bench(3, tools, clip, RATE) as bench:
        bench.give(0, nothing)
        assert list(bench.propose(0)) == [4, 8] and not bench.mask(4).any()  # nothing is known of it yet
        bench.click(4, 12, 14, 1)
        bench.give(8, nothing)
        assert list(bench.propose(4)) == [8] and not bench.mask(8).any()
        assert bench.acts[-1].kind == "mask"


def test_phase_3_remembers_nothing_of_frames_on_which_there_is_nothing(tools: Tools, clip: Path) -> None:
    """Whatever the tracker sees there, also when it passes them again."""
    with open_bench(3, tools, clip, RATE) as bench:
        bench.give(0, Squares().masks(0)[1])
        list(bench.propose(0))
        bench.give(4, np.zeros((48, 64), bool))
        for start in (4, 0):
            list(bench.propose(start))
            bank = bench._state.tracks[1].bank  # type: ignore[attr-defined]
            assert bank.get(4) is None and bank.get(3) is not None and bank.get(5) is not None


@pytest.mark.parametrize("phase", [2, 3])
def test_edited_frames_stay(tools: Tools, clip: Path, phase: int) -> None:
    last = Squares().masks(8)[1]
    with open_bench(phase, tools, clip, RATE) as bench:
        bench.give(8, last)
        bench.give(0, Squares().masks(0)[1])
        assert list(bench.propose(0)) == [4, 8]
        assert np.array_equal(bench.mask(8), last)


def test_strokes_add_and_take_away(tools: Tools, clip: Path) -> None:
    region = np.zeros((48, 64), bool)
    region[:10, :10] = True
    with open_bench(2, tools, clip, RATE) as bench:
        assert np.array_equal(bench.stroke(0, region, 1), region)
        assert not bench.stroke(0, region, 0).any()
        acts = bench.done().acts
    assert [act.kind for act in acts] == ["stroke"] * 2 and (acts[0].x, acts[0].y) == (4.5, 4.5)


def test_masks_to_begin_with_are_refined(tools: Tools, clip: Path) -> None:
    """A click on a frame refines the mask that is there; the others stay."""
    truth = Squares()
    start = MaskletMasks.of({index: truth.masks(index)[1] for index in (0, 4, 8)}, truth.size)
    with open_bench(3, tools, clip, RATE, start) as bench:
        assert np.array_equal(bench.mask(8), truth.masks(8)[1])
        y, x = np.argwhere(bench.mask(4))[0]
        assert not bench.click(4, float(x), float(y), 0)[y, x]
        assert np.array_equal(bench.mask(0), truth.masks(0)[1]) and np.array_equal(bench.mask(8), truth.masks(8)[1])


def test_what_does_not_fit_is_refused(tools: Tools, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="phase must be 1, 2 or 3"):
        open_bench(4, tools, clip, RATE)
    with pytest.raises(ValueError, match="belong to another video"):
        open_bench(3, tools, clip, RATE, square())
    with pytest.raises(FileNotFoundError):
        open_bench(3, tools, tmp_path / "absent", RATE)
    with open_bench(1, tools, clip, RATE) as bench:
        with pytest.raises(ValueError, match="frame 3 is not one that is annotated"):
            bench.click(3, 1, 1, 1)
        with pytest.raises(ValueError, match="pixels on frames of"):
            bench.give(0, np.zeros((4, 4), bool))
        assert not bench.acts
