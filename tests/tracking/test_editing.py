"""Prompts, corrections and removals: what the session holds afterwards."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
import torch

from sam2v import VideoPredictor
from sam2v.memory import Hypothesis, Moment, Pool, RecentFramesPolicy, Selection
from sam2v.tracking.engine import NoPromptError

FRAMES = 8


def masks(results: list) -> torch.Tensor:
    return torch.stack([r.masks for r in results])


def test_an_object_of_a_stream_whose_prompts_were_taken_back_waits_for_the_next(
    predictor: VideoPredictor, clip: np.ndarray
) -> None:
    state, alone = predictor.init_state(None), predictor.init_state(None)
    for one in (state, alone):
        predictor.track(one, clip[0])
        predictor.add_points(one, 0, 2, [(40, 30)])
    predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.track(state, clip[1])
    predictor.track(alone, clip[1])
    predictor.clear_all_prompts_in_frame(state, 0, 1)
    both, single = predictor.track(state, clip[2]), predictor.track(alone, clip[2])
    torch.testing.assert_close(both.masks[:1], single.masks)
    assert both.obj_ids == [2, 1] and float(both.object_score[1]) < 0 and not (both.masks[1] > 0).any()
    predictor.add_points(state, 2, 1, [(20, 20)])
    assert predictor.track(state, clip[3]).frame_idx == 3 and predictor.scores(state, 3)[1].iou > 0


def test_frames_before_the_video_are_refused(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [(20, 20)])
    with pytest.raises(ValueError, match="frame_idx -1 is outside"):
        list(predictor.track_frames(state, [-1]))


def test_a_mask_that_is_too_small_is_warned_about(predictor: VideoPredictor) -> None:
    clip, mask = np.zeros((1, 540, 960, 3), np.uint8), np.zeros((540, 960), bool)
    state = predictor.init_state(clip)
    mask[200:203, 300:303] = True
    with pytest.warns(UserWarning, match=r"9 pixels of 540 x 960, is too small to be kept"):
        predictor.add_mask(state, 0, 1, mask)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.add_mask(state, 0, 1, np.zeros_like(mask))
        mask[100:400, 300:600] = True
        predictor.add_mask(state, 0, 1, mask)


def test_a_session_can_be_shown_before_its_first_frame(predictor: VideoPredictor) -> None:
    assert repr(predictor.init_state(None)) == "Session(live, no frame yet, objects [], history='window')"


def test_impossible_streams_are_refused(predictor: VideoPredictor) -> None:
    for options in ({"window": 2.5}, {"num_frames": "a"}):
        with pytest.raises(TypeError, match="must be an integer"):
            predictor.init_state(None, **options)
    with pytest.raises(ValueError, match="num_frames must be at least 1"):
        predictor.init_state(None, num_frames=-3)


def test_a_correction_lasts(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [(20, 20)])
    before = masks(list(predictor.propagate_in_video(state)))
    corrected = predictor.add_points(state, 4, 1, [(40, 30)], [0])
    after = masks(list(predictor.propagate_in_video(state)))
    torch.testing.assert_close(after[4], corrected.masks)
    assert not torch.equal(before[7], after[7])


def test_the_references_default_forgets_a_correction(predictor: VideoPredictor, clip: np.ndarray) -> None:
    forgetful = VideoPredictor(predictor.model, add_all_frames_to_correct_as_cond=False)
    state = forgetful.init_state(clip)
    forgetful.add_points(state, 0, 1, [(20, 20)])
    before = masks(list(forgetful.propagate_in_video(state)))
    forgetful.add_points(state, 4, 1, [(40, 30)], [0])
    assert torch.equal(before, masks(list(forgetful.propagate_in_video(state))))


def test_both_directions_are_forward_then_reverse(predictor: VideoPredictor, clip: np.ndarray) -> None:
    def begin() -> object:
        state = predictor.init_state(clip)
        predictor.add_points(state, 3, 1, [(20, 20)])
        return state

    both = list(predictor.propagate_in_video(begin(), direction="both"))
    assert [r.frame_idx for r in both] == [3, 4, 5, 6, 7, 2, 1, 0]
    state = begin()
    forward = list(predictor.propagate_in_video(state))
    reverse = list(predictor.propagate_in_video(state, start_frame_idx=3, reverse=True))
    assert torch.equal(masks(both), masks(forward + reverse[1:]))


def test_clicks_refine_a_mask_prompt(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    given = np.zeros(clip.shape[1:3], bool)
    given[10:30, 10:40] = True
    taken = predictor.add_mask(state, 0, 1, given)
    assert ((taken.binary()[0] ^ given).mean()) < 0.06
    refined = predictor.add_points(state, 0, 1, [(50, 40)])
    fresh = predictor.init_state(clip)
    alone = predictor.add_points(fresh, 0, 1, [(50, 40)])
    assert not torch.allclose(refined.masks, alone.masks)
    assert list(state.tracks[1].points) == [0] and not state.tracks[1].masks


def test_max_frames_and_the_empty_reverse(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [(20, 20)])
    assert len(list(predictor.propagate_in_video(state, max_frame_num_to_track=3))) == 4
    with pytest.warns(UserWarning, match="reverse tracking from frame 0 yields nothing"):
        assert list(predictor.propagate_in_video(state, reverse=True)) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(predictor.propagate_in_video(state, 0, 2, direction="both"))) == 3


def test_scores_come_with_every_mask(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 4, [(20, 20)])
    results = list(predictor.propagate_in_video(state, max_frame_num_to_track=2))
    scores = predictor.scores(state, 2)
    assert list(scores) == [4]
    assert scores[4].iou == pytest.approx(float(results[2].iou[0]))
    assert scores[4].object_score == pytest.approx(float(results[2].object_score[0]))
    assert predictor.scores(state, 7) == {}
    assert torch.equal(predictor.result(state, 1).masks, results[1].masks)


def test_removing_the_last_object_resets(predictor: VideoPredictor, clip: np.ndarray) -> None:
    predictor = VideoPredictor(predictor.model, pool=Pool())
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [(20, 20)])
    list(predictor.propagate_in_video(state, max_frame_num_to_track=2))
    assert predictor.remove_object(state, 1) == ([], [])
    gc.collect()
    assert state.obj_ids == [] and predictor.pool.held_bytes["host"] == 0
    assert predictor.remove_object(state, 5) == ([], [])
    with pytest.raises(KeyError, match="unknown object 5"):
        predictor.remove_object(state, 5, strict=True)


def test_propagation_without_prompts_says_so(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    with pytest.raises(NoPromptError, match="nothing to track"):
        list(predictor.propagate_in_video(state))
    predictor.add_points(state, 2, 1, [(20, 20)])
    predictor.clear_all_prompts_in_frame(state, 2, 1)
    with pytest.raises(RuntimeError, match="object 1 has no prompt"):
        list(predictor.propagate_in_video(state))
    predictor.add_points(state, 2, 1, [(20, 20)])
    assert len(list(predictor.propagate_in_video(state))) == 6


def test_a_call_that_raises_changes_nothing(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [(20, 20)])
    bad = [
        lambda: predictor.add_points(state, 9, 1, [(1, 1)]),
        lambda: predictor.add_points(state, 0, 2, [(99, 1)]),
        lambda: predictor.add_points(state, 0, 2, [(1, float("nan"))]),
        lambda: predictor.add_points(state, 0, 2, [(1, 1)], [1, 0]),
        lambda: predictor.add_points(state, 0, 2, [(1, 1)], [7]),
        lambda: predictor.add_points(state, 0, 2, box=(1, 1, 9, 9), clear_old_points=False),
        lambda: predictor.add_box(state, 0, 2, (9, 9, 1, 1)),
        lambda: predictor.add_mask(state, 0, 2, np.zeros((2, 3, 4))),
        lambda: predictor.add_points(state, 0, 2),
    ]
    for call in bad:
        with pytest.raises(ValueError):
            call()
    with pytest.raises(TypeError):
        predictor.add_points(state, 0.5, 2, [(1, 1)])  # type: ignore[arg-type]
    assert state.obj_ids == [1] and list(state.tracks[1].points) == [0]


def test_unknown_options_are_named(predictor: VideoPredictor) -> None:
    with pytest.raises(TypeError, match="unknown option 'fill_holes'; known: non_overlap_masks, fill_hole_area"):
        VideoPredictor(predictor.model, fill_holes=8)
    with pytest.raises(TypeError, match="fill_hole_area must be int"):
        VideoPredictor(predictor.model, fill_hole_area=8.5)


def test_non_overlapping_masks(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = VideoPredictor(predictor.model, non_overlap_masks=True).init_state(clip)
    separate = VideoPredictor(predictor.model, non_overlap_masks=True)
    box = (4, 4, 60, 44)
    separate.add_box(state, 0, 1, box)
    result = separate.add_points(state, 0, 2, [(30, 24)])
    assert (result.binary().sum(0) <= 1).all()


def test_a_policy_can_be_replaced(predictor: VideoPredictor, clip: np.ndarray) -> None:
    class FirstOnly(RecentFramesPolicy):
        def select(self, hypothesis: Hypothesis, moment: Moment) -> Selection:
            chosen = super().select(hypothesis, moment)
            return Selection(chosen.memories[:1], chosen.pointers[:1])

    usual, other = (VideoPredictor(predictor.model, policy=p) for p in (None, FirstOnly()))
    results = []
    for video in (usual, other):
        state = video.init_state(clip)
        video.add_points(state, 0, 1, [(20, 20)])
        results.append(masks(list(video.propagate_in_video(state))))
    assert torch.equal(results[0][:2], results[1][:2]) and not torch.equal(results[0][3:], results[1][3:])


def test_a_reused_buffer_does_not_change_the_window(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state, buffer = predictor.init_state(None), clip[0].copy()
    predictor.track(state, buffer)
    buffer[:] = 0
    assert np.array_equal(state.frames[0], clip[0])


def test_live_streams_refuse_what_they_cannot_do(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(None, window=2)
    with pytest.raises(ValueError, match="none has arrived yet"):
        predictor.result(state, 0)
    for frame in clip[:4]:
        assert predictor.track(state, frame).masks.shape == (0, 1, 48, 64)
    with pytest.raises(ValueError, match="frame 0 has left the stream's window: frames 2 to 3"):
        predictor.add_points(state, 0, 1, [(1, 1)])
    with pytest.raises(ValueError, match="frame 9 has not arrived yet"):
        predictor.result(state, 9)
    with pytest.raises(ValueError, match="32 x 24 pixels, the earlier ones are 64 x 48"):
        predictor.track(state, clip[0, ::2, ::2])
    assert predictor.track(state, clip[4]).frame_idx == 4
    with pytest.raises(ValueError, match="live streams"):
        predictor.track(predictor.init_state(clip), clip[0])
