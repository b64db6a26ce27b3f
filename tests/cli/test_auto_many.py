"""`sam2v auto` of several sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from drawn import drawn_clip
from PIL import Image

from sam2v.cli.main import main
from sam2v.jobs.units import RESULT

GRID = ["--points-per-side", "2", "--pred-iou-thresh", "0", "--stability-score-thresh", "0", "--quiet"]
VIDEO = ["--video", "--format", "png,coco,sav", "--hot-start", "0", "--min-quality", "0", "--max-objects", "2"]


def folder_of(place: Path, seed: int, frames: int = 2) -> str:
    place.mkdir()
    for number, frame in enumerate(drawn_clip(frames, seed=seed)):
        Image.fromarray(frame).save(place / f"{number:05d}.png")
    return str(place)


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder but what many sources have besides."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != RESULT]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("flags", [VIDEO, []], ids=["videos", "pictures"])
def test_every_source_becomes_what_it_becomes_by_itself(
    nano: list[str], tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [folder_of(tmp_path / "a", 0), folder_of(tmp_path / "b", 1)]
    out, options = tmp_path / "out", [*GRID, *nano, *flags]
    if not flags:  # a picture is a source as well
        sources[1] = f"{sources[1]}/00001.png"
    names = [Path(source).stem for source in sources]
    assert main(["auto", *sources, "--out", str(out), *options]) == 0
    assert capsys.readouterr() == (f"2 sources: what was found in {out}/NAME\n", "")
    for source, name in zip(sources, names, strict=True):
        assert main(["auto", source, "--out", str(tmp_path / f"one-{name}"), *options]) == 0
        assert content(out / name) == content(tmp_path / f"one-{name}") and len(content(out / name)) > 3
        facts = json.loads((out / name / RESULT).read_text())
        assert facts["objects" if flags else "masks"] > 0 and facts["settings"]["options"]["points_per_side"] == 2
    capsys.readouterr()
    assert main(["auto", *sources, "--out", str(out), *options]) == 0
    assert capsys.readouterr().out.startswith("0 sources (2 were done before): ")
    Image.new("L", (64, 48)).save(tmp_path / "mask.png")
    other = ["--leave-out", str(tmp_path / "mask.png")] if flags else ["--min-mask-region-area", "3"]
    assert main(["auto", *sources, "--out", str(out), *options, *other]) == 2
    assert "holds results of other options: use --fresh or another --out" in capsys.readouterr().err


def test_one_that_fails_does_not_stop_the_others(
    nano: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = f"{folder_of(tmp_path / 'a', 0, 1)}/00000.png"
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    argv = ["auto", good, str(tmp_path / "text.mp4"), "--out", str(tmp_path / "out"), *GRID, *nano]
    assert main(argv) == 1
    out, err = capsys.readouterr()
    assert out.startswith("1 source: ") and err.startswith(f"sam2v: failed: {tmp_path / 'text.mp4'}: ")
    assert "not a video" in err and err.count("\n") == 1
    assert main([*argv[:3], "--both", *argv[3:]]) == 2
    assert "--both is an option of videos" in capsys.readouterr().err
