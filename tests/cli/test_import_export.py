"""`sam2v track` from masks that are there, and into formats of other tools; `sam2v edit` of what it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from drawn import drawn_clip
from PIL import Image

from sam2v.cli.main import main
from sam2v.masks import read_label_map, write_label_map

FRAMES = 6
Run = Callable[..., int]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    (tmp_path / "frames").mkdir()
    for index, picture in enumerate(drawn_clip(FRAMES)):
        Image.fromarray(picture).save(tmp_path / "frames" / f"{index:05d}.png")
    return tmp_path / "frames"


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Masks of two objects on the first frame, and of a third that comes later."""
    labels = np.zeros((48, 64), np.uint8)
    labels[8:30, 8:30], labels[20:40, 35:60] = 1, 4
    write_label_map(tmp_path / "davis" / "00000.png", labels)
    later = labels.copy()
    later[40:46, 2:20] = 9
    write_label_map(tmp_path / "davis" / "00003.png", later)
    return tmp_path / "davis"


@pytest.fixture
def track(nano: list[str], frames: Path, tmp_path: Path) -> Run:
    def run(*arguments: str, out: str = "out") -> int:
        return main(["track", str(frames), "--out", str(tmp_path / out), "--quiet", *nano, *arguments])

    return run


def test_davis_masks_are_tracked_on_and_results_too(track: Run, davis: Path, tmp_path: Path) -> None:
    assert track("--masks", str(davis), "--format", "png,coco") == 0
    record = json.loads((tmp_path / "out" / "track.json").read_text())
    assert {(p["frame_idx"], p["obj_id"]) for p in record["job"]["prompts"]} == {(0, 1), (0, 4), (3, 9)}
    first = read_label_map(tmp_path / "out" / "00000.png")
    assert ((first == 1) == (read_label_map(davis / "00000.png") == 1)).mean() > 0.85  # as fine as this small network
    for masks in ("out", "out/masks.json"):
        name = f"again-{Path(masks).name}"
        assert track("--masks", str(tmp_path / masks), "--masks-frames", "2,4", "--format", "npz", out=name) == 0
        assert len(list((tmp_path / name).glob("*.npz"))) == 4  # from frame 2 on


def test_formats_of_other_tools_and_classes(track: Run, davis: Path, tmp_path: Path) -> None:
    formats = ["--format", "yolo,cvat,labelstudio,coco"]
    assert track("--masks", str(davis), *formats, "--class", "1=fox", "--class", "4=bird") == 0
    out = tmp_path / "out"
    assert len(list((out / "labels").iterdir())) == len(list((out / "images").iterdir())) == FRAMES
    labels = [track.get("label") for track in ElementTree.parse(out / "annotations.xml").getroot().iter("track")]
    assert set(labels) <= {"fox", "bird", "object"} and "fox" in labels
    (task,) = json.loads((out / "label_studio.json").read_text())
    assert task["data"] == {"video": "frames"} and json.loads((out / "track.json").read_text())["job"]["classes"]
    assert track("--masks", str(davis), *formats, "--fresh", "--format", "npz") == 0
    assert not (out / "labels").exists() and not (out / "annotations.xml").exists() and not (out / "data.yaml").exists()


def test_what_was_tracked_is_edited(track: Run, davis: Path, frames: Path, tmp_path: Path) -> None:
    assert track("--masks", str(davis), "--format", "objects,mp4") == 0
    argv = ["edit", str(frames), "--masks", str(tmp_path / "out"), "--effect", "1:fill=red", "--quiet"]
    assert main([*argv, "--out", str(tmp_path / "edited")]) == 0
    picture = np.asarray(Image.open(tmp_path / "edited" / "00000.png"))
    mask = np.asarray(Image.open(tmp_path / "out" / "001" / "00000.png")) > 0
    assert (picture[mask] == (255, 0, 0)).all()
    np.testing.assert_array_equal(picture[~mask], np.asarray(Image.open(frames / "00000.png"))[~mask])
    assert main([*argv, "--out", str(tmp_path / "edited")]) == 2  # it is there


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--masks-frames", "1"], "--masks-frames chooses among those of --masks"),
        (["--masks", "DAVIS", "--masks-frames", "a"], "expected --masks-frames F,F,..."),
        (["--masks", "DAVIS", "--masks-frames", "1"], "no mask on frame 1"),
        (["--masks", "DAVIS", "--class", "fox"], "expected --class ID=NAME"),
        (["--masks", "DAVIS", "--class", "1=fox", "--class", "1=dog"], "object 1 has a class already, fox"),
        (["--masks", "DAVIS", "--mask", "0:1:DAVIS/00003.png"], "holds 3 objects"),
        (["--masks", "DAVIS", "--point", "0:1:5,5"], "frame 0, object 1: more than one prompt"),
        (["--masks", "nowhere"], "nowhere: no such file or folder"),
        (["--masks", "DAVIS", "--out", "DAVIS"], "results would go among the masks"),
        (["--masks", "DAVIS", "--out", "DAVIS/more"], "results would go among the masks"),
        (["--masks", "DAVIS/00000.png", "--out", "DAVIS"], "results would go among the masks"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], error: str, track: Run, davis: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(*(part.replace("DAVIS", str(davis)) for part in arguments)) == 2
    said = capsys.readouterr().err
    assert error in said and said.count("\n") == 1
    assert sorted(path.name for path in davis.iterdir()) == ["00000.png", "00003.png"]


def test_pictures_for_yolo_do_not_replace_the_video(
    track: Run, davis: Path, frames: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames.rename(frames.parent / "images")
    moved = frames.parent / "images"
    before = {path.name: path.read_bytes() for path in moved.iterdir()}
    argv = ["track", str(moved), "--out", str(moved.parent), "--masks", str(davis), "--format", "yolo"]
    assert main(argv) == 2
    assert main(["track", str(moved), "--out", str(moved.parent), "--point", "0:1:9,9", "--format", "yolo"]) == 2
    assert "results would go between the frames" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in moved.iterdir()} == before
