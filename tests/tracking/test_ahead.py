"""Encoding ahead changes nothing that anybody sees: what is prompted between two frames counts from the next one on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from sam2v import VideoPredictor
from sam2v.backends.base import Backend
from sam2v.tracking.features import FrameEncoder

FRAMES = 9


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that computes while the host goes on, by its own account."""
    monkeypatch.setattr(FrameEncoder, "is_asynchronous", True)


def tracked(video: VideoPredictor, clip: np.ndarray) -> list[np.ndarray]:
    """Masks of a propagation during which objects come and go, which is left and begun again."""
    state = video.init_state(clip)
    masks = [video.add_points(state, 0, 1, [(20, 20)]).masks]
    for result in video.propagate_in_video(state):
        masks.append(result.masks)
        if result.frame_idx == 2:
            masks.append(video.add_points(state, 2, 2, [(40, 30)]).masks)
            masks.append(video.add_points(state, 0, 1, [(26, 20)], clear_old_points=False).masks)
        if result.frame_idx == 6:
            masks.append(video.add_points(state, 4, 2, [(44, 30)], [0]).masks)
            break
    video.remove_object(state, 1)
    masks += [result.masks for result in video.propagate_in_video(state, 5, reverse=True)]
    return [mask.cpu().numpy() for mask in masks]


@pytest.mark.parametrize("together", [1, 3])
def test_prompts_between_frames_count_as_ever(
    predictor: VideoPredictor, clip: np.ndarray, together: int, request: pytest.FixtureRequest
) -> None:
    video = VideoPredictor(predictor.model, frames_per_encoding=together)
    expected = tracked(video, clip)
    request.getfixturevalue("ahead")
    found = tracked(video, clip)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_next_frame_is_encoded_before_this_one_is_handed_over(
    predictor: VideoPredictor, clip: np.ndarray, ahead: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = Backend.encode_image
    monkeypatch.setattr(Backend, "encode_image", lambda self, x: (encoded.append(len(x)), encode(self, x))[1])
    monkeypatch.setattr("sam2v.video.prefetch.Prefetcher.holds", lambda self, count: True)  # the reader is soon enough
    video = VideoPredictor(predictor.model, frames_per_encoding=1)
    state = video.init_state(clip)
    video.add_points(state, 0, 1, [(20, 20)])
    results = video.propagate_in_video(state, max_frame_num_to_track=3)
    for number in (2, 3, 4):
        next(results)
        assert len(encoded) == number
    results.close()
    assert state.features.picture is not None and state.features.picture[0] == 2


def test_a_camera_is_not_waited_for(predictor: VideoPredictor, clip: np.ndarray, ahead: None) -> None:
    """Its next frame comes only when somebody has seen the one before."""
    seen = [threading.Event() for _ in clip]

    def camera() -> Iterator[np.ndarray]:
        for number, picture in enumerate(clip):
            assert number == 0 or seen[number - 1].wait(30), f"frame {number} was waited for"
            yield picture

    state = predictor.init_state(camera())
    predictor.add_points(state, 0, 1, [(20, 20)])
    for result in predictor.propagate_in_video(state):
        seen[result.frame_idx].set()
    assert all(event.is_set() for event in seen)


def test_an_error_ahead_comes_after_the_frames_before_it(
    predictor: VideoPredictor, clip: np.ndarray, ahead: None
) -> None:
    def camera() -> Iterator[np.ndarray]:
        yield from clip[:5]
        raise ConnectionError("unplugged")

    state = predictor.init_state(camera())
    predictor.add_points(state, 0, 1, [(20, 20)])
    seen = []
    with pytest.raises(ConnectionError, match="unplugged"):
        for result in predictor.propagate_in_video(state):
            seen.append(result.frame_idx)
    assert seen == list(range(5))
