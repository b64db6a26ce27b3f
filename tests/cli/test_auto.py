"""`sam2v auto` of pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn import drawn_clip
from models import nano_by_rule
from PIL import Image

from sam2v import AutomaticMasks, MaskOptions
from sam2v.cli.main import main
from sam2v.masks.png import read_label_map
from sam2v.masks.rle import decode_rle, rle_area

ALL = ["--points-per-side", "4", "--pred-iou-thresh", "0", "--stability-score-thresh", "0", "--box-nms-thresh", "1"]
OPTIONS = {"points_per_side": 4, "pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}
Find = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, two of one stem, and something else."""
    (tmp_path / "pictures").mkdir()
    for name, size in {"p2.png": (40, 50), "p10.png": (30, 60), "p10.bmp": (48, 32)}.items():
        Image.fromarray(drawn_clip(1, *size)[0]).save(tmp_path / "pictures" / name)
    (tmp_path / "pictures" / "notes.txt").write_text("nothing")
    return tmp_path / "pictures"


@pytest.fixture
def find(nano: list[str], tmp_path: Path) -> Find:
    """Run `sam2v auto` with the small network; results go to `tmp_path / out`."""

    def run(source: Path, *arguments: str) -> int:
        return main(["auto", str(source), "--out", str(tmp_path / "out"), *nano, *arguments])

    return run


def test_a_folder_of_pictures(find: Find, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find(folder, *ALL) == 0
    out = tmp_path / "out"
    data = json.loads((out / "masks.json").read_text())
    assert [image["file_name"] for image in data["images"]] == ["p2.png", "p10.bmp", "p10.png"]
    assert [(image["height"], image["width"]) for image in data["images"]] == [(40, 50), (48, 32), (30, 60)]
    finder, count = AutomaticMasks(nano_by_rule(), **OPTIONS), 0
    for number, name in enumerate(["p2_png", "p10_bmp", "p10_png"]):
        record = json.loads((out / "records" / f"{name}.json").read_text())
        picture = np.array(Image.open(folder / record["image"]["file_name"]))
        found = finder.find(picture)
        expected = [{"id": n + 1, **item} for n, item in enumerate(found.records("coco_rle"))]
        assert record["annotations"] == json.loads(json.dumps(expected))
        assert np.array_equal(read_label_map(out / "labels" / f"{name}.png"), found.label_map())
        assert Image.open(out / "overlays" / f"{name}.jpg").size == picture.shape[1::-1]
        listed = [item for item in data["annotations"] if item["image_id"] == number]
        assert [item["segmentation"] for item in listed] == [item["segmentation"] for item in record["annotations"]]
        for item in listed:
            rows, columns = np.nonzero(decode_rle(item["segmentation"]))
            assert item["area"] == len(rows)
            assert item["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        count += len(found)
    said = f"{count} masks in 3 pictures; labels, overlays, records and masks.json in {out}\n"
    assert capsys.readouterr() == (said, "")


def test_the_data_set_opens_in_pycocotools(find: Find, folder: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    assert find(folder / "p2.png", *ALL) == 0
    data = coco.COCO(str(tmp_path / "out" / "masks.json"))
    for item in data.loadAnns(data.getAnnIds()):
        assert data.annToMask(item).sum() == item["area"] == rle_area(item["segmentation"])


def test_nothing_is_found(find: Find, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "black.png")
    assert find(tmp_path / "black.png", "--points-per-side", "2", "--pred-iou-thresh", "1") == 0
    out = tmp_path / "out"
    said = f"no masks in {tmp_path / 'black.png'}; labels, overlays, records and masks.json in {out}\n"
    assert capsys.readouterr() == (said, "")
    assert json.loads((out / "masks.json").read_text())["annotations"] == []
    assert json.loads((out / "records" / "black.json").read_text())["annotations"] == []
    assert not read_label_map(out / "labels" / "black.png").any()


def test_every_option_has_a_flag(find: Find, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[MaskOptions] = []
    real = AutomaticMasks.__init__
    monkeypatch.setattr(AutomaticMasks, "__init__", lambda self, m, o: options.append(o) or real(self, m, o))
    (tmp_path / "grids.json").write_text("[[[0.5, 0.5]], [[0.2, 0.3], [0.4, 0.1]]]")
    wanted = {
        "points_per_batch": 3,
        "pred_iou_thresh": 0.1,
        "stability_score_thresh": 0.2,
        "stability_score_offset": 0.3,
        "mask_threshold": -0.4,
        "box_nms_thresh": 0.5,
        "crop_n_layers": 1,
        "crop_nms_thresh": 0.6,
        "crop_overlap_ratio": 0.7,
        "crop_n_points_downscale_factor": 2,
        "min_mask_region_area": 5,
        "output_mode": "uncompressed_rle",
    }
    flags = [part for name, value in wanted.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    grids = ["--point-grids", str(tmp_path / "grids.json")]
    assert find(folder / "p2.png", *flags, *grids, "--use-m2m", "--single") == 0
    for name, value in {**wanted, "use_m2m": True, "multimask_output": False, "points_per_side": None}.items():
        assert getattr(options[0], name) == value, name
    assert [len(grid) for grid in options[0].point_grids or []] == [1, 2]
    covered = {*wanted, "use_m2m", "multimask_output", "points_per_side", "point_grids"}
    assert covered == set(MaskOptions.__dataclass_fields__)


def test_the_help_tells_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["auto", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    told = re.findall(r"--([a-z0-9-]+) (?:N|S|IOU|LOGIT|SHARE|PIXELS) [^()]*\(default: ([\d.]+)\)", text)
    told = [(name, value) for name, value in told if name not in ("workers", "gpus")]
    assert len(told) == 12
    for name, value in told:
        assert getattr(MaskOptions(), name.replace("-", "_")) == pytest.approx(float(value), abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--points-per-side", "0"], "points_per_side must be at least 1, got 0"),
        (["--pred-iou-thresh", "1.2"], "pred_iou_thresh must be in [0, 1], got 1.2"),
        (["--stability-score-thresh", "-1"], "stability_score_thresh must be in [0, 1], got -1.0"),
        (["--points-per-side", "two"], "argument --points-per-side: invalid int value: 'two'"),
        (["--point-grids", "nowhere.json"], "No such file or directory: 'nowhere.json'"),
        (["--checkpoint", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_bad_options(
    find: Find, folder: Path, tmp_path: Path, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find(folder, *arguments) == 2
    said = capsys.readouterr().err
    assert problem in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_bad_grids(find: Find, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, problem in {
        "{": "not valid JSON",
        "3": "expected a list of grids",
        "[[[2, 0]]]": "coordinates in [0, 1]",
    }.items():
        (tmp_path / "grids.json").write_text(text)
        assert find(folder, "--point-grids", str(tmp_path / "grids.json")) == 2
        assert problem in capsys.readouterr().err


def test_bad_sources(find: Find, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (folder / "torn.png").write_bytes((folder / "p2.png").read_bytes()[:20])
    for source, problem in {
        tmp_path / "nowhere.png": "no such file or folder",
        tmp_path / "empty": "the folder holds no pictures",
        folder / "notes.txt": "notes.txt",
        folder: "torn.png",
    }.items():
        assert find(source) == 2
        said = capsys.readouterr().err
        assert problem in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_results_never_replace_pictures(
    nano: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.rename(tmp_path / "labels")
    assert main(["auto", str(tmp_path / "labels"), "--out", str(tmp_path), *nano]) == 2
    assert "results would replace pictures" in capsys.readouterr().err
