"""The parts of policies by themselves: what they read, choose and keep."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2v.memory import (
    Candidates,
    Choice,
    DistractorAnchors,
    FloodGuard,
    Held,
    Hypothesis,
    KeyScaling,
    MemoryBank,
    MemoryEntry,
    Moment,
    MotionChoice,
    Policy,
    PresentFrames,
    QualityFrames,
    Read,
    SureFrames,
    TreeChoice,
    TrialGuard,
    UnbrokenFrames,
)
from sam2v.memory.kalman import BoxFilter
from sam2v.memory.past import Past


def entry(**facts: float) -> MemoryEntry:
    return MemoryEntry(Held(()), Held(()), facts=facts)


def remembering(facts: dict[int, dict[str, float]]) -> Hypothesis:
    bank = MemoryBank()
    bank.conditioning[0] = entry()
    for frame, known in facts.items():
        bank.put(frame, entry(**known))
    return Hypothesis(bank)


def candidates(iou: list[list[float]], masks: np.ndarray | None = None, score: float = 5.0) -> Candidates:
    rows, count = len(iou), len(iou[0])
    logits = torch.zeros(rows, count, 8, 8) if masks is None else torch.from_numpy(np.where(masks, 1.0, -1.0))
    found = SimpleNamespace(iou=torch.tensor(iou), masks=logits, object_score=torch.full((rows, 1), score))
    return Candidates(found, slice(0, rows))  # type: ignore[arg-type]


def square(x: int, y: int = 8, side: int = 6, size: int = 32) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[y : y + side, x : x + side] = True
    return mask


# -- short term --------------------------------------------------------------------------------------------------------


def test_quality_reads_the_frame_before_and_good_ones() -> None:
    facts = {f: {"iou": 0.9, "object_score": -3.0 if f in (3, 5, 9) else 4.0} for f in range(1, 10)}
    past = Past(remembering(facts), Moment(10, False, 5), [0])
    assert [(r.frame_idx, r.time) for r in QualityFrames().memories(past, 4)] == [(6, 3), (7, 2), (8, 1), (9, 0)]
    assert [(r.frame_idx, r.time) for r in QualityFrames().pointers(past)] == [(9, 1), (8, 2), (7, 3), (6, 4)]


def test_sure_frames_are_found_however_far_back() -> None:
    facts = {f: {"iou": 0.9, "object_score": 4.0 if f == 2 else -1.0} for f in range(1, 500)}
    past = Past(remembering(facts), Moment(500, False, 16), [0])
    assert [r.frame_idx for r in SureFrames().memories(past, 6)] == [2, 499]


def test_present_frames_skip_empty_ones() -> None:
    facts = {f: {"area": 0.0 if f in (10, 18, 19) else 30.0} for f in range(1, 20)}
    past = Past(remembering(facts), Moment(20, False, 16), [0])
    assert [(r.frame_idx, r.time) for r in PresentFrames().memories(past, 6)] == [(5, 2), (15, 1), (17, 0)]
    assert 18 not in [r.frame_idx for r in PresentFrames().pointers(past)]


def test_a_break_ends_what_is_read() -> None:
    facts: dict[int, dict[str, float]] = {f: {"away": {3: 1, 10: 1, 11: 2, 12: 3}.get(f, 0)} for f in range(1, 15)}
    hypothesis = remembering(facts)
    past = Past(hypothesis, Moment(15, False, 16), [0])
    assert [(r.frame_idx, r.time) for r in UnbrokenFrames().memories(past, 6)] == [(13, 1), (14, 0)]
    assert [(r.frame_idx, r.time) for r in UnbrokenFrames().pointers(past)] == [(14, 1), (13, 2)]
    away = Past(hypothesis, Moment(13, False, 16), [0])
    assert not UnbrokenFrames().memories(away, 6) and not UnbrokenFrames().pointers(away)
    near = Past(hypothesis, Moment(12, False, 4), [0])
    assert [r.time for r in UnbrokenFrames().pointers(near)] == [1, 2, 3], "it was not away for long"


@given(
    good=st.lists(st.booleans(), min_size=30, max_size=90),
    short=st.sampled_from([QualityFrames(), SureFrames(), PresentFrames(), PresentFrames(2), UnbrokenFrames()]),
    reverse=st.booleans(),
)
def test_pruning_to_the_reach_changes_nothing_that_is_read(good: list[bool], short: object, reverse: bool) -> None:
    policy, end = Policy(short), len(good) + 1  # type: ignore[arg-type]
    whole, pruned, away = remembering({}), remembering({}), 0
    for number, passes in enumerate(good, 1):
        frame, away = -number if reverse else number, 0 if passes else away + 1
        facts = {"iou": 0.9, "object_score": 3.0 if passes else -3.0, "area": float(passes), "away": float(away)}
        for hypothesis in (whole, pruned):
            hypothesis.bank.put(frame, entry(**facts))
        pruned.bank.prune(policy.reach(pruned, Moment(frame, reverse, 16)), forget=True)
    moment = Moment(-end if reverse else end, reverse, 16)
    read = [[[r[::2] for r in part] for part in vars(policy.select(h, moment)).values()] for h in (whole, pruned)]
    assert read[0] == read[1]
    assert len(pruned.bank.history) <= 40


# -- long term ---------------------------------------------------------------------------------------------------------


def test_anchors_are_frames_with_a_look_alike() -> None:
    long, hypothesis = DistractorAnchors(count=2, gap=2), Hypothesis(MemoryBank())
    memo, kept = long.start(), []
    for frame in range(1, 16):
        other = square(4) | square(22) if frame > 3 else square(5)  # a second object comes into the picture
        seen = candidates([[0.9, 0.5]], np.stack([square(4), other])[None])
        if long.keeps(hypothesis, memo, seen, Choice(0, 0), Moment(frame, False, 16)):
            hypothesis.bank.put(frame, entry(), anchor=True)
            kept.append(frame)
    assert kept == [4, 7, 10, 13]
    assert long.anchors(hypothesis, memo) == [13, 10] and set(hypothesis.bank.anchors) == {10, 13}


@pytest.mark.parametrize(
    ("iou", "mask"), [(0.7, square(4)), (0.9, square(4, side=9)), (0.9, np.zeros((32, 32), bool))], ids=str
)
def test_no_anchor_where_the_answer_is_not_sure(iou: float, mask: np.ndarray) -> None:
    long, hypothesis = DistractorAnchors(), Hypothesis(MemoryBank())
    memo = {**long.start(), "areas": [[f, 36] for f in range(10)]}
    seen = candidates([[iou, 0.5]], np.stack([mask, square(22)])[None])
    assert not long.keeps(hypothesis, memo, seen, Choice(0, 0), Moment(20, False, 16))


# -- choices -----------------------------------------------------------------------------------------------------------


def test_motion_prefers_the_candidate_where_the_object_can_be() -> None:
    choice, hypothesis = MotionChoice(stable_frames=4), Hypothesis(MemoryBank())
    memo = choice.start()
    for frame in range(8):
        seen = candidates([[0.9, 0.92]], np.stack([square(frame), square(24 - frame)])[None])
        if frame >= 6:
            assert choice.choose([hypothesis], [memo], seen, Moment(frame, False, 16))[0].mask == 0
        facts = choice.follow(memo, seen, Choice(0, 0), Moment(frame, False, 16))
    assert facts["motion"] > 0.5
    jumped = Moment(3, False, 16)
    assert choice.choose([hypothesis], [memo], seen, jumped)[0].mask == 1, "no motion is known after a jump"
    empty = candidates([[0.9]], np.zeros((1, 1, 32, 32), bool))
    choice.follow(memo, empty, Choice(0, 0), Moment(8, False, 16))
    assert not memo, "an empty mask is no measurement"


@given(speed=st.floats(-3, 3, allow_subnormal=False), height=st.floats(5, 40, allow_subnormal=False))
def test_the_filter_learns_a_constant_velocity(speed: float, height: float) -> None:
    box = np.array([50.0, 60.0, 50.0 + height, 60.0 + height])
    known = BoxFilter.at(box)
    for step in range(1, 60):
        known = known.predicted().updated(box + step * speed)
    np.testing.assert_allclose(known.predicted().box, box + 60 * speed, atol=0.05 * height)
    assert (np.linalg.eigvalsh(known.covariance) > 0).all()


def test_the_tree_keeps_the_best_when_sure_and_different_ones_when_not() -> None:
    choice = TreeChoice(2)
    ways = [Hypothesis(MemoryBank(), score=0.0), Hypothesis(MemoryBank(), score=-0.2)]
    iou = [[0.9, 0.901, 0.2], [0.85, 0.1, 0.1]]
    sure = choice.choose(ways, [{}, {}], candidates(iou, score=5.0), Moment(3, False, 16))
    assert [(c.row, c.mask) for c in sure] == [(0, 1), (0, 0)] and sure[0].score == 0.0
    unsure = choice.choose(ways, [{}, {}], candidates(iou, score=1.0), Moment(3, False, 16))
    assert [(c.row, c.mask) for c in unsure] == [(0, 1), (1, 0)] and unsure[1].score < 0


def test_keys_are_scaled_by_object_score() -> None:
    reads = [Read(0, entry(), 6), Read(3, entry(object_score=-2.0), 1), Read(4, entry(object_score=5.0), 0)]
    assert [r.scale for r in KeyScaling().scaled(reads)] == pytest.approx([1.05, 0.95, 1.0])
    assert KeyScaling().scaled(reads[:1]) == reads[:1]


# -- guard -----------------------------------------------------------------------------------------------------------


def flooded(area: int, iou: float, score: float = 5.0) -> Candidates:
    mask = np.arange(32 * 32).reshape(32, 32) < area
    return candidates([[iou]], mask[None, None], score)


def test_unsure_masks_that_jump_are_refused() -> None:
    guard, one = FloodGuard(min_quality=0.2, growth=3.0, patience=2), Choice(0, 0)
    assert not guard.refuses(guard.start(), flooded(900, 0.1), one, 0), "nothing is known of its area yet"
    memo = guard.start()
    assert not any(guard.refuses(memo, flooded(40, iou), one, 0) for iou in (0.9, 0.9, 0.1)), "it goes on as it was"
    assert guard.refuses(memo, flooded(500, 0.1), one, 0)
    assert not guard.refuses(memo, flooded(40, 0.1), one, 1)
    assert guard.refuses(memo, flooded(40, 0.1), one, 2), "what is lost does not come back unsurely"
    assert guard.refuses(memo, flooded(40, 0.9, score=0.1), one, 2)
    assert not guard.refuses(memo, flooded(500, 0.9), one, 2), "what is sure is never refused"
    assert not guard.refuses(guard.start(), flooded(0, 0.1), one, 2)


def test_what_grows_from_frame_to_frame_is_not_refused() -> None:
    guard, one, memo = FloodGuard(min_quality=0.2, growth=2.0), Choice(0, 0), FloodGuard().start()
    areas = [round(40 * 1.3**frame) for frame in range(9)]
    assert not any(guard.refuses(memo, flooded(area, 0.1), one, 0) for area in areas)
    assert guard.refuses(memo, flooded(2 * areas[-1] + 1, 0.1), one, 0)
    back = [guard.refuses(memo, flooded(area, 0.1), one, 0) for area in (40, 90)]
    assert back == [False, False], "the latest was small, but it has been larger"


def test_what_comes_back_is_on_trial() -> None:
    guard, one = TrialGuard(min_quality=0.05, growth=100.0, patience=2, sure=0.5), Choice(0, 0)
    memo = guard.start()
    assert guard.refuses(memo, flooded(40, 0.9), one, 0) == 0
    assert guard.refuses(memo, flooded(40, 0.3), one, 7) == 0, "it may be the object"
    assert guard.refuses(memo, flooded(40, 0.2), one, 0) == 0
    assert guard.refuses(memo, flooded(40, 0.1), one, 0) == 8, "it was not: it is away as before"
    assert guard.refuses(memo, flooded(50, 0.35), one, 8) == 9, "nor is it the next time"
    elsewhere = candidates([[0.1]], flooded(40, 0.0).masks[:, :, ::-1, ::-1], 5.0)
    assert guard.refuses(memo, elsewhere, one, 9) == 0
    assert guard.refuses(memo, flooded(40, 0.6), one, 0) == 0, "it is surely there: the trial is over"
    assert guard.refuses(memo, flooded(40, 0.06), one, 0) == 0
    assert guard.refuses(memo, flooded(50, 0.2), one, 4) == 0, "and what failed is forgotten"
    assert guard.refuses(memo, flooded(900, 0.04), one, 5) == 6, "floods are refused as ever"
    json.dumps(memo)


def test_what_failed_may_come_back_far_better() -> None:
    guard, one = TrialGuard(min_quality=0.0, patience=2, sure=0.9), Choice(0, 0)
    memo = guard.start()
    assert [guard.refuses(memo, flooded(40, iou), one, away) for iou, away in ((0.4, 2), (0.1, 0))] == [0, 3]
    assert [guard.refuses(memo, flooded(40, iou), one, 3) for iou in (0.5, 0.7)] == [4, 0]


# -- bad values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: QualityFrames(1.5), "min_quality"),
        (lambda: SureFrames(-0.1), "min_iou"),
        (lambda: PresentFrames(0), "stride"),
        (lambda: MotionChoice(weight=float("nan")), "weight"),
        (lambda: MotionChoice(stable_frames=0), "stable_frames"),
        (lambda: DistractorAnchors(count=0), "count"),
        (lambda: TrialGuard(sure=1.5), "sure"),
        (lambda: DistractorAnchors(max_overlap=2.0), "max_overlap"),
        (lambda: TreeChoice(0), "hypotheses"),
        (lambda: UnbrokenFrames(0), "patience"),
        (lambda: FloodGuard(-0.1), "min_quality"),
        (lambda: FloodGuard(growth=0.9), "growth"),
        (lambda: KeyScaling(1.2, 1.1), "high"),
        (lambda: Policy(num_maskmem=1), "num_maskmem"),
        (lambda: Policy(max_cond_frames=1), "max_cond_frames"),
    ],
)
def test_values_out_of_range_are_named(make: Callable[[], object], name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\w* must be"):
        make()
