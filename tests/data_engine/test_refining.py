"""Which of several answers to clicks is shown, and what is tracked anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_engine.made import squares

from sam2v.data_engine.refining import FrameClicks, agreeing, tracked_anew
from sam2v.data_engine.tools import Tools
from sam2v.masks.result import MaskletFrame
from sam2v.tracking.prompts import Prompt
from sam2v.video.sources import open_source


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares(tmp_path_factory.mktemp("clips"))["squares0"][0]


def test_clicks_agree_with_what_they_say() -> None:
    mask = np.zeros((4, 6), bool)
    mask[1, 2] = True
    assert agreeing(mask, [(2.9, 1.2), (0, 0), (6.0, 4.0)], [1, 0, 1]) == 2


def test_the_answer_that_most_clicks_agree_with_is_taken(tools: Tools, clip: Path) -> None:
    """Whatever the tracker says, no answer that fewer clicks agree with is shown."""
    state = tools.video.init_state(clip)
    tools.video.add_points(state, 0, 1, [[12, 14]], [1])
    *_, shown = tools.video.propagate_in_video(state, max_frame_num_to_track=4)
    asked: list[MaskletFrame] = []

    def tracker(x: float, y: float, label: int) -> MaskletFrame:
        prompt = {1: Prompt([[x, y]], [label])}
        asked.append(tools.video.add_prompts(state, 4, prompt, clear_old_points=False))
        return asked[-1]

    with open_source(clip) as source:
        embedding = tools.image.embed(source[4])
    clicks = FrameClicks(tools.image, embedding, shown, tracker)
    for click in ((40.0, 30.0, 1), (3.0, 3.0, 0), (20.0, 20.0, 1)):
        offer = clicks.add(*click)
        assert offer is not None and offer.mask.shape == (48, 64) and offer.logits.shape[0] == 1
        known = agreeing(asked[-1].binary()[0], clicks.points, clicks.labels)
        assert agreeing(offer.mask, clicks.points, clicks.labels) >= known
    assert len(asked) == 3 and clicks.labels == [1, 0, 1]


def test_without_an_object_a_click_beside_it_says_nothing(tools: Tools, clip: Path) -> None:
    with open_source(clip) as source:
        embedding = tools.image.embed(source[0])

    def tracker(x: float, y: float, label: int) -> MaskletFrame:
        raise AssertionError("it knows nothing")

    clicks = FrameClicks(tools.image, embedding, None, tracker)
    assert clicks.add(3.0, 3.0, 0) is None
    offer = clicks.add(12.0, 14.0, 1)
    assert offer is not None
    alone = tools.image.predict([[3.0, 3.0], [12.0, 14.0]], [0, 1], embedding=embedding)
    assert np.array_equal(offer.mask, alone.masks[int(alone.iou.argmax())])


def test_memories_beside_an_edited_frame_are_made_anew(tools: Tools, clip: Path) -> None:
    """Those that were tracked are not read any more, whichever way; edited and verified frames are."""
    state = tools.video.init_state(clip)
    tools.video.add_points(state, 2, 1, [[12, 14]], [1])
    list(tools.video.propagate_in_video(state, direction="both"))
    track = state.tracks[1]
    assert not tracked_anew(track, 5) and all(entry.readable for entry in track.bank.history.values())
    tools.video.add_points(state, 6, 1, [[14, 14]], [1])
    tools.video.verify(state, 4)
    tools.video.engine.remember_prompts(state)
    assert list(tracked_anew(track, 6)) == [5, 4, 3]
    assert {f for f, entry in track.bank.history.items() if entry.readable} == {4}
    assert list(tracked_anew(track, 2, reverse=True)) == [3, 4, 5]
    assert {f for f, entry in track.bank.history.items() if entry.readable} == {4}
    assert {*track.bank.conditioning} == {2, 6} and track.frames() == list(range(9))
