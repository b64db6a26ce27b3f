"""The four hooks of a memory policy, by toy policies: branching, choosing, anchors, skipped frames, saved memos."""

from __future__ import annotations

import unittest.mock
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from sam2v import Session, VideoPredictor
from sam2v.backends.base import Backend
from sam2v.memory import Candidates, Choice, Commit, Hypothesis, Memo, Moment, Read, RecentFramesPolicy, Selection
from sam2v.model.network import Sam2Network

FRAMES = 14
PART, MEET = 3, 8  # where hypotheses part in these toys, and where the second one wins


class Looking(RecentFramesPolicy):
    """The usual rule, which counts the frames it saw."""

    looks = True

    def start(self, earlier: Memo | None = None) -> Memo:
        return {"frames": 0, "starts": (earlier or {}).get("starts", 0) + 1}

    def commit(self, hypothesis: Hypothesis, candidates: Candidates, choice: Choice, moment: Moment) -> Commit:
        hypothesis.memo["frames"] += 1
        return Commit(facts={"iou": float(candidates.iou[choice.row, choice.mask])})


class TakeMask(Looking):
    """Always the candidate of one number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        object.__setattr__(self, "number", number)

    def choose(self, hypotheses: Sequence[Hypothesis], candidates: Candidates, moment: Moment) -> list[Choice]:
        return [Choice(0, self.number)]


class TwoWays(Looking):
    """From one frame on, one hypothesis that always takes mask 1 and one that always takes mask 2; the first is shown
    until the second one wins for good."""

    def choose(self, hypotheses: Sequence[Hypothesis], candidates: Candidates, moment: Moment) -> list[Choice]:
        assert candidates.iou.shape == (len(hypotheses), 3) and candidates.object_score.shape == (len(hypotheses),)
        if moment.frame_idx < PART:
            return [Choice(0, 1)]
        if len(hypotheses) == 1:
            return [Choice(0, 1, 0.5), Choice(0, 2, 0.25)] if moment.frame_idx == PART else [Choice(0, 2)]
        return [Choice(0, 1, 0.5), Choice(1, 2, 0.25)] if moment.frame_idx < MEET else [Choice(1, 2)]


class OneThenTwo(Looking):
    """Mask 1 before the frame where hypotheses part, mask 2 from there on."""

    def choose(self, hypotheses: Sequence[Hypothesis], candidates: Candidates, moment: Moment) -> list[Choice]:
        return [Choice(0, 1 if moment.frame_idx < PART else 2)]


class WithAnchor(Looking):
    """Frame 2 is read for good, as a conditioning frame is; every third frame is not remembered."""

    def select(self, hypothesis: Hypothesis, moment: Moment) -> Selection:
        selection = super().select(hypothesis, moment)
        anchors = [Read(f, entry, self.num_maskmem - 1, 0.9) for f, entry in hypothesis.bank.anchors.items()]
        selection.memories += anchors
        assert not [r for r in selection.memories if r.frame_idx % 3 == 0 and r.frame_idx > 0]
        return selection

    def commit(self, hypothesis: Hypothesis, candidates: Candidates, choice: Choice, moment: Moment) -> Commit:
        return Commit("anchor" if moment.frame_idx == 2 else "recent" if moment.frame_idx % 3 else "result")


def begun(video: VideoPredictor, source: object, objects: int = 1, history: str | None = None) -> Session:
    state = video.init_state(source, history=history)  # type: ignore[arg-type]
    for obj_id in range(1, objects + 1):
        video.add_points(state, 0, obj_id, [(12 * obj_id, 20)])
    return state


def tracked(video: VideoPredictor, state: Session, start: int = 0, end: int = FRAMES) -> torch.Tensor:
    return torch.stack([result.masks for result in video.track_frames(state, range(start, end))])


def test_looking_changes_nothing(network: Sam2Network, clip: np.ndarray) -> None:
    plain, looking = VideoPredictor(network), VideoPredictor(network, policy=Looking())
    state = begun(looking, clip, 2)
    assert torch.equal(tracked(plain, begun(plain, clip, 2)), tracked(looking, state))
    for track in state.tracks.values():
        assert track.hypotheses[0].memo == {"frames": FRAMES - 1, "starts": 1}
        entry = track.bank.history[5]
        assert entry.facts["iou"] == pytest.approx(float(entry.iou))


@pytest.mark.parametrize("history", ["full", "window"])
def test_hypotheses_are_rows_of_their_own(network: Sam2Network, clip: np.ndarray, history: str) -> None:
    """Each goes on as if it were alone; what was shown stays shown; two rows per object are still one call."""
    first, second, both = (VideoPredictor(network, policy=p) for p in (TakeMask(1), OneThenTwo(), TwoWays()))
    shown = tracked(first, begun(first, clip, 2))
    later = tracked(second, begun(second, clip, 2))
    state = begun(both, clip, 2, history)
    with unittest.mock.patch.object(Backend, "read_memory", autospec=True, side_effect=Backend.read_memory) as calls:
        got = tracked(both, state)
    assert calls.call_count == FRAMES - 1
    torch.testing.assert_close(got[:MEET], shown[:MEET], atol=1e-4, rtol=0)
    torch.testing.assert_close(got[MEET:], later[MEET:], atol=1e-4, rtol=0)
    assert float((shown[MEET:] - later[MEET:]).abs().max()) > 0.01  # the two ways do differ
    if history == "full":  # the way that won is now what is known of the frames since they parted
        for number in (PART, MEET - 1):
            torch.testing.assert_close(both.result(state, number).masks, later[number], atol=1e-4, rtol=0)


def test_what_is_forgotten_no_hypothesis_remembers(network: Sam2Network, clip: np.ndarray) -> None:
    video = VideoPredictor(network, policy=TwoWays())
    state = begun(video, clip, 1)
    list(video.track_frames(state, range(PART + 3)))
    (track,) = state.tracks.values()
    assert len(track.hypotheses) == 2 and all(h.bank.get(PART + 2) for h in track.hypotheses)
    state.forget_result(track.obj_id, PART + 2)
    assert not any(h.bank.get(PART + 2) for h in track.hypotheses)
    list(video.track_frames(state, range(PART + 3, FRAMES)))
    assert track.entry(PART + 2) is None, "the one that won knows nothing of it either"


@pytest.mark.parametrize("policy", [TwoWays(), WithAnchor()])
@pytest.mark.parametrize("way", ["file", "bytes"])
def test_a_session_saved_in_the_middle_goes_on_as_it_would(
    network: Sam2Network, clip: np.ndarray, tmp_path: Path, policy: RecentFramesPolicy, way: str
) -> None:
    video, middle = VideoPredictor(network, policy=policy), PART + 2
    state = begun(video, clip, 2)
    tracked(video, state, 0, middle)
    if way == "file":
        video.save_session(state, tmp_path / "a.session")
        again = video.load_session(tmp_path / "a.session", clip)
    else:
        again = Session.from_bytes(state.to_bytes(), clip)
    ahead = tracked(video, state, middle)
    assert torch.equal(tracked(video, again, middle), ahead)
    memos = [[h.memo for h in track.hypotheses] for track in state.tracks.values()]
    assert memos == [[h.memo for h in track.hypotheses] for track in again.tracks.values()]


@pytest.mark.parametrize("policy", [TwoWays(), WithAnchor()])
def test_a_window_and_a_stream_give_what_a_full_history_gives(
    network: Sam2Network, clip: np.ndarray, policy: RecentFramesPolicy
) -> None:
    longer = np.concatenate([clip, clip[::-1]])
    video = VideoPredictor(network, policy=policy)
    full = tracked(video, begun(video, longer), 0, len(longer))
    assert torch.equal(tracked(video, begun(video, longer, history="window"), 0, len(longer)), full)
    live = video.init_state(None)
    video.track(live, longer[0])
    video.add_points(live, 0, 1, [(12, 20)])
    for number, frame in enumerate(longer[1:], 1):
        torch.testing.assert_close(video.track(live, frame).masks, full[number], atol=1e-5, rtol=0)
    assert len(live.tracks[1].bank.history) < 26  # and the stream keeps what prompts on its window would read


def test_prompts_reset_what_a_policy_keeps(network: Sam2Network, clip: np.ndarray) -> None:
    video = VideoPredictor(network, policy=TwoWays())
    state = begun(video, clip)
    tracked(video, state, 0, PART + 2)
    assert len(state.tracks[1].hypotheses) == 2
    shown = video.result(state, PART + 1).masks
    video.add_points(state, PART + 1, 1, [(20, 20)])
    tracked(video, state, PART + 2, PART + 3)
    (only,) = state.tracks[1].hypotheses
    assert only.memo == {"frames": 1, "starts": 2}
    assert not torch.equal(video.result(state, PART + 1).masks, shown)


def test_a_policy_that_chooses_nothing_is_named(network: Sam2Network, clip: np.ndarray) -> None:
    class Nothing(Looking):
        def choose(self, hypotheses: Sequence[Hypothesis], candidates: Candidates, moment: Moment) -> list[Choice]:
            return []

    video = VideoPredictor(network, policy=Nothing())
    with pytest.raises(ValueError, match=r"Nothing.choose gave no candidate"):
        tracked(video, begun(video, clip))
