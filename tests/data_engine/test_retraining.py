"""The loop closes: what was verified is what is learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli.conftest import nano_arguments
from data_engine.made import Squares, made_up, squares

from sam2v.cli.main import main
from sam2v.data import open_dataset
from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.queue import Queue
from sam2v.data_engine.work import Work


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Two videos: both squares of the first one are verified, of the second one nothing."""
    squares(tmp_path / "videos", 2)
    with Project.create(tmp_path / "p", [tmp_path / "videos"], Settings(3, 24.0, 2)) as project:
        queue, ann, ver = Queue(project), project.annotator("ann"), project.annotator("ver")
        while (task := queue.take(ann, "annotate")) is not None:
            truth = Squares(shift=int(task.video[-1]))
            masks = {f: truth.masks(f).get(task.number, np.zeros(truth.size, bool)) for f in range(9)}
            queue.submit(task, Work(MaskletMasks.of(masks, truth.size)))
        while (task := queue.take(ver, "verify")) is not None:
            queue.judge(task, task.video == "squares0")
    return tmp_path / "p"


def test_verified_masklets_are_a_data_set(annotated: Path) -> None:
    records = open_dataset("project", annotated)
    assert records.names == ("squares0",)
    record, truth = records[0], Squares()
    assert record.annotated == tuple(range(9)) and record.first_frame == {1: 0, 2: 0} and record.size == truth.size
    for index in (0, 5):
        found, wanted = record.masks(index), truth.masks(index)
        assert found.keys() == wanted.keys() and all(np.array_equal(found[obj], wanted[obj]) for obj in found)
    assert np.array_equal(record.frame(3), truth.source[3]) and record.object_name(1) == "001"
    with pytest.raises(ValueError, match="in the split val"):
        open_dataset("project", annotated, "val")


def test_masks_of_frames_that_a_video_no_longer_has(annotated: Path, tmp_path: Path) -> None:
    for file in sorted((tmp_path / "videos/squares0").iterdir())[5:]:
        file.unlink()
    with pytest.raises(ValueError, match=r"masks of frame 5; .*squares0 has 5 frames"):
        open_dataset("project", annotated)[0]


def test_what_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no project of the data engine"):
        open_dataset("project", tmp_path)
    made_up(tmp_path).close()
    with pytest.raises(ValueError, match="no masklet was verified yet"):
        open_dataset("project", tmp_path / "project")
    (tmp_path / "project" / "engine.sqlite").unlink()
    with pytest.raises(FileNotFoundError, match="database is gone"):
        open_dataset("project", tmp_path / "project")


def test_a_model_learns_from_a_project(annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = nano_arguments(tmp_path / "nano.pt", "nano-")[1]
    small = ["stages.0.steps=1", "stages.0.image_size=64", "stages.0.frames=2", "stages.0.batch=1"]
    argv = ["train", "--config", "finetune_project", f"sources.0.root={annotated}", f"out={tmp_path / 'run'}"]
    assert main([*argv, f"checkpoint={weights}", *small, "--device", "cpu", "--quiet"]) == 0
    assert (tmp_path / "run" / "last.safetensors").is_file() and "1 of 1 steps" in capsys.readouterr().out
