"""`sam2v.track`: one call for the common case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from models import nano_by_rule

import sam2v
from sam2v import Prompt, VideoPredictor
from sam2v.model.network import Sam2Network

FRAMES = 6


@pytest.fixture(scope="module")
def network() -> Sam2Network:
    return nano_by_rule()


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return drawn_clip(FRAMES)


@pytest.mark.parametrize("direction", ["forward", "reverse", "both"])
def test_it_is_the_predictor_s_way(network: Sam2Network, clip: np.ndarray, direction: Any) -> None:
    video = VideoPredictor(network, fill_hole_area=3)
    state = video.init_state(clip, history="window")
    video.add_prompts(state, 1, {1: Prompt([(20, 20)])})
    video.add_prompts(state, 3, {2: Prompt(box=(30, 10, 60, 40))})
    prompts = {3: {2: Prompt(box=(30, 10, 60, 40))}, 1: {1: Prompt([(20, 20)])}}
    got = list(sam2v.track(clip, prompts, model=network, direction=direction, fill_hole_area=3))
    wanted = list(video.propagate_in_video(state, direction=direction))
    assert [r.frame_idx for r in got] == [r.frame_idx for r in wanted]
    assert all(torch.equal(a.masks, b.masks) and a.obj_ids == b.obj_ids for a, b in zip(got, wanted, strict=True))


def test_prompts_without_a_frame_are_for_the_first(network: Sam2Network, clip: np.ndarray) -> None:
    prompts = {5: Prompt([(20, 20)]), 9: Prompt(mask=clip[0, :, :, 0] > 128)}
    for source in (clip, iter(clip)):
        results = list(sam2v.track(source, prompts, model=network))
        assert [(r.frame_idx, r.obj_ids) for r in results] == [(n, [5, 9]) for n in range(FRAMES)]


def test_the_embedded_model_is_the_default(clip: np.ndarray) -> None:
    frame_idx, obj_ids, masks = next(sam2v.track(clip, {1: Prompt([(20, 20)])}))
    assert (frame_idx, obj_ids, tuple(masks.shape)) == (0, [1], (1, 1, 48, 64))


@pytest.mark.parametrize(
    ("prompts", "error"),
    [
        ({}, "prompts must map object ids to sam2v.Prompt values, or frame indices"),
        ([Prompt([(1, 1)])], "prompts must map object ids"),
        ({0: {1: 3}}, "prompts of frame 0 must map object ids"),
        ({0: {1: Prompt()}}, "a prompt is empty: give at least one of points, box and mask"),
        ({"a": Prompt([(1, 1)])}, "obj_id must be an integer, got 'a'"),
        ({0.5: {1: Prompt([(1, 1)])}}, "frame_idx must be an integer"),
        ({FRAMES: {1: Prompt([(1, 1)])}}, "frame_idx 6 is outside the video of 6 frames"),
        ({-1: {1: Prompt([(1, 1)])}}, "frame_idx -1 is outside the video of 6 frames"),
        ({1: Prompt([(65, 1)])}, "outside the frame of 64 x 48 pixels"),
        ({1: Prompt(mask=np.zeros(5))}, "mask must have shape H x W, got 5"),
        ({1: Prompt(labels=[1], mask=np.ones((4, 4)))}, "labels were given without points"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(clip: np.ndarray, prompts: Any, error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        sam2v.track(clip, prompts, model="no such model")


def test_sources_and_options_come_first_too(clip: np.ndarray) -> None:
    with pytest.raises(TypeError, match="unknown option 'fill_holes'"):
        sam2v.track(clip, {1: Prompt([(1, 1)])}, model="no such model", fill_holes=3)  # type: ignore[call-arg]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        sam2v.track("nowhere.mp4", {1: Prompt([(1, 1)])}, model="no such model")
    with pytest.raises(FileNotFoundError, match="no such model"):
        sam2v.track(clip, {1: Prompt([(1, 1)])}, model="no such model")
    with pytest.raises(ValueError, match="direction must be one of"):
        sam2v.track(clip, {1: Prompt([(1, 1)])}, direction="sideways")  # type: ignore[arg-type]


def test_the_session_is_closed_with_the_iterator(network: Sam2Network) -> None:
    closed = []

    def frames() -> Any:
        try:
            yield from drawn_clip(FRAMES)
        finally:
            closed.append(True)

    results = sam2v.track(frames(), {1: Prompt([(20, 20)])}, model=network)
    next(results)
    assert not closed
    results.close()  # type: ignore[attr-defined]
    assert closed
