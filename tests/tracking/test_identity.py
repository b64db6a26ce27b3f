"""Policies put together from halves: what must equal the usual rule, and what must not change the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn import drawn_clip

import sam2v
from sam2v import Session, VideoPredictor
from sam2v.memory import (
    POLICIES,
    DistractorAnchors,
    FloodGuard,
    KeyScaling,
    MemoryPolicy,
    MotionChoice,
    Policy,
    PresentFrames,
    QualityFrames,
    SureFrames,
    TreeChoice,
    TrialGuard,
    UnbrokenFrames,
)
from sam2v.model.network import Sam2Network
from sam2v.predict.video import Direction
from sam2v.tracking.state import History

FRAMES = 16  # multiples of 3 and of 5 fall on such when the clip is mirrored

#: Parts that act on small clips and an untrained network too.
EAGER = DistractorAnchors(min_iou=0.0, area_change=1.0, gap=2, max_overlap=1.0)
MOVING = MotionChoice(weight=0.6, min_iou=0.0, stable_frames=2)
ACTING: dict[str, MemoryPolicy] = {
    "quality": Policy(QualityFrames(0.66)),
    "motion": Policy(SureFrames(0.3, min_motion=0.2), choose=MOVING),
    "distractor": Policy(PresentFrames(3), EAGER),
    "tree": Policy(SureFrames(0.72), choose=TreeChoice(3, sure=100.0), scaling=KeyScaling()),
    "guard": Policy(UnbrokenFrames(), EAGER, guard=TrialGuard(0.6, 1.0, sure=0.9)),
    "filled up": Policy(QualityFrames(0.66), EAGER, anchors_first=False),
    "all": Policy(QualityFrames(0.66), EAGER, TreeChoice(2), KeyScaling(0.9, 1.1)),
}
SAME: dict[str, MemoryPolicy] = {
    "halves": Policy(),
    "one hypothesis": Policy(choose=TreeChoice(1)),
    "no motion": Policy(choose=MotionChoice(weight=0.0)),
    "no anchors": Policy(long=DistractorAnchors(min_iou=1.0)),
    "no guard": Policy(guard=FloodGuard(0.0)),
    "no trial": Policy(guard=TrialGuard(0.0, sure=0.0)),
    "every quality": Policy(QualityFrames(0.0)),
}


def begun(video: VideoPredictor, source: object, ids: tuple[int, ...] = (1, 2), frame: int = 0, **how: str) -> Session:
    state = video.init_state(source, **how)  # type: ignore[arg-type]
    for obj_id in ids:
        video.add_points(state, frame, obj_id, [(15 * obj_id, 20)])
    return state


def tracked(
    video: VideoPredictor, state: Session, frames: range = range(FRAMES), reverse: bool = False
) -> torch.Tensor:
    return torch.stack([result.masks for result in video.track_frames(state, frames, reverse)])


@pytest.fixture(scope="module")
def usual(network: Sam2Network, clip: np.ndarray) -> torch.Tensor:
    video = VideoPredictor(network)
    return tracked(video, begun(video, clip))


@pytest.mark.parametrize("name", SAME)
def test_parts_that_do_nothing_give_the_usual_rule(
    network: Sam2Network, clip: np.ndarray, usual: torch.Tensor, name: str
) -> None:
    video = VideoPredictor(network, policy=SAME[name])
    assert torch.equal(tracked(video, begun(video, clip)), usual)


@pytest.mark.parametrize("name", ACTING)
def test_batches_windows_streams_and_saved_sessions(
    network: Sam2Network, clip: np.ndarray, usual: torch.Tensor, tmp_path: Path, name: str
) -> None:
    video = VideoPredictor(network, policy=ACTING[name])
    state = begun(video, clip)
    both = tracked(video, state, range(FRAMES // 2))
    video.save_session(state, tmp_path / "a.session")
    rest = tracked(video, state, range(FRAMES // 2, FRAMES))
    again = video.load_session(tmp_path / "a.session", clip)
    assert torch.equal(tracked(video, again, range(FRAMES // 2, FRAMES)), rest)
    both = torch.cat([both, rest])
    assert not torch.equal(both, usual), "it does act"
    assert torch.equal(tracked(video, begun(video, clip, history="window")), both)
    one = tracked(video, begun(video, clip, (2,)))
    torch.testing.assert_close(both[:, 1:], one, atol=1e-3, rtol=0)
    live = video.init_state(None, num_frames=FRAMES)  # a short video reads fewer pointers
    video.track(live, clip[0])
    video.add_points(live, 0, 2, [(30, 20)])
    for number, frame in enumerate(clip[1:], 1):
        torch.testing.assert_close(video.track(live, frame).masks, one[number], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ACTING)
def test_reverse_mirrors_forward(network: Sam2Network, clip: np.ndarray, name: str) -> None:
    video = VideoPredictor(network, policy=ACTING[name])
    forward = tracked(video, begun(video, clip, (1,)))
    mirrored = begun(video, clip[::-1].copy(), (1,), FRAMES - 1)
    assert torch.equal(tracked(video, mirrored, range(FRAMES - 1, -1, -1), reverse=True), forward)


def lagged(
    video: VideoPredictor,
    clip: np.ndarray,
    lag: int,
    history: History = "full",
    direction: Direction = "forward",
    most: int | None = None,
) -> dict[int, torch.Tensor]:
    """Masks by frame, in the order in which they came; the object is prompted on frame 0, or amid the clip."""
    state = video.init_state(clip, history=history)
    video.add_points(state, 0 if direction == "forward" else 5, 1, [(50, 10)])
    results = video.propagate_in_video(state, max_frame_num_to_track=most, direction=direction, lag=lag)
    return {result.frame_idx: result.masks for result in results}


@pytest.mark.parametrize("direction", ["forward", "reverse", "both"])
def test_a_lag_changes_nothing_where_one_way_is_followed(
    network: Sam2Network, clip: np.ndarray, direction: Direction
) -> None:
    video = VideoPredictor(network, policy=ACTING["distractor"])
    at_once = lagged(video, clip, 0, direction=direction)
    for lag in (2, 100):
        later = lagged(video, clip, lag, "window", direction)
        assert list(later) == list(at_once)
        assert all(torch.equal(later[frame], masks) for frame, masks in at_once.items())


def test_a_lag_shows_what_looks_best_later(network: Sam2Network) -> None:
    """The newest frame is always shown as it is at once; earlier ones as the way has them that is best by then, also
    where they lie behind what a window keeps."""
    video, clip = VideoPredictor(network, policy=Policy(choose=TreeChoice(4, sure=100.0))), drawn_clip(26)
    at_once, late = lagged(video, clip, 0), lagged(video, clip, 100, "window")
    changed = [frame for frame, masks in at_once.items() if not torch.equal(late[frame], masks)]
    assert changed[0] < 10
    assert 25 not in changed
    for lag in (1, 18):
        some, frame = lagged(video, clip, lag, "window"), changed[0]
        assert list(some) == list(at_once)
        short = lagged(video, clip, lag, most=frame + lag)  # the frame has waited for its lag when this ends
        assert torch.equal(some[frame], short[frame])


@pytest.mark.parametrize(("lag", "error"), [(-1, "lag must not be negative"), (1.5, "lag must be an integer")])
def test_lags_that_are_none(network: Sam2Network, clip: np.ndarray, lag: Any, error: str) -> None:
    video = VideoPredictor(network)
    with pytest.raises((ValueError, TypeError), match=error):
        video.propagate_in_video(begun(video, clip), lag=lag)
    with pytest.raises((ValueError, TypeError), match=error):
        sam2v.track("nowhere.mp4", {}, lag=lag)


@pytest.mark.parametrize("name", ["distractor", "tree", "guard"])
def test_both_directions_through_a_window(network: Sam2Network, clip: np.ndarray, name: str) -> None:
    video = VideoPredictor(network, policy=ACTING[name])

    def masks(history: str) -> torch.Tensor:
        state = begun(video, clip, (1,), 4, history=history)
        return torch.stack([r.masks for r in video.propagate_in_video(state, direction="both")])

    assert torch.equal(masks("window"), masks("full"))


def test_a_stream_keeps_a_bounded_number_of_entries(network: Sam2Network, clip: np.ndarray) -> None:
    video = VideoPredictor(network, policy=ACTING["all"])  # what halves need alone is in tests/memory
    live, kept = video.init_state(None), []
    for number in range(70):
        video.track(live, clip[number % FRAMES])
        if number == 0:
            video.add_points(live, 0, 1, [(15, 20)])
        known = {id(entry) for h in live.tracks[1].hypotheses for _, entry in h.bank.entries()}
        kept.append(len(known))
    assert max(kept[50:]) <= max(kept[20:50]) + 8


def test_a_refused_answer_says_that_the_object_is_absent(network: Sam2Network, clip: np.ndarray) -> None:
    video = VideoPredictor(network, policy=Policy(guard=FloodGuard(1.0, 1.0)))  # whatever grows is refused
    state = begun(video, clip, (1,))
    tracked(video, state)
    refused = [f for f, entry in state.tracks[1].bank.history.items() if entry.facts.get("area") == 0.0]
    assert refused
    for frame in refused:
        result, entry = video.result(state, frame), state.tracks[1].bank.history[frame]
        assert float(result.object_score) < 0 and not (result.masks > 0).any()
        assert torch.equal(entry.pointer, network.no_obj_ptr[0])


def test_a_correction_forgets_anchors_and_other_hypotheses(network: Sam2Network, clip: np.ndarray) -> None:
    video = VideoPredictor(network, policy=ACTING["all"])
    state = begun(video, clip, (1,))
    tracked(video, state, range(10))
    track = state.tracks[1]
    assert len(track.hypotheses) == 2 and track.hypotheses[0].memo["long"]["anchors"]
    video.add_points(state, 6, 1, [(20, 20)])
    tracked(video, state, range(7, 9))
    assert set(track.hypotheses[0].bank.anchors) <= {7, 8}
    assert torch.isfinite(video.result(state, 8).masks).all()


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", POLICIES)
def test_every_name_is_a_policy(network: Sam2Network, clip: np.ndarray, usual: torch.Tensor, name: str) -> None:
    video = VideoPredictor(network, policy=name)
    masks = tracked(video, begun(video, clip), range(4))
    assert torch.equal(masks, usual[:4]) or name != "recent"


def test_unknown_names_list_the_known_ones(network: Sam2Network) -> None:
    with pytest.raises(ValueError, match=r"unknown memory policy 'trees'; known: recent, quality, .*robust"):
        VideoPredictor(network, policy="trees")


def test_a_session_is_refused_under_another_policy(network: Sam2Network, clip: np.ndarray, tmp_path: Path) -> None:
    video = VideoPredictor(network, policy=Policy(choose=TreeChoice(3)))
    video.save_session(begun(video, clip), tmp_path / "a.session")
    for other, difference in ((Policy(choose=TreeChoice(2)), "'hypotheses': 3"), ("recent", "'Policy'")):
        with pytest.raises(ValueError, match=rf"other policy: .*{difference}"):
            VideoPredictor(network, policy=other).load_session(tmp_path / "a.session", clip)
