"""Automatic masklets through a small network, with proposals that the tests choose; the embedded model at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from models import nano_by_rule

import sam2v
from sam2v.automatic import finder, forward
from sam2v.automatic.lifecycle import Track
from sam2v.automatic.masklet_options import MaskletOptions
from sam2v.automatic.masklets import AutomaticMasklets
from sam2v.automatic.options import MaskOptions
from sam2v.automatic.proposals import Proposals
from sam2v.automatic.sightings import Shown
from sam2v.backends.base import Backend
from sam2v.masks.bits import MaskBits
from sam2v.masks.result import MaskletFrame
from sam2v.model.network import Sam2Network
from sam2v.model.offered import ABSENT_LOGIT
from sam2v.video.sources import StreamSource
from sam2v.weights.load import embedded_checkpoint

FRAMES, SIZE, LOW = 12, (48, 64), (24, 24)
#: Nothing that the network says of an object ends it or keeps it from counting.
LENIENT: dict[str, Any] = {
    **{"min_quality": 0.0, "duplicate_iou": 1.0, "keep_alive": 1000, "uncovered": 1.0},
    **{"new_share": 0.0, "match_iou": 1.0},
}
Place = tuple[int, int, int, int]  # y, x, height, width in cells of low resolution
A, B, C = (2, 2, 8, 8), (2, 13, 8, 8), (13, 5, 8, 8)


class Proposed:
    """Stands in for `propose`: gives chosen masks on the frames of which they are chosen, the n-th call being the n-th
    frame on which anything is proposed."""

    def __init__(self) -> None:
        self.calls: list[np.ndarray] = []
        self.places: list[list[Place]] = []

    def __call__(self, backend: Backend, features: Any, points: np.ndarray, options: MaskOptions) -> Proposals:
        number = len(self.calls)
        self.calls.append(points)
        places = self.places[number] if number < len(self.places) else []
        logits = torch.full((len(places), *LOW), -8.0)
        for row, (y, x, height, width) in enumerate(places):
            logits[row, y : y + height, x : x + width] = 8.0
        good = torch.linspace(0.95, 0.9, len(places))
        return Proposals(logits, good, good, good + 1, torch.full((len(places), 2), 0.5, dtype=torch.float64))


@pytest.fixture(scope="module")
def network() -> Sam2Network:
    return nano_by_rule()


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return drawn_clip(FRAMES, *SIZE)


@pytest.fixture
def proposed(monkeypatch: pytest.MonkeyPatch) -> Proposed:
    made = Proposed()
    monkeypatch.setattr(finder, "propose", made)
    return made


Found = Callable[..., list[MaskletFrame]]


@pytest.fixture
def found(network: Sam2Network, proposed: Proposed, clip: np.ndarray) -> Found:
    """Run the clip with proposals on the frames on which they are due."""

    def run(*places: list[Place], source: Any = None, **options: Any) -> list[MaskletFrame]:
        proposed.calls, proposed.places = [], list(places)
        masklets = AutomaticMasklets(network, **{**LENIENT, "hot_start": 0, **options})
        return list(masklets.track(clip if source is None else source))

    return run


def test_ids_come_and_stay(found: Found) -> None:
    results = found([A, B], [], [C], propose_every=3)
    assert [result.frame_idx for result in results] == list(range(FRAMES))
    assert [result.obj_ids for result in results] == [[1, 2]] * 6 + [[1, 2, 3]] * 6
    assert all(result.size == SIZE for result in results)


def test_what_is_found_on_the_last_frame_is_tracked_back(found: Found, clip: np.ndarray) -> None:
    results = found([A], [B], source=clip[:9], propose_every=8, both=True)
    assert results[8].obj_ids == [1, 2]
    assert any(2 in result.obj_ids for result in results[:8])


def test_those_that_join_disturb_nobody(found: Found) -> None:
    alone, joined = found([A], propose_every=4), found([A], [B], propose_every=4)
    assert [len(result.obj_ids) for result in joined] == [1] * 4 + [2] * 8
    for one, two in zip(alone, joined, strict=True):
        assert torch.allclose(one.low_res[0], two.low_res[0], atol=1e-3)


def test_points_go_where_no_object_is(found: Found, proposed: Proposed) -> None:
    left_out = np.zeros(SIZE, bool)
    left_out[:, :32] = True
    found([], propose_every=0, points_per_side=8, leave_out=left_out)
    (points,) = proposed.calls
    assert len(points) == 32 and (points[:, 0] > 0.5).all()


def test_proposing_stops_and_cuts_ask_for_more(found: Found, proposed: Proposed) -> None:
    found([A], propose_every=0, uncovered=0.0)
    assert len(proposed.calls) == 1
    found([A], propose_every=5)
    assert len(proposed.calls) == 3


def test_objects_that_are_kept_have_a_label(network: Sam2Network, proposed: Proposed, clip: np.ndarray) -> None:
    proposed.places = [[A, B]]
    right = np.zeros(SIZE, bool)
    right[:, 32:] = True
    run = AutomaticMasklets(network, **LENIENT, hot_start=0, propose_every=0, keep={"right": right}).track(clip)
    assert [result.obj_ids for result in run] == [[1]] * FRAMES
    assert [masklet.label for masklet in run.masklets.values()] == ["right"]


def test_the_best_are_kept(network: Sam2Network, proposed: Proposed, clip: np.ndarray) -> None:
    proposed.places = [[A, B, C]]
    run = AutomaticMasklets(network, **LENIENT, hot_start=0, propose_every=0, max_objects=2).track(clip)
    assert all(result.obj_ids == [1, 2] for result in run)
    assert run.left_out == 1


def test_results_wait_for_the_hot_start(network: Sam2Network, proposed: Proposed, clip: np.ndarray) -> None:
    proposed.places = [[A]]
    stepped = [0]

    def frames() -> Iterator[np.ndarray]:
        for frame in clip:
            stepped[0] += 1
            yield frame

    run = AutomaticMasklets(network, **LENIENT, hot_start=4, propose_every=0).track(frames())
    next(run)
    first = stepped[0]
    assert 5 <= first < FRAMES  # the frame, four more, and what is read ahead
    assert [result.frame_idx for result in run] == list(range(1, FRAMES))


def test_a_track_that_fails_its_hot_start_never_was(
    network: Sam2Network, proposed: Proposed, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed.places = [[A], [B]]
    judge = Track.judge
    monkeypatch.setattr(Track, "judge", lambda t, *frame: "unproven" if t.obj_id == 2 else judge(t, *frame))
    run = AutomaticMasklets(network, **LENIENT, hot_start=2, propose_every=4).track(clip)
    assert [result.obj_ids for result in run] == [[1]] * FRAMES
    assert list(run.masklets) == [1]


def test_one_that_comes_to_another_is_out_of_sight_and_disturbs_nobody(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first object creeps onto the second one and goes back: while it is there it is hidden, and the second one is
    what it is without the first."""
    alone = found([B], propose_every=0)
    away, creeping = range(5, 9), {2: (2, 5, 8, 8), 3: (2, 8, 8, 8), 4: (2, 11, 8, 8)}

    def place(obj_id: int, frame_idx: int) -> Place:
        return B if obj_id == 2 or frame_idx in away else creeping.get(frame_idx, A)

    def sighting(result: MaskletFrame) -> Shown:
        places = [place(obj_id, result.frame_idx) for obj_id in result.obj_ids]
        planes = np.zeros((len(places), *LOW), bool)
        for plane, (y, x, height, width), low in zip(planes, places, result.low_res[:, 0], strict=True):
            plane[y : y + height, x : x + width] = bool((low > ABSENT_LOGIT).any())
        return Shown(result.obj_ids, MaskBits.of(planes), np.ones(len(places)))

    monkeypatch.setattr(forward, "sighting", sighting)
    both = found([A, B], propose_every=0, duplicate_iou=0.7)
    assert all(result.obj_ids == [1, 2] for result in both)
    hidden = [bool((result.low_res[0] == ABSENT_LOGIT).all()) for result in both]
    assert hidden == [result.frame_idx in away for result in both]
    for one, two in zip(alone, both, strict=True):
        assert torch.allclose(one.low_res[0], two.low_res[1], atol=1e-3)


def test_a_stream_gives_what_an_array_gives(found: Found) -> None:
    clip = drawn_clip(16, *SIZE)  # of a shorter one that is known to be short fewer pointers are read
    proposals = ([A], [], [B])
    stored, streamed = (found(*proposals, propose_every=3, hot_start=2, source=s) for s in (clip, iter(clip)))
    for one, two in zip(stored, streamed, strict=True):
        assert one.obj_ids == two.obj_ids
        assert torch.equal(one.low_res, two.low_res)


def test_both_ways(found: Found) -> None:
    forward, both = (found([A], [], [B], propose_every=3, both=both) for both in (False, True))
    assert [result.frame_idx for result in both] == list(range(FRAMES))
    for one, two in zip(forward[6:], both[6:], strict=True):  # where both are tracked forwards
        assert one.obj_ids == two.obj_ids == [1, 2]
        assert torch.allclose(one.low_res, two.low_res, atol=1e-4)
    for one, two in zip(forward[:6], both[:6], strict=True):
        assert one.obj_ids == [1] and set(two.obj_ids) >= {1}
        assert torch.allclose(one.low_res[0], two.low_res[two.obj_ids.index(1)], atol=1e-4)
    assert any(two.obj_ids == [1, 2] for two in both[:6])


def test_a_stream_goes_forward_only(network: Sam2Network, clip: np.ndarray) -> None:
    taken = iter(clip)
    with pytest.raises(ValueError, match="a stream goes forward only"):
        AutomaticMasklets(network, both=True).track(StreamSource(taken))


def test_one_call_per_part_and_frame(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    for name in ("encode_image", "read_memory", "decode_prompts", "write_memory", "point_to_mask"):
        original = getattr(Backend, name)

        def counted(self: Backend, *args: Any, name: str = name, original: Any = original, **kw: Any) -> Any:
            calls[name] += 1
            return original(self, *args, **kw)

        monkeypatch.setattr(Backend, name, counted)
    found([A, B, C], propose_every=0)
    tracked = FRAMES - 1
    assert calls == {
        "encode_image": FRAMES, "read_memory": tracked, "decode_prompts": tracked,
        "write_memory": tracked + 1, "point_to_mask": 1,
    }  # fmt: skip


def test_nothing_is_kept_of_what_was_given_out(network: Sam2Network, proposed: Proposed, clip: np.ndarray) -> None:
    proposed.places = [[A, B]]
    frames = (clip[number % FRAMES] for number in range(60))
    masklets = AutomaticMasklets(network, **LENIENT, hot_start=2, propose_every=0)
    sizes = [sum(masklets._predictor.pool.held_bytes.values()) for _ in masklets.track(frames)]
    assert max(sizes[30:]) <= max(sizes[20:30])


def test_what_was_hidden_is_no_memory(network: Sam2Network, clip: np.ndarray) -> None:
    """A result that is forgotten is absent, and the next frame reads nothing of it."""
    video = sam2v.VideoPredictor(network)
    with video.init_state(clip) as state:
        video.add_points(state, 0, 1, [(20, 20)])
        for _ in video.propagate_in_video(state, max_frame_num_to_track=3):
            pass
        state.forget_result(1, 2)
        assert not video.result(state, 2).binary().any() and video.scores(state, 2) == {}
        selection = video.policy.select(state.tracks[1].hypotheses[0], video.engine._moment(state, 3, False))
        assert {read.frame_idx for read in selection.memories} == {0, 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points_per_side": 0}, "points_per_side must be at least 1, got 0"),
        ({"pred_iou_thresh": 1.5}, r"pred_iou_thresh must be in \[0, 1\], got 1.5"),
        ({"stability_score_thresh": -0.1}, "stability_score_thresh"),
        ({"min_area": 2}, "min_area"),
        ({"max_objects": 0}, "max_objects must be at least 1"),
        ({"propose_every": -1}, "propose_every"),
        ({"leave_out": np.zeros(3)}, "mask must have shape H x W"),
        ({"keep": {"a": np.zeros((0, 3))}}, "mask must have shape H x W"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskletOptions(**options)


def test_options_of_the_wrong_type() -> None:
    for options in ({"both": 1}, {"hot_start": 2.0}, {"min_area": "small"}, {"keep": {}}, {"pred_iou_thresh": "high"}):
        with pytest.raises(TypeError):
            MaskletOptions(**options)
    with pytest.raises(TypeError, match="unknown option 'points'; known: points_per_side"):
        MaskletOptions().changed(points=3)


def test_thresholds_suit_the_model() -> None:
    assert MaskletOptions().suited("sam2v_nano").stability_score_thresh == 0.7
    assert MaskletOptions().suited("sam2.1_hiera_tiny").stability_score_thresh == 0.9
    assert MaskletOptions(stability_score_thresh=0.5).suited("sam2v_nano").stability_score_thresh == 0.5


@pytest.mark.slow
def test_the_embedded_model() -> None:
    """Two discs are found and kept apart; in the dark nothing is."""
    if embedded_checkpoint("sam2v_nano") is None:
        pytest.skip("checkpoints/sam2v_nano.safetensors is not there")
    masklets = sam2v.AutomaticMasklets.from_pretrained(device="cpu", points_per_side=6, hot_start=2)
    assert [r.obj_ids for r in masklets.track(np.zeros((3, 120, 160, 3), np.uint8))] == [[]] * 3
    y, x = np.mgrid[:120, :160]
    frames = np.full((5, 120, 160, 3), (90, 140, 90), np.uint8)
    centres = [((40 + 4 * t, 60), (120 - 3 * t, 50)) for t in range(5)]
    for frame, discs in zip(frames, centres, strict=True):
        for (cx, cy), colour in zip(discs, ((220, 60, 40), (40, 60, 200)), strict=True):
            frame[(x - cx) ** 2 + (y - cy) ** 2 < 24**2] = colour
    last = list(masklets.track(frames))[-1]
    for cx, cy in centres[-1]:
        disc = (x - cx) ** 2 + (y - cy) ** 2 < 24**2
        overlaps = [(mask & disc).sum() / (mask | disc).sum() for mask in last.binary()]
        assert max(overlaps) > 0.7
