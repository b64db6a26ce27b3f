"""Live streams: their caller's numbers, and prompts for frames that have not come."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from sam2v import Prompt, VideoPredictor
from sam2v.model.network import Sam2Network

NUMBERS = [1, 2, 5, 9, 10, 11, 40, 41, 43]
FRAMES = len(NUMBERS)


def stream(predictor: VideoPredictor, clip: np.ndarray, numbers: list[int]) -> list:
    """A click on the second frame, given right after it came, and a correction two frames later."""
    state, results = predictor.init_state(None), []
    for position, (number, frame) in enumerate(zip(numbers, clip, strict=True)):
        result = predictor.track(state, frame, frame_idx=number)
        if position == 1:
            result = predictor.add_points(state, number, 7, [(20, 20)])
        if position == 3:
            result = predictor.add_points(state, numbers[2], 7, [(40, 30)], [0])
        results.append(result)
    return results


def test_a_stream_is_numbered_as_its_caller_numbers_it(predictor: VideoPredictor, clip: np.ndarray) -> None:
    """Gaps are no gaps in memory: the frame before is the one that came before."""
    mine, plain = stream(predictor, clip, NUMBERS), stream(predictor, clip, list(range(len(clip))))
    assert [r.frame_idx for r in mine][4:] == NUMBERS[4:]
    for a, b in zip(mine, plain, strict=True):
        assert torch.equal(a.masks, b.masks)


def test_numbers_go_upwards(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(None)
    for wrong, words in ((-1, "numbers start at 0"), (True, "must be an integer"), (1.5, "must be an integer")):
        with pytest.raises((ValueError, TypeError), match=words):
            predictor.track(state, clip[0], frame_idx=wrong)  # type: ignore[arg-type]
    assert predictor.track(state, clip[0], frame_idx=5).frame_idx == 5
    with pytest.raises(ValueError, match=r"frame_idx 5: .*numbered upwards, and the newest has number 5"):
        predictor.track(state, clip[1], frame_idx=5)
    assert predictor.track(state, clip[1]).frame_idx == 6
    assert predictor.track(state, clip[2], frame_idx=9).frame_idx == 9
    with pytest.raises(ValueError, match="frame 7 never came"):
        predictor.add_points(state, 7, 1, [(20, 20)])
    with pytest.raises(ValueError, match="frame 3 has left the stream's window: frames 5 to 9"):
        predictor.add_points(state, 3, 1, [(20, 20)])
    assert predictor.add_points(state, 6, 1, [(20, 20)]).frame_idx == 6
    assert list(predictor.scores(state, 6)) == [1]


def test_prompts_are_held_until_their_frame_comes(predictor: VideoPredictor, clip: np.ndarray) -> None:
    held, given = predictor.init_state(None), predictor.init_state(None)
    early = predictor.add_points(held, 3, 1, [(20, 20)])  # before anything has come
    assert early.obj_ids == [] and early.frame_idx == 3 and early.masks.shape[0] == 0
    for number, frame in enumerate(clip):
        if number == 2:
            prompts = {2: Prompt(box=(30, 20, 60, 44)), 1: Prompt(points=[(50, 40)], labels=[0])}
            waits = predictor.add_prompts(held, 5, prompts)
            assert waits.obj_ids == [] and waits.size == (48, 64)
            predictor.add_points(held, 5, 1, [(52, 40)], [0], clear_old_points=False)
        results = [predictor.track(state, frame) for state in (held, given)]
        if number == 3:
            results[1] = predictor.add_points(given, 3, 1, [(20, 20)])
        if number == 5:
            predictor.add_box(given, 5, 2, (30, 20, 60, 44))
            predictor.add_points(given, 5, 1, [(50, 40)], [0])
            results[1] = predictor.add_points(given, 5, 1, [(52, 40)], [0], clear_old_points=False)
        known = [] if number < 3 else [1] if number < 5 else [1, 2]
        assert sorted(results[0].obj_ids) == sorted(results[1].obj_ids) == known
        for obj_id in results[0].obj_ids:
            a, b = (r.masks[r.obj_ids.index(obj_id)] for r in results)
            torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
    assert not held.held


def test_held_prompts_can_be_taken_back_and_are_kept_in_copies(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(None)
    predictor.track(state, clip[0])
    predictor.add_points(state, 1, 1, [(20, 20)])
    predictor.add_points(state, 1, 2, [(40, 30)])
    other = copy.deepcopy(state)
    from_bytes = type(state).from_bytes(state.to_bytes())
    assert predictor.clear_all_prompts_in_frame(state, 1, 1).obj_ids == []
    assert predictor.track(state, clip[1]).obj_ids == [2]
    for copied in (other, from_bytes):
        assert predictor.track(copied, clip[1]).obj_ids == [1, 2]


def test_a_frame_that_never_comes(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(None)
    predictor.add_points(state, 4, 1, [(20, 20)])
    with pytest.warns(UserWarning, match="frame 4 never came: its prompts are dropped"):
        assert predictor.track(state, clip[0], frame_idx=7).obj_ids == []


def test_a_held_prompt_that_turns_out_wrong(predictor: VideoPredictor, clip: np.ndarray) -> None:
    """One error when its frame comes; the stream goes on."""
    state = predictor.init_state(None)
    predictor.add_points(state, 0, 1, [(500, 20)])
    predictor.add_points(state, 0, 2, [(20, 20)])
    with pytest.raises(ValueError, match="lies outside the frame of 64 x 48"):
        predictor.track(state, clip[0])
    assert predictor.result(state, 0).obj_ids == [2], "what is right was answered all the same"
    assert predictor.track(state, clip[1]).frame_idx == 1


@pytest.mark.parametrize("policy", ["recent", "quality", "tree", "motion", "distractor", "robust"])
@pytest.mark.parametrize("window", [2, 5])
def test_every_frame_of_the_window_can_be_prompted(
    network: Sam2Network, clip: np.ndarray, window: int, policy: str
) -> None:
    """What it reads of the frames before it is still there, of objects old and new."""
    predictor = VideoPredictor(network, policy=policy)
    for back in range(window):
        state = predictor.init_state(None, window=window)
        for number in range(20):
            predictor.track(state, clip[number % len(clip)])
            if number == 0:
                predictor.add_points(state, 0, 1, [(20, 20)])
        assert predictor.add_points(state, 19 - back, 1, [(30, 30)], [0]).obj_ids == [1]
        assert predictor.add_points(state, 19 - back, 2, [(40, 20)]).obj_ids == [1, 2]
        assert predictor.track(state, clip[0]).obj_ids == [1, 2]


@pytest.mark.parametrize("strict", [False, True])
def test_a_removed_object_does_not_come_back(predictor: VideoPredictor, clip: np.ndarray, strict: bool) -> None:
    """What was held for it goes with it; one of which nothing else is known can be removed, too."""
    state = predictor.init_state(None)
    predictor.add_points(state, 2, 1, [(20, 20)])
    predictor.add_points(state, 2, 2, [(40, 20)])
    predictor.track(state, clip[0])
    if strict:
        predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.remove_object(state, 1, strict)
    assert [predictor.track(state, clip[number]).obj_ids for number in (1, 2)] == [[], [2]]


def test_any_kind_of_number_names_a_frame(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(None)
    predictor.track(state, clip[0])
    predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.add_points(state, np.int64(2), 1, [(20, 20)])  # type: ignore[arg-type]
    predictor.add_points(state, torch.tensor(3), 2, [(20, 20)])  # type: ignore[arg-type]
    list(predictor.track_frames(state, [0], near=np.array([0])))
    restored = type(state).from_bytes(state.to_bytes())
    predictor.clear_all_prompts_in_frame(restored, np.int64(2), np.int64(1))  # type: ignore[arg-type]
    ids = [predictor.track(restored, frame).obj_ids for frame in clip[1:4]]
    assert ids == [[1], [1], [1, 2]] and not restored.held


def test_numbers_of_a_long_stream_are_forgotten(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(None, window=3)
    for number in range(60):
        predictor.track(state, clip[number % len(clip)], frame_idx=10 * number)
        if number == 0:
            predictor.add_points(state, 0, 1, [(20, 20)])
    assert len(state.numbering.numbers) <= 20
    assert predictor.scores(state, 0)[1].iou > 0, "the prompted frame is known for good"
