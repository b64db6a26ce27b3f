"""Runs over many videos: done once, the same by one process and by several, whatever goes wrong."""

from __future__ import annotations

import argparse
import errno
import hashlib
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli.conftest import nano_arguments
from data_engine.made import Squares, squares
from sqlalchemy import event, select

from sam2v.automatic.masklet_options import MaskletOptions
from sam2v.cli.main import main
from sam2v.cli.workers import read_only
from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.comparison import write_frames
from sam2v.data_engine.database import DatabaseAway
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.queue import Queue
from sam2v.data_engine.runs import described, run_agree, run_auto, run_propose
from sam2v.data_engine.schema import JobRow, Masklet, Revision
from sam2v.data_engine.scores import overlap
from sam2v.data_engine.status import status_of
from sam2v.data_engine.tools import ModelSpec
from sam2v.data_engine.work import Act, Work
from sam2v.jobs.local import local_crew
from sam2v.jobs.units import Crew, UnitWork
from sam2v.output.encode import encode_all
from sam2v.tracking.prompts import Prompt

OPTIONS = MaskletOptions(
    points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.0, hot_start=0, min_quality=0.0, max_objects=2
)
ALONE, TWO = partial(local_crew, workers=1), partial(local_crew, workers=2)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    path = tmp_path_factory.mktemp("weights") / "nano.pt"
    nano_arguments(path, "nano-")
    return ModelSpec("sam2v_nano", str(path), "cpu", None, ("model.image_size=96",), threads=1)


@pytest.fixture
def project(tmp_path: Path) -> Any:
    """Two videos, and a file that is none."""
    squares(tmp_path / "videos", 2)
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "videos" / "clip.mp4").parent.mkdir(exist_ok=True)
    places = [tmp_path / "videos" / name for name in ("squares0", "squares1", "broken.mp4")]
    with Project.create(tmp_path / "p", places, Settings(3, 6.0, 0), patience=0.3) as made:
        yield made


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*.json"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_everything_is_found_and_proposed(project: Project, spec: ModelSpec, tmp_path: Path) -> None:
    steps: list[int] = []
    report = run_auto(project, spec, OPTIONS, ALONE, lambda: steps.append(1))
    assert (report.done, report.before, len(steps)) == (2, 0, 3) and report.masklets >= 2
    assert report.failed is not None and list(report.failed) == ["broken"] and "broken.mp4" in report.failed["broken"]
    status = status_of(project)
    assert status.videos == {"ready": 2, "unreadable": 1} and status.failed == 1
    assert status.masklets == {"auto": {"proposed": report.masklets}} and status.phases == {}
    video = project.video("squares0")
    assert (video.frames, video.height, video.width) == (9, 48, 64)
    task = Queue(project).take(project.annotator("ann"), "annotate")
    assert task is not None and task.masks is not None and "runs" in task.masks.parts
    masks = task.load()
    assert masks is not None and masks.frames == [0, 4, 8] and "quality" in masks.about


def test_nothing_is_done_twice(project: Project, spec: ModelSpec, tmp_path: Path) -> None:
    first = run_auto(project, spec, OPTIONS, ALONE)
    again = run_auto(project, spec, OPTIONS, ALONE)
    assert (again.done, again.before, again.masklets) == (0, 2, 0)
    assert again.failed is not None and len(again.failed) == 1
    other = run_auto(project, spec, OPTIONS.changed(max_objects=1), ALONE)
    assert other.done == 2 and other.masklets == 0  # what it finds is known
    encode_all(iter(Squares().source), tmp_path / "videos" / "broken.mp4", "mp4", (48, 64), 24)
    mended = run_auto(project, spec, OPTIONS, ALONE)
    assert (mended.done, mended.before, mended.failed) == (1, 2, {}) and mended.masklets > 0
    assert status_of(project).videos == {"ready": 3}
    attempts = project.database.read(lambda s: s.scalars(select(JobRow.attempts).order_by(JobRow.id)).all())
    assert max(attempts) == 3 and status_of(project).masklets["auto"]["proposed"] == first.masklets + mended.masklets


def test_several_processes_give_the_same_bytes(project: Project, spec: ModelSpec, tmp_path: Path) -> None:
    run_auto(project, spec, OPTIONS, ALONE)
    with Project.create(tmp_path / "q", [tmp_path / "videos"], Settings(3, 6.0, 0)) as other:
        report = run_auto(other, spec, OPTIONS, TWO)
        assert report.done == 2
    one, two = digests(tmp_path / "p" / "runs"), digests(tmp_path / "q" / "runs")
    assert sorted(one.values()) == sorted(two.values()) and len(one) >= 4


def test_proposals_are_tracked_anew_from_what_was_edited(project: Project, spec: ModelSpec, tmp_path: Path) -> None:
    run_auto(project, spec, OPTIONS, ALONE)
    queue, ann, ver = Queue(project), project.annotator("ann"), project.annotator("ver")
    task = queue.take(ann, "annotate")
    assert task is not None
    truth = Squares(shift=int(task.video[-1]))
    shown = {index: truth.masks(index)[1] for index in (0, 4)}
    masks = MaskletMasks.of({**shown, 8: np.zeros(truth.size, bool)}, truth.size)  # it is not to be seen at the end
    queue.submit(task, Work(masks, [Act(0, "mask"), Act(4, "mask"), Act(8, "mask", label=0)]))
    check = queue.take(ver, "verify")
    assert check is not None
    queue.judge(check, False)
    held = queue.take(ver, "annotate")  # somebody works on the one that was sent back: it stays as it is
    assert held is not None and held.masklet_id == task.masklet_id
    before = status_of(project).to_annotate
    report = run_propose(project, spec, ALONE)
    assert report.masklets == before and report.failed == {}
    queue.give_back(held)
    report = run_propose(project, spec, ALONE)
    assert report.masklets >= 1

    def newest(session: Any, number: int = 3) -> MaskletMasks:
        row = session.get_one(Masklet, task.masklet_id)
        revision = session.get_one(Revision, row.revision_id)
        assert revision.number == number and revision.phase == 0 and revision.annotator_id is None
        return MaskletMasks.load(project.file(revision.masks))

    found, tools = project.database.read(newest), spec.load()
    state = tools.video.init_state(task.path)
    for index in (0, 4):
        tools.video.add_prompts(state, index, {task.number: Prompt(mask=truth.masks(index)[1])})
    assert found.about == {"seeds": [0, 4, 8]} and (found.mask(4) == truth.masks(4)[1]).all()
    assert not found.mask(8).any()
    assert run_propose(project, replace(spec, memory="quality"), ALONE, only=[task.video]).masklets >= 1
    again = project.database.read(partial(newest, number=4))  # what people did is not forgotten by then
    assert again.about == found.about and all(again.rows[index] == found.rows[index] for index in (0, 4, 8))


def test_what_was_held_meanwhile_is_proposed_anew_later(project: Project, spec: ModelSpec) -> None:
    run_auto(project, spec, OPTIONS.changed(max_objects=1), ALONE, only=["squares0"])
    queue, ann = Queue(project), project.annotator("ann")
    held = []

    def hire(work: UnitWork) -> Crew:
        held.append(queue.take(ann, "annotate"))
        return ALONE(work)

    assert run_propose(project, spec, hire).masklets == 0
    queue.give_back(held[0])
    assert run_propose(project, spec, ALONE).masklets == 1


def test_masks_of_a_file_that_was_replaced(project: Project, spec: ModelSpec, tmp_path: Path) -> None:
    run_auto(project, spec, OPTIONS.changed(max_objects=1), ALONE, only=["squares0"])
    shutil.rmtree(tmp_path / "videos" / "squares0")
    write_frames(tmp_path / "videos" / "squares0", Squares(size=(64, 64)).source)
    for run in (run_propose, run_agree):
        report = run(project, spec, ALONE)
        assert report.failed is not None and "are of another video" in report.failed["squares0"]


def test_a_worker_s_trouble_is_not_the_video_s(
    project: Project, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People can still annotate a video for which the GPU was too small."""

    def trouble(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("sam2v.data_engine.video_work.AutoWork.do", trouble)
    report = run_auto(project, spec, OPTIONS, ALONE, only=["squares0"])
    assert report.failed == {"squares0": "RuntimeError: out of memory"}
    assert status_of(project).videos == {"new": 3} and status_of(project).failed == 1


def test_where_weights_are_does_not_matter(project: Project, spec: ModelSpec, tmp_path: Path) -> None:
    few = OPTIONS.changed(max_objects=1)
    run_auto(project, spec, few, ALONE, only=["squares0"])
    copied = replace(spec, checkpoint=str(shutil.copy(spec.checkpoint, tmp_path / "copy.pt")))
    report = run_auto(project, copied, few, ALONE, only=["squares0"])
    assert (report.done, report.before) == (0, 1)


def test_agreement_is_that_of_tracking_backwards(project: Project, spec: ModelSpec) -> None:
    run_auto(project, spec, OPTIONS, ALONE)
    report = run_agree(project, spec, ALONE, only=["squares0"])

    def look(session: Any) -> list[Any]:
        rows = select(Revision.masks, Revision.scores).join(Masklet, Masklet.revision_id == Revision.id)
        return [tuple(row) for row in session.execute(rows.order_by(Masklet.id))]

    known = [(name, scores) for name, scores in project.database.read(look) if "agreement" in scores]
    assert len(known) == report.masklets >= 1
    masks, tools = MaskletMasks.load(project.file(known[0][0])), spec.load()
    seen = [index for index in masks.frames if masks.mask(index).any()]
    state = tools.video.init_state(Path(project.video("squares0").path))
    tools.video.add_mask(state, seen[-1], 1, masks.mask(seen[-1]))
    back = {r.frame_idx: r.binary()[0].copy() for r in tools.video.propagate_in_video(state, seen[-1], reverse=True)}
    pairs = [(back[i], masks.mask(i)) for i in masks.frames if seen[0] <= i < seen[-1]]
    found = [overlap(a, b) for a, b in pairs if a.any() or b.any()]
    assert known[0][1]["agreement"] == pytest.approx(np.mean(found) if found else 1.0)
    assert run_agree(project, spec, ALONE, only=["squares0"]).masklets == 0


def test_a_full_disk_ends_a_run_and_loses_nothing(
    project: Project, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, saved = MaskletMasks.save, []

    def save(self: MaskletMasks, path: Path) -> None:
        saved.append(path)
        if len(saved) > 2:
            raise OSError(errno.ENOSPC, f"cannot write {path}: No space left on device")
        real(self, path)

    monkeypatch.setattr(MaskletMasks, "save", save)
    with pytest.raises(OSError, match="No space left"):
        run_auto(project, spec, OPTIONS, ALONE)
    monkeypatch.undo()
    assert not list((project.folder / "runs").glob("*/.*.tmp"))
    assert run_auto(project, spec, OPTIONS, ALONE).before <= 1
    assert status_of(project).videos == {"ready": 2, "unreadable": 1}


def test_a_database_that_goes_away_loses_nothing(project: Project, spec: ModelSpec) -> None:
    """What was computed waits on the disk, and is committed by the next run without being computed again."""
    from sqlalchemy.exc import OperationalError

    def refuse(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if statement.startswith("INSERT INTO jobs"):
            raise OperationalError(statement, None, Exception("server closed the connection unexpectedly"))

    event.listen(project.database._engine, "before_cursor_execute", refuse)
    with pytest.raises(DatabaseAway, match="does not answer"):
        run_auto(project, spec, OPTIONS, ALONE)
    event.remove(project.database._engine, "before_cursor_execute", refuse)
    assert status_of(project).videos == {"new": 3} and status_of(project).masklets == {}
    kept = {path: path.stat().st_mtime_ns for path in (project.folder / "runs").rglob("*.json")}
    run_auto(project, spec, OPTIONS, ALONE)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    rows = project.database.read(lambda s: s.scalars(select(JobRow.status)).all())
    assert sorted(rows) == ["done", "done", "failed"]


def test_the_commands(project: Project, nano: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--points-per-side", "3", "--pred-iou-thresh", "0", "--stability-score-thresh", "0", "--hot-start", "0"]
    quick += ["--min-quality", "0", "--max-objects", "1", "--only", "squares0"]
    assert main(["data-engine", "auto", str(tmp_path / "p"), *quick, *nano]) == 0
    assert "1 videos, 1 masklets found" in capsys.readouterr().out
    assert main(["data-engine", "propose", str(tmp_path / "p"), *nano]) == 0
    assert "1 videos, 1 masklets proposed anew" in capsys.readouterr().out
    for flags, words in (
        (["--workers", "-1"], "--workers must be at least 0"),
        (["--ray", "--workers", "0"], "--workers must be at least 1"),
        (["--gpus", "1"], "--gpus is for --ray"),
        (["--only", "other"], "no video is called 'other'"),
    ):
        assert main(["data-engine", "auto", str(tmp_path / "p"), *flags, *nano]) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1


def test_a_stranger_s_ids_lead_nowhere(project: Project, spec: ModelSpec, tmp_path: Path) -> None:
    """SQLite keeps a text where a number is declared, if the table was made so."""
    with project.database._engine.begin() as connection:
        for text in ("CREATE TABLE own AS SELECT * FROM videos", "DROP TABLE videos"):
            connection.exec_driver_sql(text)
        names = [row[1] for row in connection.exec_driver_sql("PRAGMA table_info(own)") if row[1] != "id"]
        listed = ", ".join(names)
        connection.exec_driver_sql(f"CREATE TABLE videos (id TEXT PRIMARY KEY, {listed})")
        connection.exec_driver_sql(
            f"INSERT INTO videos SELECT '../../../victim' || id, {listed} FROM own WHERE name = 'squares0'"
        )
    with pytest.raises(ValueError, match="leads out of the folder"):
        run_auto(project, spec, OPTIONS, ALONE)
    assert not list(tmp_path.glob("victim*"))


def test_masks_of_options_count_in_full() -> None:
    """The text of a large array leaves its middle out."""
    masks = np.zeros((3, 60, 80), bool)
    masks[0, 30, 40] = masks[1, 30, 41] = True
    first, second, same = (OPTIONS.changed(leave_out=mask) for mask in (masks[0], masks[1], masks[0].copy()))
    assert repr(first) == repr(second) and described(first) != described(second)
    assert described(first) == described(same) and described(OPTIONS) == [repr(OPTIONS)]


@pytest.mark.parametrize("dtype", [None, "float16"])
def test_who_leaves_the_work_to_others_needs_no_device(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch, dtype: str | None
) -> None:
    """There is no such device here; the weights are called what they are called where they work."""
    expected = replace(spec, dtype=dtype or "bfloat16").load().name
    monkeypatch.setattr("sam2v.weights.hardware.pick_device", lambda device: torch.device(device))
    monkeypatch.setattr("sam2v.weights.hardware._half", lambda device: torch.bfloat16)
    there = replace(spec, device="cuda", dtype=dtype)
    assert there.weights() == expected != spec.weights()
    args = argparse.Namespace(workers=2, ray=None, device="cuda", dtype=dtype)
    assert read_only(args).device == "cpu" and read_only(args).dtype.endswith(dtype or "bfloat16")
    args.workers = 1
    assert read_only(args) is args  # it does the work
