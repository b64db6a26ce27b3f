"""`sam2v auto` of videos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from drawn import drawn_clip
from PIL import Image

from sam2v.cli.main import main
from sam2v.output.lock import FolderLock

QUICK = ["--points-per-side", "4", "--pred-iou-thresh", "0", "--stability-score-thresh", "0", "--hot-start", "0"]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A folder of four frames, named as that of an object in the folder above."""
    folder = tmp_path / "v" / "001"
    folder.mkdir(parents=True)
    for number, frame in enumerate(drawn_clip(4)):
        Image.fromarray(frame).save(folder / f"{number:05d}.png")
    return folder


def test_a_video_is_written_in_every_format(
    frames: Path, nano: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["auto", str(frames), "--video", "--out", str(out), "--format", "png,coco,sav", "--min-quality", "0"]
    assert main([*argv, "--max-objects", "3", *QUICK, *nano]) == 0
    known = json.loads((out / "objects.json").read_text())["objects"]
    assert 0 < len(known) <= 3 and f"{len(known)} object" in capsys.readouterr().out
    assert sorted(path.name for path in out.glob("*.png")) == [f"{number:05d}.png" for number in range(4)]
    assert (out / "masks.json").is_file() and list(out.glob("*_auto.json"))


def test_results_of_other_runs_are_not_mixed(
    frames: Path, nano: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["auto", str(frames), "--video", "--out", str(out), "--min-quality", "0", *QUICK, *nano]
    assert main([*argv, "--format", "npz"]) == 0
    assert main([*argv, "--format", "png"]) == 0
    assert not list(out.glob("*.npz")) and len(list(out.glob("*.png"))) == 4
    track = ["track", str(frames), "--point", "0:1:20,20", "--format", "coco", "--out", str(out), *nano]
    capsys.readouterr()
    assert main(track) == 2
    assert "holds results of something else (png): use --fresh to remove them" in capsys.readouterr().err
    assert len(list(out.glob("*.png"))) == 4
    assert main([*track, "--fresh"]) == 0
    assert not list(out.glob("*.png")) and (out / "masks.json").exists()
    before = (out / "masks.json").read_bytes()
    for source in ([str(frames), "--video"], [str(frames / "00000.png")]):
        assert main(["auto", *source, "--out", str(out), *nano]) == 2
        assert "holds a run of sam2v track" in capsys.readouterr().err
    assert (out / "masks.json").read_bytes() == before


@pytest.mark.parametrize("what", ["a picture", "a video"])
def test_a_folder_belongs_to_one_run(
    frames: Path, nano: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    source = [str(frames), "--video"] if what == "a video" else [str(frames / "00000.png")]
    with FolderLock(tmp_path / "out"):
        assert main(["auto", *source, "--out", str(tmp_path / "out"), *nano]) == 2
        assert capsys.readouterr().err.endswith("out: in use by another run\n")
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".sam2v.lock"]


def test_results_never_replace_the_frames(frames: Path, nano: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in frames.iterdir()}
    for out in (frames, frames.parent):
        argv = ["auto", str(frames), "--video", "--out", str(out), "--format", "objects"]
        assert main([*argv, *QUICK, *nano]) == 2
        assert "results would go between the frames" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in frames.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--video", "--crop-n-layers", "1"], "--crop-n-layers is an option of pictures"),
        (["--both"], "--both is an option of videos"),
        (["--video", "--format", "avi"], "unknown output format 'avi'"),
        (["--video", "--gpus", "1"], "--gpus is for --ray"),
        (["--video", "--fps", "-1"], "--fps must be a number from 0.001 on, got -1.0"),
        (["--video", "--max-objects", "0"], "max_objects must be at least 1"),
    ],
)
def test_flags_that_do_not_fit(
    frames: Path, tmp_path: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["auto", str(frames), "--out", str(tmp_path / "out"), *flags]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()
