"""Verified frames, merged and renamed objects, and the frame to look at next."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2v import Session, VideoPredictor
from sam2v.predict.annotating import ObjectScores

FRAMES = 8


def begun(predictor: VideoPredictor, clip: np.ndarray) -> Session:
    """Two objects, tracked through the clip."""
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.add_points(state, 1, 2, [(40, 30)])
    list(predictor.propagate_in_video(state))
    return state


def shown(predictor: VideoPredictor, state: Session, obj_id: int) -> torch.Tensor:
    """T x H x W logits of an object on all frames."""
    results = [predictor.result(state, index) for index in range(FRAMES)]
    return torch.stack([result.masks[result.obj_ids.index(obj_id), 0] for result in results])


# -- verified frames ---------------------------------------------------------------------------------------------------


def test_tracking_stops_at_a_verified_frame_and_goes_on_for_others(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = begun(predictor, clip)
    before = {obj_id: shown(predictor, state, obj_id) for obj_id in (1, 2)}
    assert predictor.verify(state, 4, 1).frame_idx == 4
    predictor.add_points(state, 2, 1, [(30, 30)], [0])
    predictor.add_points(state, 2, 2, [(50, 20)], [0])
    results = {result.frame_idx: result for result in predictor.propagate_in_video(state)}
    assert sorted(results) == list(range(FRAMES))
    after = {obj_id: shown(predictor, state, obj_id) for obj_id in (1, 2)}
    assert torch.equal(after[1][4:], before[1][4:])  # kept, and behind it nothing was tracked
    assert not torch.equal(after[1][3], before[1][3]) and not torch.equal(after[2][7], before[2][7])
    assert all(torch.equal(result.masks[0, 0], after[1][index]) for index, result in results.items())


def test_tracking_ends_where_every_object_has_stopped(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = begun(predictor, clip)
    predictor.verify(state, 3)
    predictor.verify(state, 5, 2)
    assert state.verified == {1: [3], 2: [3, 5]}
    assert [r.frame_idx for r in predictor.propagate_in_video(state)] == [0, 1, 2, 3]
    assert [r.frame_idx for r in predictor.propagate_in_video(state, 7, reverse=True)] == [7, 6, 5, 4, 3]
    assert [r.frame_idx for r in predictor.propagate_in_video(state, 4, direction="both")] == [4, 5, 6, 7, 3]
    assert [r.frame_idx for r in predictor.track_frames(state, range(1, 8))] == [1, 2, 3]


def test_tracking_goes_on_from_a_verified_frame_where_it_is_started_there(
    predictor: VideoPredictor, clip: np.ndarray
) -> None:
    state = begun(predictor, clip)
    predictor.verify(state, 3)
    kept = shown(predictor, state, 1)[3]
    assert [r.frame_idx for r in predictor.propagate_in_video(state, 3)] == [3, 4, 5, 6, 7]
    assert torch.equal(shown(predictor, state, 1)[3], kept)


def test_nothing_changes_a_verified_frame(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = begun(predictor, clip)
    predictor.verify(state, 0, 1)
    before = predictor.result(state, 0).masks.clone()
    for change in (
        lambda: predictor.add_points(state, 0, 1, [(10, 10)]),
        lambda: predictor.add_mask(state, 0, 1, np.ones((4, 4))),
        lambda: predictor.clear_all_prompts_in_frame(state, 0, 1),
    ):
        with pytest.raises(ValueError, match=r"object 1 is verified on frame 0: take that back first \(unverify\)"):
            change()
    assert torch.equal(predictor.result(state, 0).masks, before)
    predictor.add_points(state, 0, 2, [(40, 30)])  # another object may
    predictor.unverify(state, 0)
    predictor.unverify(state, 0, 1)  # nothing to take back
    assert state.verified == {}
    predictor.add_points(state, 0, 1, [(10, 10)])


def test_what_cannot_be_verified(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    with pytest.raises(ValueError, match="no object has a result on frame 0"):
        predictor.verify(state, 0)
    predictor.add_points(state, 1, 1, [(20, 20)])
    with pytest.raises(ValueError, match="object 1 does not have a result on frame 4"):
        predictor.verify(state, 4, 1)
    with pytest.raises(KeyError, match="unknown object 9"):
        predictor.verify(state, 1, 9)
    with pytest.raises(ValueError, match="outside the video"):
        predictor.verify(state, 99)
    assert state.verified == {}


def test_verified_frames_are_saved_copied_and_forgotten(
    predictor: VideoPredictor, clip: np.ndarray, tmp_path: Path
) -> None:
    state = begun(predictor, clip)
    predictor.verify(state, 4)
    predictor.save_session(state, tmp_path / "a.session")
    again, trial = predictor.load_session(tmp_path / "a.session", clip), copy.deepcopy(state)
    predictor.unverify(trial, 4, 1)
    assert again.verified == state.verified == {1: [4], 2: [4]} and trial.verified == {2: [4]}
    assert [r.frame_idx for r in predictor.propagate_in_video(again)] == [0, 1, 2, 3, 4]
    predictor.reset_state(state)
    assert state.verified == {}


def test_a_stream_keeps_what_was_verified(predictor: VideoPredictor, clip: np.ndarray) -> None:
    long = np.concatenate([clip] * 4)
    state = predictor.init_state(iter(long), history="window")
    predictor.add_points(state, 0, 1, [(20, 20)])
    kept = None
    for result in predictor.propagate_in_video(state):
        if result.frame_idx == 5:
            predictor.verify(state, 5)
            kept = result.masks
    assert kept is not None and torch.equal(predictor.result(state, 5).masks, kept)
    assert state.tracks[1].entry(6) is None  # as everything else that left the window


@settings(max_examples=8)
@given(
    marks=st.lists(st.tuples(st.integers(0, FRAMES - 1), st.sampled_from([1, 2])), max_size=4),
    starts=st.lists(st.tuples(st.integers(0, FRAMES - 1), st.sampled_from(["forward", "reverse", "both"])), max_size=3),
)
def test_whatever_is_tracked_verified_frames_stay(
    predictor: VideoPredictor, clip: np.ndarray, marks: list, starts: list
) -> None:
    state = begun(predictor, clip)
    for index, obj_id in marks:
        if state.tracks[obj_id].entry(index) is not None:
            predictor.verify(state, index, obj_id)
    before = {obj_id: shown(predictor, state, obj_id) for obj_id in (1, 2)}
    for start, direction in starts:
        if (start, direction) != (0, "reverse"):
            list(predictor.propagate_in_video(state, start, direction=direction))
    for obj_id, frames in state.verified.items():
        assert torch.equal(shown(predictor, state, obj_id)[frames], before[obj_id][frames])


# -- objects -----------------------------------------------------------------------------------------------------------


def test_a_renamed_object_is_the_same_object(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state, other = begun(predictor, clip), begun(predictor, clip)
    predictor.verify(state, 3, 1)
    assert predictor.rename_object(state, 1, 70) == [70, 2] and state.verified == {70: [3]}
    assert torch.equal(shown(predictor, state, 70), shown(predictor, other, 1))
    predictor.unverify(state, 3)
    for session in (state, other):
        predictor.add_points(session, 2, session.obj_ids[0], [(30, 30)], [0])
    results = zip(predictor.propagate_in_video(state), predictor.propagate_in_video(other), strict=True)
    assert all(torch.equal(one.masks, two.masks) and one.obj_ids == [70, 2] for one, two in results)


def test_a_renamed_object_keeps_prompts_that_wait(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(None)
    predictor.track(state, clip[0])
    predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.add_points(state, 1, 1, [(22, 20)])
    assert predictor.rename_object(state, 1, 5) == [5]
    assert predictor.track(state, clip[1]).obj_ids == [5] and list(state.tracks[5].points) == [0, 1]


def test_names_that_cannot_be_given(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = begun(predictor, clip)
    with pytest.raises(ValueError, match="there is an object 2 already"):
        predictor.rename_object(state, 1, 2)
    with pytest.raises(KeyError, match="unknown object 5"):
        predictor.rename_object(state, 5, 6)
    with pytest.raises(TypeError, match="new_id must be an integer"):
        predictor.rename_object(state, 1, "dog")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="new_id must not be negative, got -3"):
        predictor.rename_object(state, 1, -3)
    assert predictor.rename_object(state, 1, 1) == [1, 2] == state.obj_ids


def test_merged_objects_are_the_union_and_keep_their_prompts(
    predictor: VideoPredictor, clip: np.ndarray, tmp_path: Path
) -> None:
    state = begun(predictor, clip)
    before = [shown(predictor, state, obj_id) for obj_id in (1, 2)]
    kept = [torch.stack([state.tracks[i].shown(index).mask > 0 for index in range(1, FRAMES)]) for i in (1, 2)]
    assert predictor.merge_objects(state, 1, 2) == [1]
    track, now = state.tracks[1], shown(predictor, state, 1)
    assert torch.equal(torch.stack([track.shown(index).mask > 0 for index in range(1, FRAMES)]), kept[0] | kept[1])
    assert ((now > 0) != (torch.maximum(*before) > 0)).float().mean() < 0.03  # edges: enlarged after they are united
    assert list(track.points) == [0, 1] and sorted(track.bank.conditioning) == [0, 1]
    predictor.save_session(state, tmp_path / "a.session")
    again = predictor.load_session(tmp_path / "a.session", clip)
    assert torch.equal(shown(predictor, again, 1), now)
    for one, two in zip(predictor.propagate_in_video(state), predictor.propagate_in_video(again), strict=True):
        assert torch.equal(one.masks, two.masks)


def test_a_merged_object_still_stops_where_it_was_verified(predictor: VideoPredictor, clip: np.ndarray) -> None:
    """Merging while it is tracked does not start it again."""
    state = predictor.init_state(clip)
    for obj_id, place in ((1, (20, 20)), (2, (40, 30)), (3, (10, 40))):
        predictor.add_points(state, 0, obj_id, [place])
    list(predictor.propagate_in_video(state))
    predictor.verify(state, 2, 1)
    for result in predictor.propagate_in_video(state):
        if result.frame_idx == 3:
            for frame in (2, FRAMES - 1):
                state.forget_result(2, frame)
            before = state.tracks[1].shown(FRAMES - 1).mask
            predictor.merge_objects(state, 1, 2)
    assert torch.equal(state.tracks[1].shown(FRAMES - 1).mask, before)


def test_merging_puts_prompts_of_one_frame_together(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    mask = np.zeros(clip.shape[1:3], bool)
    mask[10:30, 10:30] = True
    predictor.add_points(state, 0, 1, [(20, 20)], box=[10, 10, 30, 30])
    predictor.add_points(state, 0, 2, [(40, 30)], box=[32, 20, 50, 40])
    predictor.add_mask(state, 2, 1, mask)
    predictor.add_mask(state, 2, 2, np.roll(mask, 20, 1))
    predictor.add_points(state, 3, 3, [(5, 5)])
    predictor.merge_objects(state, 1, [2, 3])
    track = state.tracks[1]
    assert state.obj_ids == [1] and track.points[0].labels.tolist() == [2, 3, 1, 1] and list(track.points) == [0, 3]
    scale = np.array(state.input_size[::-1]) / np.array(clip.shape[1:3][::-1])
    np.testing.assert_allclose(track.points[0].coords[:2], np.array([[10, 10], [50, 40]]) * scale, rtol=1e-5)
    covered = predictor.result(state, 2).binary()[0]
    assert covered[mask | np.roll(mask, 20, 1)].mean() > 0.9
    predictor.add_points(state, 0, 1, [(20, 25)], clear_old_points=False)
    assert len(list(predictor.propagate_in_video(state))) == FRAMES


def test_merging_changes_no_verified_frame(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    left, right = np.zeros((2, *clip.shape[1:3]), bool)
    left[10:30, 5:25], right[10:30, 35:60] = True, True
    predictor.add_mask(state, 0, 1, left)
    predictor.add_mask(state, 0, 2, right)
    predictor.add_mask(state, 3, 2, right)
    predictor.verify(state, 0, 1)
    with pytest.raises(ValueError, match="object 1 is verified on frame 0, and object 2 covers something else"):
        predictor.merge_objects(state, 2, 1)
    assert state.obj_ids == [1, 2] and state.verified == {1: [0]}
    predictor.unverify(state, 0)
    predictor.verify(state, 3, 2)
    before = predictor.result(state, 3).binary()[1].copy()
    predictor.merge_objects(state, 1, 2)
    assert state.verified == {1: [3]}
    np.testing.assert_array_equal(predictor.result(state, 3).binary()[0], before)


def test_ids_from_arrays(predictor: VideoPredictor, clip: np.ndarray) -> None:
    for others in (np.int64(2), torch.tensor(2), np.array([2])):
        state = begun(predictor, clip)
        with pytest.raises(ValueError, match="name the objects that are to become part of object 1, got none"):
            predictor.merge_objects(state, 1, [])
        with pytest.raises(TypeError, match="must be an integer"):
            predictor.merge_objects(state, 1, 2.0)  # type: ignore[arg-type]
        assert predictor.merge_objects(state, np.int64(1), others) == [1]  # type: ignore[arg-type]
        assert predictor.rename_object(state, 1, np.int64(7)) == [7]  # type: ignore[arg-type]


def test_what_cannot_be_merged(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = begun(predictor, clip)
    for others, error in ((1, ValueError), ([2, 2], ValueError), ([2, 9], KeyError)):
        with pytest.raises(error):
            predictor.merge_objects(state, 1, others)
    assert state.obj_ids == [1, 2]
    stream = predictor.init_state(iter(clip))
    predictor.add_points(stream, 0, 1, [(20, 20)])
    predictor.add_points(stream, 0, 2, [(40, 30)])
    with pytest.raises(ValueError, match="objects of a stream cannot be merged"):
        predictor.merge_objects(stream, 1, 2)


@pytest.mark.parametrize("policy", ["tree", "robust"])
def test_objects_of_several_hypotheses(policy: str, predictor: VideoPredictor, clip: np.ndarray) -> None:
    video = VideoPredictor(predictor.model, policy=policy)
    state = begun(video, clip)
    video.verify(state, 5, 1)
    kept = shown(video, state, 1)[5]
    video.add_points(state, 1, 1, [(30, 30)], [0])
    list(video.propagate_in_video(state))
    assert torch.equal(shown(video, state, 1)[5], kept)
    video.unverify(state, 5)
    video.merge_objects(state, 1, 2)
    assert len(list(video.propagate_in_video(state))) == FRAMES


# -- scores ------------------------------------------------------------------------------------------------------------


def test_the_worst_frame_is_the_one_of_the_lowest_quality(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = begun(predictor, clip)
    qualities = {
        (index, obj_id): scores.quality
        for index in range(2, FRAMES)
        for obj_id, scores in predictor.scores(state, index).items()
    }
    for index, obj_id in ((0, 2), (1, 1)):  # there the other one is prompted
        qualities[index, obj_id] = predictor.scores(state, index)[obj_id].quality
    while qualities:
        worst = predictor.worst_frame(state)
        assert worst is not None and worst.quality == min(qualities.values())
        assert qualities.pop(worst[:2]) == worst.quality
        predictor.verify(state, worst.frame_idx, worst.obj_id)
    assert predictor.worst_frame(state) is None and predictor.worst_frame(state, 2) is None
    with pytest.raises(KeyError, match="unknown object 3"):
        predictor.worst_frame(state, 3)


def test_quality() -> None:
    assert ObjectScores(0.9, 100.0).quality == pytest.approx(0.9)
    assert ObjectScores(0.9, 0.1).quality < 0.5 < ObjectScores(0.9, 3).quality
    assert ObjectScores(0.1, -100.0).quality == pytest.approx(1)  # surely absent is no bad frame
    assert ObjectScores(1.3, 1e9).quality == 1 and ObjectScores(-0.1, 1e9).quality == 0
