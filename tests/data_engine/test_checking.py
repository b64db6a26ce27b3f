"""Automatic verification: what it learns, what it accepts, and what stays with people."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from data_engine.made import made_up, square
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from sam2v.cli.main import main
from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.checking import FEATURES, check, is_drawn, learn
from sam2v.data_engine.project import Project
from sam2v.data_engine.queue import Queue
from sam2v.data_engine.schema import Event, Masklet
from sam2v.data_engine.status import status_of
from sam2v.data_engine.work import Work


def sample(rng: np.random.Generator, good: bool) -> tuple[dict[str, float], bool]:
    """Scores that tell a good masklet from others, more or less."""
    level = rng.normal(0.8 if good else 0.5, 0.15)
    return {name: float(level + rng.normal(0, 0.1)) for name in FEATURES}, good


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([0.7, 0.9, 0.95]))
def test_the_wanted_precision_is_reached_on_masklets_to_come(seed: int, wanted: float) -> None:
    rng = np.random.default_rng(seed)
    rule = learn([sample(rng, bool(number % 3)) for number in range(300)], wanted)
    assert rule.precision >= wanted and 0 < rule.recall <= 1 and (rule.samples, rule.right) == (300, 200)
    fresh = [sample(rng, bool(number % 3)) for number in range(900)]
    taken = [good for scores, good in fresh if rule.score(scores) >= rule.threshold]
    assert np.mean(taken) > wanted - 0.12 and abs(sum(taken) / 600 - rule.recall) < 0.2


def test_a_higher_precision_accepts_fewer() -> None:
    rng = np.random.default_rng(0)
    samples = [sample(rng, bool(number % 2)) for number in range(200)]
    rules = [learn(samples, wanted) for wanted in (0.6, 0.8, 0.95, 1.0)]
    assert [rule.recall for rule in rules] == sorted((rule.recall for rule in rules), reverse=True)


def test_what_was_not_measured_says_nothing() -> None:
    """Masks that were sent back were refined before anybody measured their agreement; those that passed have one."""
    rng = np.random.default_rng(0)
    same = dict.fromkeys(FEATURES, 0.5)
    passed = [({**same, "agreement": float(value)}, True) for value in rng.uniform(0.7, 1.0, 30)]
    missing = ({name: 0.5 for name in FEATURES if name != "agreement"}, {**same, "agreement": math.nan})
    rule = learn([*passed, *((scores, False) for scores in missing * 15)], 0.95)
    assert rule.recall < 0.5 and rule.score(passed[0][0]) < 0.9
    mixed = [sample(rng, bool(number % 2)) for number in range(100)]
    none = [({name: v for name, v in scores.items() if name != "agreement"}, good) for scores, good in mixed]
    assert learn(none, 0.9).recall > 0


def test_nothing_is_scored_by_what_saw_another_revision_of_it() -> None:
    """Every masklet has numbers of its own, which say nothing of others, and verdicts on five equal revisions."""
    rng = np.random.default_rng(1)
    samples, whose = [], []
    for masklet in range(12):
        scores = {name: float(rng.normal()) for name in FEATURES}
        samples += [(scores, bool(masklet % 2))] * 5
        whose += [masklet] * 5
    leaking, honest = learn(samples, 0.9), learn(samples, 0.9, whose)
    assert honest.recall < leaking.recall


def test_what_says_nothing_accepts_nothing() -> None:
    same = dict.fromkeys(FEATURES, 0.5)
    rule = learn([(same, bool(number % 2)) for number in range(40)], 0.9)
    assert rule.threshold == math.inf and rule.recall == 0 and math.isnan(rule.precision)


@pytest.mark.parametrize(("right", "wrong", "precision"), [(4, 9, 0.9), (9, 4, 0.9), (9, 9, 0.0), (9, 9, 1.1)])
def test_what_cannot_be_learnt_from(right: int, wrong: int, precision: float) -> None:
    same = dict.fromkeys(FEATURES, 0.5)
    with pytest.raises(ValueError, match=r"verdicts: at least 5|precision must be"):
        learn([(same, True)] * right + [(same, False)] * wrong, precision)


def test_the_random_share() -> None:
    drawn = [is_drawn("token", number, 0.25) for number in range(4000)]
    assert drawn == [is_drawn("token", number, 0.25) for number in range(4000)] and 0.22 < np.mean(drawn) < 0.28
    assert not any(is_drawn("token", number, 0.0) for number in range(100)) and is_drawn("token", 1, 1.0)


def surely(masks: MaskletMasks, iou: float) -> MaskletMasks:
    rows = {index: row._replace(iou=iou, stability=iou) for index, row in masks.rows.items()}
    return MaskletMasks(masks.size, rows)


def judged(folder: Path) -> Project:
    """A project of 60 masklets, good and bad ones by turns; people verified half of them."""
    project = made_up(folder, 60)
    queue, ann, ver = Queue(project), project.annotator("ann"), project.annotator("ver")
    while (task := queue.take(ann, "annotate")) is not None:
        queue.submit(task, Work(surely(square(), 0.9 if task.masklet_id % 2 else 0.3)))
    for _ in range(30):
        task = queue.take(ver, "verify")
        assert task is not None
        (queue.judge if task.masklet_id % 2 else queue.reject)(task, *([True] if task.masklet_id % 2 else []))
    return project


def test_what_is_surely_right_is_verified(tmp_path: Path) -> None:
    with judged(tmp_path) as project:
        done = check(project, 0.95, 0.2)
        assert done.rule.precision == done.rule.recall == 1.0 and done.accepted + done.left + done.drawn == 30
        assert done.drawn > 0 and done.accepted > 0

        def look(session) -> None:  # type: ignore[no-untyped-def]
            automatic = session.scalars(select(Event).where(Event.note.startswith("automatic"))).all()
            assert len(automatic) == done.accepted and all(
                e.masklet_id % 2 and e.annotator_id is None for e in automatic
            )
            sampled = session.scalars(select(Masklet).where(Masklet.sampled)).all()
            assert len(sampled) == done.drawn and all(row.state == "annotated" for row in sampled)

        project.database.read(look)
        assert status_of(project).masklets["manual"]["verified"] == 15 + done.accepted
        again = check(project, 0.95, 0.2)
        assert (again.accepted, again.left, again.drawn) == (0, done.left, done.drawn)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(tmp_path).close()
    assert main(["data-engine", "verify", str(tmp_path / "project"), "--share", "0"]) == 0
    said = capsys.readouterr().out
    assert (
        "30 verdicts, 15 of them satisfactory: precision 1.000, recall 1.000" in said and "15 verified, 15 left" in said
    )
    for flags, words in ((["--share", "2"], "share must be in"), (["--precision", "0"], "precision must be above 0")):
        assert main(["data-engine", "verify", str(tmp_path / "project"), *flags]) == 2
        assert words in capsys.readouterr().err
