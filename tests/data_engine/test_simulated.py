"""Simulated annotators and verifiers: the queue and the bench, with the truth in hand."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from data_engine.made import Squares, squares
from hypothesis import given
from hypothesis import strategies as st

from sam2v.cli.main import main
from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.comparison import compare_phases, table
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.queue import Queue
from sam2v.data_engine.scores import mean_overlaps, overlap, scores_of
from sam2v.data_engine.simulated import Manner, SimulatedAnnotator, SimulatedVerifier, truth_overlap
from sam2v.data_engine.status import status_of
from sam2v.data_engine.tools import Tools
from sam2v.data_engine.work import Work

QUICK = Manner(clicks=1, strokes=8)


@pytest.mark.parametrize("phase", [1, 2])
def test_objects_are_annotated_and_verified(tools: Tools, tmp_path: Path, phase: int) -> None:
    videos = squares(tmp_path / "videos", 2)
    truths = {name: truth for name, (_, truth) in videos.items()}
    settings = Settings(phase, 6.0, 3)  # of two objects: the third task finds none
    with Project.create(tmp_path / "p", [tmp_path / "videos"], settings) as project:
        queue = Queue(project)
        annotator = SimulatedAnnotator(queue, "ann", tools, truths, QUICK)
        verifier = SimulatedVerifier(queue, "ver", truths, 0.7)
        while annotator.work_once():
            pass
        while verifier.work_once():
            pass
        status = status_of(project)
        assert status.masklets == {"manual": {"rejected": 2, "verified": 4}}
        costs = status.phases[phase]
        assert costs.masklets == 4 and costs.frames == 12 and costs.edited <= 12
        assert costs.strokes > 0 and costs.active_seconds > 0 and costs.model_seconds > 0
        files = sorted((tmp_path / "p" / "masks").rglob("*.json"))
        assert min(truth_overlap(Squares(), MaskletMasks.load(path)) for path in files) > 0.3


def test_a_verifier_that_always_errs_sends_everything_back(tools: Tools, tmp_path: Path) -> None:
    videos = squares(tmp_path / "videos")
    truths = {name: truth for name, (_, truth) in videos.items()}
    with Project.create(tmp_path / "p", [tmp_path / "videos"], Settings(1)) as project:
        queue = Queue(project)
        annotator = SimulatedAnnotator(queue, "ann", tools, truths, QUICK)
        assert annotator.work_once() and not annotator.work_once()
        verifier = SimulatedVerifier(queue, "ver", truths, 0.7, errors=1.0)
        assert verifier.work_once() and not verifier.work_once()
        assert status_of(project).masklets == {"manual": {"proposed": 1}}
        assert annotator.work_once()  # what was sent back is done again, over the masks so far
        assert status_of(project).masklets == {"manual": {"annotated": 1}}


def test_a_task_that_cannot_be_done_is_given_back(tools: Tools, tmp_path: Path) -> None:
    videos = squares(tmp_path / "videos")
    with Project.create(tmp_path / "p", [tmp_path / "videos"], Settings(2)) as project:
        queue = Queue(project)
        with pytest.raises(KeyError):
            SimulatedAnnotator(queue, "ann", tools, {}).work_once()
        short = {name: Squares(5) for name in videos}
        with pytest.raises(ValueError, match="the truth of frame 8 is not known"):
            SimulatedAnnotator(queue, "ann", tools, short).work_once()
        assert status_of(project).to_annotate == 1
        task = queue.take(project.annotator("ben"), "annotate")
        assert task is not None
        queue.submit(task, Work(MaskletMasks.of({0: Squares().masks(0)[1]}, Squares().size)))
        with pytest.raises(KeyError):
            SimulatedVerifier(queue, "ver", {}).work_once()
        assert status_of(project).to_verify == 1


def test_the_phases_are_compared(tools: Tools, tmp_path: Path) -> None:
    figures = compare_phases(squares(tmp_path / "videos"), tools, tmp_path / "out", manner=QUICK)
    first = figures[0]
    assert [one.phase for one in figures] == [1, 2, 3] and first.edited == 1.0
    assert first.agreement["all"] == 1.0 and first.agreement["large"] is None and first.truth > 0.7
    assert all(one.masklets == 1 and one.frames == 3 and one.clicks >= 1 for one in figures)
    assert all(one.strokes > 0 for one in figures) and table(figures).count("\n") == 4
    with pytest.raises(FileExistsError):
        compare_phases(squares(tmp_path / "more"), tools, tmp_path / "out", manner=QUICK)
    with pytest.raises(ValueError, match="with 1 to compare with"):
        compare_phases({}, tools, tmp_path / "other", phases=(2, 3))
    with pytest.raises(ValueError, match="but the truth is of"):
        compare_phases({"b": (tmp_path / "videos" / "squares0", Squares())}, tools, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_command(nano: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["data-engine", "simulate", "--drawn", "1", "--frames", "5", "--clicks", "1", "--strokes", "0"]
    assert (
        main([*argv, "--out", str(tmp_path / "o"), "--json", str(tmp_path / "f.json"), "--phases", "1,3", *nano]) == 0
    )
    assert capsys.readouterr().out.startswith("| phase |")
    assert [one["phase"] for one in json.loads((tmp_path / "f.json").read_text())] == [1, 3]
    for flags, words in (
        ([], "name the videos"),
        (["--drawn", "1", "--phases", "2"], "--phases 2: of 1, 2 and 3"),
        (["--drawn", "0"], "--drawn must be at least 1"),
        (["--drawn", "1", "--good", "2"], "good must be in [0, 1]"),
        (["--drawn", "1", "--satisfied", "2"], "threshold must be in [0, 1]"),
        (["--drawn", "1", "--checkpoint", str(tmp_path / "absent.pt")], "absent.pt"),
        (["--dataset", "davis2016"], "--dataset needs --root"),
    ):
        assert main(["data-engine", "simulate", "--out", str(tmp_path / "none"), *flags]) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1
    assert not (tmp_path / "none").exists()


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=6))
def test_scores_of_masks(sides: list[tuple[int, int]]) -> None:
    """Areas, comings and goings are those of the masks, whatever they are."""
    masks = {}
    for number, (height, width) in enumerate(sides):
        masks[4 * number] = np.zeros((10, 10), bool)
        masks[4 * number][:height, :width] = True
    found = scores_of(MaskletMasks.of(masks, (10, 10)))
    seen = [mask.any() for mask in masks.values()]
    assert found["seen"] == sum(seen)
    if any(seen):
        rest = seen[seen.index(True) :]
        assert found["changes"] == sum(a != b for a, b in pairwise(rest))
        assert found["area"] == np.mean([mask.sum() for mask in masks.values() if mask.any()])
        assert found["share"] == found["area"] / 100


def test_overlap() -> None:
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    half = full.copy()
    half[2:] = False
    assert (overlap(empty, empty), overlap(empty, full), overlap(full, half)) == (1.0, 0.0, 0.5)


@given(st.data())
def test_mean_overlaps(data: st.DataObject) -> None:
    """Those of all pairs, as they are one by one."""

    def drawn() -> MaskletMasks:
        frames = data.draw(st.sets(st.sampled_from((0, 4, 8)), min_size=1))
        size = data.draw(st.sampled_from([(6, 9), (6, 9), (9, 6)]))
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        masks = {index: (rng.random(size) < 0.5) & (rng.random() < 0.7) for index in frames}
        return MaskletMasks.of(masks, size)

    first, second = ([drawn() for _ in range(data.draw(st.integers(0, 3)))] for _ in range(2))
    found = mean_overlaps(first, second)
    assert found.shape == (len(first), len(second))
    for (row, column), value in np.ndenumerate(found):
        one, other = first[row], second[column]
        both = one.rows.keys() & other.rows.keys() if one.size == other.size else ()
        pairs = [(one.mask(index), other.mask(index)) for index in both]
        known = [overlap(a, b) for a, b in pairs if a.any() or b.any()]
        assert value == pytest.approx(np.mean(known) if known else 0.0)
