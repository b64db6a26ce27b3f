"""What is wrong with a pair of folders is said in one line that names the file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluation.drawn import disk, two_disks
from PIL import Image

from sam2v.cli.main import main
from sam2v.evaluation import evaluate_folders

Pair = tuple[Path, Path]


def save(path: Path, array: np.ndarray, palette: list[int] | None = None) -> None:
    picture = Image.fromarray(array)
    if palette is not None:
        picture.putpalette(palette)
    picture.save(path)


def no_object(pred: Path, gt: Path) -> None:
    for file in (gt / "two").iterdir():
        save(file, np.zeros((48, 64), np.uint8))


def empty_folder(pred: Path, gt: Path) -> None:
    for folder in (pred, gt):
        (folder / "three").mkdir()


def two_frames(pred: Path, gt: Path) -> None:
    for frame in range(2, 8):
        (gt / f"two/{frame:05d}.png").unlink()


BREAKAGES: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "size": (
        lambda pred, gt: save(pred / "two/00003.png", np.zeros((48, 60), np.uint8)),
        r"pred/two/00003.png is 60 x 48 pixels but .*gt/two/00003.png is 64 x 48",
    ),
    "missing frame": (lambda pred, gt: (pred / "two/00003.png").unlink(), r"pred/two/00003.png: missing"),
    "extra frame": (
        lambda pred, gt: shutil.copy(pred / "two/00003.png", pred / "two/00008.png"),
        r"pred/two/00008.png: predicted but not annotated .*9 predictions, 8 annotations",
    ),
    "missing sequence": (
        lambda pred, gt: shutil.rmtree(pred / "two"),
        r"pred/two: no predictions for sequence 'two'",
    ),
    "void": (
        lambda pred, gt: save(gt / "two/00003.png", np.full(two_disks(0).shape, 255, np.uint8)),
        r"gt/two/00003.png: every pixel is void",
    ),
    "void or a full frame": (
        lambda pred, gt: save(gt / "one/00003.png", np.full((48, 64), 255, np.uint8)),
        r"gt/one/00003.png: every pixel is 255: void throughout, or one object",
    ),
    "labels after 0 and 255": (
        lambda pred, gt: save(gt / "one/00003.png", two_disks(3)),
        r"gt/one/00003.png: holds labels 1, 2 in a sequence that began with 0 and 255 only",
    ),
    "surplus label": (
        lambda pred, gt: save(pred / "two/00002.png", two_disks(2) * np.uint8(3)),
        r"pred/two/00002.png: holds labels 3, 6, but the first annotation has objects 1 to 2 only",
    ),
    "grey levels of colours": (
        lambda pred, gt: save(pred / "two/00002.png", np.array([0, 38, 75], np.uint8)[two_disks(2)]),
        r"pred/two/00002.png: holds labels 38, 75",
    ),
    "palette made from colours": (
        lambda pred, gt: save(pred / "one/00002.png", disk(20, 20, 9).astype(np.uint8), [255, 255, 255, 0, 0, 0]),
        r"pred/one/00002.png: its palette paints index 0 \(255, 255, 255\) and index 1 black",
    ),
    "colour picture": (
        lambda pred, gt: save(pred / "one/00002.png", np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)),
        r"pred/one/00002.png: .*RGB",
    ),
    "damaged file": (
        lambda pred, gt: (pred / "two/00004.png").write_bytes(b"\x89PNG nothing"),
        r"pred/two/00004.png: not a",
    ),
    "cut file": (
        lambda pred, gt: (pred / "two/00004.png").write_bytes((pred / "two/00004.png").read_bytes()[:90]),
        r"pred/two/00004.png: not a readable picture",
    ),
    "no object": (
        no_object,
        r"gt/two/00000.png: annotates no object",
    ),
    "empty folder": (
        empty_folder,
        r"gt/three: holds neither PNG",
    ),
    "too short": (
        two_frames,
        r"gt/two: has 2 annotated frames, none left",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_the_file_is_named(name: str, pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    breakage, message = BREAKAGES[name]
    breakage(*pair)
    with pytest.raises((ValueError, OSError)) as raised:
        evaluate_folders(*pair, workers=0)
    assert re.search(message, str(raised.value)), raised.value
    assert main(["eval", "score", *map(str, pair), "--workers", "2", "--quiet"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert re.search(message, lines[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--meta", "none.json", "--seen", "none.txt"], "none.json: no such file"),
        (["--meta", "none.json"], "go together"),
        (["--images", "pictures"], "--images .* --worst"),
    ],
)
def test_options_of_the_report_are_looked_at_before_anything_is_scored(
    pair: Pair, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    (pair[0] / "two/00004.png").unlink()  # which scoring would name
    assert main(["eval", "score", *map(str, pair), *options, "--quiet"]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_listed_sequence_that_is_absent(pair: Pair) -> None:
    with pytest.raises(FileNotFoundError, match="gt/three: sequence 'three' is listed"):
        evaluate_folders(*pair, sequences=["two", "three"], workers=0)


def test_objects_need_folders_when_the_annotation_has_them(pair: Pair) -> None:
    (pair[1] / "a").mkdir()
    (pair[1] / "two").rename(pair[1] / "a/000")
    (pair[0] / "two").rename(pair[0] / "a")
    with pytest.raises(FileNotFoundError, match="pred/a/000: no such folder; annotations have one folder per object"):
        evaluate_folders(*pair, workers=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "davids"}, "no protocol named 'davids'; there are davis, "),
        ({"sequences": []}, "list of sequences is empty"),
        ({"workers": -1}, "number of workers"),
    ],
)
def test_bad_options(pair: Pair, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_folders(*pair, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("folder", [0, 1])
def test_no_such_folder(pair: Pair, folder: int) -> None:
    folders = list(pair)
    folders[folder] = pair[0].parent / "absent"
    with pytest.raises(FileNotFoundError, match="absent: no such folder"):
        evaluate_folders(*folders, workers=0)


def test_an_object_may_fill_the_frame_when_it_is_said_to_be_one(pair: Pair) -> None:
    for folder in pair:
        save(folder / "one/00003.png", np.full((48, 64), 255, np.uint8))
    assert evaluate_folders(*pair, sequences="one", binary=True, workers=0).sequences["one"].objects["1"].j[2] == 1
