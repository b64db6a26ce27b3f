"""`sam2v image`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn import drawn_clip
from models import nano_by_rule
from PIL import Image

from sam2v import ImagePredictor
from sam2v.cli.main import main

HEIGHT, WIDTH = 48, 64
Segment = Callable[..., int]


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return drawn_clip(1, HEIGHT, WIDTH)[0]


@pytest.fixture
def photo(picture: np.ndarray, tmp_path: Path) -> Path:
    Image.fromarray(picture).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def segment(nano: list[str], tmp_path: Path) -> Segment:
    """Run `sam2v image` with the small network; results go to `tmp_path / out`."""

    def run(image: Path, *arguments: str) -> int:
        return main(["image", str(image), "--out", str(tmp_path / "out"), *nano, *arguments])

    return run


def test_masks_of_an_earlier_run_do_not_stay(segment: Segment, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert segment(photo, "--point", "20,20") == 0
    (out / "mask_9.png").write_bytes(b"mine")
    assert len(list(out.glob("mask_*.png"))) == 4
    assert segment(photo, "--point", "20,20", "--single") == 0
    assert sorted(path.name for path in out.glob("mask_*.png")) == ["mask_0.png", "mask_9.png"]
    (out / "masks.json").write_text('{"masks": [{"file": "../photo.png"}, 3]}')
    assert segment(photo, "--point", "20,20", "--single") == 0 and photo.exists()


@pytest.mark.parametrize(
    ("arguments", "prompt"),
    [
        (["--point", "20,20", "--point", "50,30,0"], {"point_coords": [[20, 20], [50, 30]], "point_labels": [1, 0]}),
        (["--box", "5,5,30,40", "--single"], {"box": [5, 5, 30, 40], "multimask_output": False}),
        (["--box", "5,5,30,40", "--point", "20,20"], {"box": [5, 5, 30, 40], "point_coords": [[20, 20]]}),
        (
            ["--box", "5,5,30,40", "--box", "20,10,60,40"],
            {"box": [[5, 5, 30, 40], [20, 10, 60, 40]], "multimask_output": False},
        ),
    ],
)
def test_results_are_those_of_the_predictor(
    segment: Segment,
    photo: Path,
    picture: np.ndarray,
    tmp_path: Path,
    arguments: list[str],
    prompt: dict,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert segment(photo, *arguments) == 0
    predictor = ImagePredictor(nano_by_rule())
    predictor.set_image(picture)
    answer = predictor.predict(**prompt)
    masks, out = answer.masks.reshape(-1, HEIGHT, WIDTH), tmp_path / "out"
    said = f"{len(masks)} mask{'s' * (len(masks) > 1)}, overlay.png and masks.json in {out}\n"
    assert capsys.readouterr() == (said, "")
    record = json.loads((out / "masks.json").read_text())
    assert (record["height"], record["width"], record["image"]) == (HEIGHT, WIDTH, str(photo))
    assert len(record["masks"]) == len(masks)
    for mask, iou, entry in zip(masks, answer.iou.ravel(), record["masks"], strict=True):
        written = Image.open(out / entry["file"])
        assert written.mode == "L" and np.array_equal(np.array(written), np.where(mask, 255, 0))
        assert entry["area"] == mask.sum() and entry["iou"] == pytest.approx(iou, abs=1e-5)
    overlay = np.array(Image.open(out / "overlay.png"))
    assert overlay.shape == (HEIGHT, WIDTH, 3) and (overlay != picture).any()


def test_a_mask_is_refined(segment: Segment, photo: Path, tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:30, 10:30] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert segment(photo, "--mask", str(tmp_path / "mask.png"), "--single") == 0
    assert len(json.loads((tmp_path / "out" / "masks.json").read_text())["masks"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to segment: give --point, --box or --mask"),
        (["--point", "20"], "expected --point X,Y[,LABEL]"),
        (["--point", "x,y"], "expected --point X,Y[,LABEL]"),
        (["--point", "20,20,0.5"], "expected --point X,Y[,LABEL]"),
        (["--point", "20,20,7"], "unknown label 7"),
        (["--point", "nan,20"], "NaN"),
        (["--point", "65,20"], "point (65, 20) lies outside the frame of 64 x 48 pixels"),
        (["--box", "5,5,30"], "expected --box X0,Y0,X1,Y1"),
        (["--box", "30,5,5,40"], "x1 must exceed x0"),
        (["--box", "5,50,300,60"], "box (5, 50)-(300, 60) lies outside"),
        (["--box", "5,5,30,40", "--box", "1,1,9,9", "--point", "2,2"], "points belong to one object"),
        (["--mask", "nowhere.png"], "nowhere.png"),
        (["--point", "20,20", "--model", "sam9"], "sam9"),
        (["--point", "20,20", "--checkpoint", "nowhere.pt"], "nowhere.pt"),
        (["--point", "20,20", "--device", "abacus"], "abacus"),
        (["--point", "20,20", "--override", "model.image_size=100"], "image_size"),
    ],
)
def test_bad_arguments(
    segment: Segment, photo: Path, tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(photo, *arguments) == 2
    assert_one_line(capsys, words)
    assert not (tmp_path / "out").exists()


def test_results_never_replace_what_they_are_made_from(
    segment: Segment, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    for name in ("overlay.png", "mask_2.png"):
        photo.rename(tmp_path / "out" / name)
        before = (tmp_path / "out" / name).read_bytes()
        assert segment(tmp_path / "out" / name, "--point", "20,20") == 2
        assert_one_line(capsys, f"would replace {(tmp_path / 'out' / name).resolve()}")
        assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
        assert (tmp_path / "out" / name).read_bytes() == before
        (tmp_path / "out" / name).rename(photo)


def test_bad_pictures(segment: Segment, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:400])
    Image.new("L", (32, 24), 255).save(tmp_path / "mask.png")
    for name, words in {
        "missing.jpg": "missing.jpg",
        "text.jpg": "text.jpg: not an image that can be read",
        "empty.jpg": "empty.jpg: the file is empty",
        "cut.png": "cut.png: the image is cut short",
        ".": "",
    }.items():
        assert segment(tmp_path / name, "--point", "20,20") == 2
        assert_one_line(capsys, words)
    assert segment(photo, "--mask", str(tmp_path / "mask.png")) == 2
    assert_one_line(capsys, "mask.png: the mask and the picture have different sizes, 32 x 24 and 64 x 48")
    assert not (tmp_path / "out").exists()


def assert_one_line(capsys: pytest.CaptureFixture[str], words: str) -> None:
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("sam2v: error: ") and err.count("\n") == 1, err
    assert words in err
