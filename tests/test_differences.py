"""Statements of docs/differences.md and docs/video.md that no other test covers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from models import nano_by_rule
from PIL import Image

from sam2v import ImagePredictor, VideoPredictor
from sam2v.model.network import Sam2Network


@pytest.fixture(scope="module")
def network() -> Sam2Network:
    return nano_by_rule()


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return drawn_clip(frames=4)


def tracked(video: VideoPredictor, state: object) -> torch.Tensor:
    """Masks of all frames, T x N x 1 x H x W."""
    return torch.stack([r.masks for r in video.propagate_in_video(state)])  # type: ignore[arg-type]


@pytest.mark.parametrize("lasting", [True, False], ids=["default", "reference"])
def test_a_second_click_on_a_prompted_frame(network: Sam2Network, clip: np.ndarray, lasting: bool) -> None:
    video = VideoPredictor(network, add_all_frames_to_correct_as_cond=lasting)
    state = video.init_state(clip)
    video.add_points(state, 0, 1, [(20, 20)])
    before = tracked(video, state)
    shown = video.add_points(state, 0, 1, [(40, 30)], [0], clear_old_points=False).masks
    assert not torch.equal(shown, before[0])
    after = tracked(video, state)
    assert torch.equal(after[0], shown) if lasting else torch.equal(after, before)


def test_prompts_count_while_a_propagation_runs(network: Sam2Network, clip: np.ndarray) -> None:
    video = VideoPredictor(network)
    state = video.init_state(clip)
    video.add_points(state, 0, 1, [(20, 20)])
    objects = []
    for result in video.propagate_in_video(state):
        objects.append(result.obj_ids)
        if result.frame_idx == 0:
            video.add_box(state, 0, 7, (30, 10, 60, 40))
        if result.frame_idx == 2:
            video.remove_object(state, 1)
    assert objects == [[1], [1, 7], [1, 7], [7]]


def test_a_prompt_returns_all_newest_masks(network: Sam2Network, clip: np.ndarray) -> None:
    """A correction (not conditioning with the reference's default) and a new object's prompt wait on one frame."""
    video = VideoPredictor(network, add_all_frames_to_correct_as_cond=False)
    state = video.init_state(clip)
    video.add_points(state, 0, 1, [(20, 20)])
    tracked(video, state)
    corrected = video.add_points(state, 2, 1, [(40, 30)], [0]).masks[0]
    both = video.add_points(state, 2, 2, [(50, 20)])
    assert both.obj_ids == [1, 2] and torch.equal(both.masks[0], corrected)


def test_masks_may_be_logits_and_labels_left_out(network: Sam2Network, clip: np.ndarray) -> None:
    video = VideoPredictor(network)
    mask = np.zeros((48, 64), bool)
    mask[10:30, 10:40] = True
    states = [video.init_state(clip) for _ in range(2)]
    logits = np.where(mask, 3.5, -0.5)
    a, b = (video.add_mask(s, 0, 1, m).masks for s, m in zip(states, (mask, logits)))
    assert torch.equal(a, b) and a.max() > 0 > a.min()
    a, b = (video.add_points(s, 1, 1, [(20, 20)], labels).masks for s, labels in zip(states, (None, [1])))
    assert torch.equal(a, b)


def test_the_far_edge_is_inside_and_beyond_it_is_not(network: Sam2Network, clip: np.ndarray) -> None:
    video = VideoPredictor(network)
    state = video.init_state(clip)
    video.add_points(state, 0, 1, [(64, 48)])
    video.add_box(state, 0, 2, (0, 0, 64, 48))
    with pytest.raises(ValueError, match="outside the frame"):
        video.add_points(state, 0, 1, [(64.5, 10)])


def test_replaced_points_refine_and_a_cleared_frame_starts_afresh(network: Sam2Network, clip: np.ndarray) -> None:
    video = VideoPredictor(network)
    fresh, again, cleared = (video.init_state(clip) for _ in range(3))
    wanted = video.add_points(fresh, 0, 1, [(40, 30)]).masks
    for state in (again, cleared):
        video.add_points(state, 0, 1, [(20, 20)])
    video.clear_all_prompts_in_frame(cleared, 0, 1)
    assert torch.equal(video.add_points(cleared, 0, 1, [(40, 30)]).masks, wanted)
    assert not torch.equal(video.add_points(again, 0, 1, [(40, 30)]).masks, wanted)


def test_a_box_replaces_and_takes_more_points(network: Sam2Network, clip: np.ndarray) -> None:
    video = VideoPredictor(network)
    state = video.init_state(clip)
    video.add_points(state, 0, 1, [(20, 20)])
    with pytest.raises(ValueError, match="clear_old_points=True"):
        video.add_points(state, 0, 1, box=(5, 5, 30, 30), clear_old_points=False)
    video.add_box(state, 0, 1, (5, 5, 30, 30))
    assert state.tracks[1].points[0].labels.tolist() == [2, 3]
    video.add_points(state, 0, 1, [(20, 20)], clear_old_points=False)
    assert state.tracks[1].points[0].labels.tolist() == [2, 3, 1]


def test_image_masks_are_booleans_at_any_input_size(network: Sam2Network, clip: np.ndarray) -> None:
    image = ImagePredictor(network)  # 96 pixels
    image.set_image(Image.fromarray(clip[0]).convert("RGBA"))
    masks, iou, low = image.predict([(20, 20)])
    assert masks.dtype == bool and masks.shape == (3, 48, 64) and iou.shape == (3,) and low.shape == (3, 24, 24)
    masks, iou, low = image.predict(box=[(5, 5, 30, 30), (20, 10, 60, 40)], multimask_output=False)
    assert masks.shape == (2, 1, 48, 64) and np.abs(low).max() <= 32
