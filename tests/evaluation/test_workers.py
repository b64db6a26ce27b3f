"""Protocols by several workers: the results of one process."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from evaluation.fakes import Forgetful, write_davis
from jobs.test_ray import cluster as cluster
from models import nano_by_rule

from sam2v.automatic.masklet_options import MaskletOptions
from sam2v.cli.main import main
from sam2v.data.readers import davis
from sam2v.data.records import VideoRecord
from sam2v.evaluation.baselines import make_baseline
from sam2v.evaluation.drawn import drawn_videos
from sam2v.evaluation.everything import evaluate_everything
from sam2v.evaluation.finders import Method, find_everything
from sam2v.evaluation.interactive import evaluate_interactive
from sam2v.evaluation.vos import evaluate_vos
from sam2v.jobs.run import Run
from sam2v.jobs.units import Alone


def two_videos(folder: Path) -> list[VideoRecord]:
    """Records of two videos in a folder "root"."""
    for name in ("root", "other"):
        write_davis(folder / name)
    for name in ("JPEGImages", "Annotations"):
        (folder / f"other/{name}/480p/disks").rename(folder / f"root/{name}/480p/more")
    return davis(folder / "root")


def vos(records: list[VideoRecord], run: Run) -> object:
    return evaluate_vos(partial(make_baseline, "copy"), records, run=run)


def interactive(records: list[VideoRecord], run: Run) -> object:
    return evaluate_interactive(Forgetful(records), records, run=run)


def everything(_: list[VideoRecord], run: Run) -> object:
    options = MaskletOptions(points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0, min_quality=0.0)
    return evaluate_everything(nano_by_rule(), drawn_videos(1, 0, 1), options, methods=["first"], run=run)


@pytest.mark.parametrize("method", ["first", "link"])
def test_where_nothing_is_found_it_ends_with_the_video(method: Method) -> None:
    """Of a video whose length is not known, too."""
    options = MaskletOptions(points_per_side=2, pred_iou_thresh=1.0)
    results = find_everything(method, nano_by_rule(), iter(drawn_videos(1, 0, 3)[0].source), options)
    assert [result.obj_ids for result in itertools.islice(results, 9)] == [[]] * 3


def test_other_clips_of_the_same_name_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted run goes on with the clips it was begun with, not with longer ones of the same seed."""
    looked: list[int] = []
    monkeypatch.setattr(
        "sam2v.evaluation.everything.find_everything", lambda _, __, source, ___: looked.append(len(source)) or iter(())
    )
    for frames in (1, 1, 2):
        run = Run(parts=tmp_path / "parts")
        evaluate_everything(nano_by_rule(), drawn_videos(1, 0, frames), methods=["first"], run=run)
    assert looked == [1, 2]


@pytest.mark.parametrize("protocol", [vos, interactive, everything])
def test_hired_workers_give_what_one_process_gives(
    tmp_path: Path, protocol: Callable[[list[VideoRecord], Run], object]
) -> None:
    """And keep what they finished: the next run has nothing to hire anybody for."""
    records, hired = two_videos(tmp_path), []

    def hire(work: object) -> Alone:
        hired.append(work)
        return Alone(work)  # type: ignore[arg-type]

    run = Run(parts=tmp_path / "parts", key="a", hire=hire)
    alone = protocol(records, Run())
    assert protocol(records, run) == protocol(records, run) == alone
    assert len(hired) == 1


def test_two_processes_write_what_one_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_videos(tmp_path)
    options = ["--dataset", "davis2017", "--root", str(tmp_path / "root"), "--baseline", "copy", "--quiet"]
    for workers in ("1", "2"):
        written = ["--json", str(tmp_path / f"{workers}.json"), "--out", str(tmp_path / f"out{workers}")]
        assert main(["eval", "vos", *options, *written, "--workers", workers]) == 0
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()
    assert len(json.loads((tmp_path / "2.json").read_text())["sequences"]) == 2
    first, second = (
        {path.relative_to(tmp_path / out): path.read_bytes() for path in (tmp_path / out).rglob("*.png")}
        for out in ("out1", "out2")
    )
    assert first == second and len(first) > 10
    capsys.readouterr()


@pytest.mark.parametrize("command", ["vos", "interactive", "everything"])
def test_wrong_workers(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_davis(tmp_path)
    argv = ["eval", command, "--dataset", "davis2017", "--root", str(tmp_path)]
    monkeypatch.setenv("WORLD_SIZE", "2")
    for arguments, words in (
        (["--workers", "-1"], "--workers must be at least 0, got -1"),
        (["--ray", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["--gpus", "1"], "--gpus is for --ray"),
        (["--ray"], "--ray does not go with torchrun"),
    ):
        assert main([*argv, *arguments]) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1


@pytest.mark.slow
def test_a_cluster_gives_what_one_process_gives(cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths may be relative: workers begin in the folder that the run began in."""
    from sam2v.jobs.on_ray import RayCrew

    two_videos(tmp_path)
    monkeypatch.chdir(tmp_path)
    records = davis("root")
    hire = partial(RayCrew, workers=2)
    predictor = partial(make_baseline, "copy")
    alone = evaluate_vos(predictor, records, out="alone")
    found = evaluate_vos(predictor, records, out="cluster", run=Run(hire=hire))
    assert found.to_dict() == alone.to_dict()
    names = sorted(path.relative_to("alone") for path in Path("alone").rglob("*.png"))
    assert names and all(Path("cluster", n).read_bytes() == Path("alone", n).read_bytes() for n in names)
