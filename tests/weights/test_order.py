"""What was asked for is checked before anything is fetched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

import sam2v
from sam2v.cli.main import main

RELEASED = "sam2.1_hiera_tiny"


class Fetched(Exception):
    """Something went for the network."""


@pytest.fixture(autouse=True)
def no_network(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> None:
        raise Fetched

    monkeypatch.setattr("sam2v.weights.download.download", fetch)
    monkeypatch.setattr("sam2v.weights.hub.download_hub", fetch)


SLIPS = [
    ({"overrides": ["model.imagesize=256"]}, ValueError, "imagesize"),
    ({"overrides": ["model.image_size=100"]}, ValueError, "multiple of 32"),
    ({"overrides": ["model.image_size=[64]"]}, ValueError, "multiple of 32"),
    ({"overrides": ["model.memory.pool=3"]}, ValueError, "must be 1, 2 or 4"),
    ({"overrides": ["+model.image_size=64"]}, ValueError, "only 'key=value'"),
    ({"overrides": ["model.image_size"]}, ValueError, "malformed override"),
    ({"overrides": "model.image_size=64"}, TypeError, "must be a list"),
    ({"device": "gpu"}, ValueError, "device 'gpu'"),
    ({"dtype": "float64"}, ValueError, "dtype must be one of"),
]


@pytest.mark.parametrize(("slip", "error", "words"), SLIPS, ids=lambda value: str(value))
@pytest.mark.parametrize("name", [RELEASED, "facebook/sam2.1-hiera-tiny", "someone/tuned"])
@pytest.mark.parametrize("checkpoint", ["auto", "http://127.0.0.1:9/w.pt", "someone/weights"])
def test_models(name: str, checkpoint: str, slip: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        sam2v.load_model(name, checkpoint=checkpoint, **{"device": "cpu", **slip})
    with pytest.raises(Fetched):  # and without the slip it would have been
        sam2v.load_model(name, checkpoint=checkpoint, device="cpu", overrides=["model.image_size=[64,96]"])


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(FileNotFoundError, match="unknown model 'sam3'"):
        sam2v.load_model("sam3", checkpoint="http://127.0.0.1:9/w.pt")
    with pytest.raises(FileNotFoundError, match="no configuration file"):
        sam2v.load_model("mine.yaml", checkpoint="someone/weights")


@pytest.mark.parametrize(
    ("make", "options", "error", "words"),
    [
        (sam2v.VideoPredictor.from_pretrained, {"fil_hole_area": 3}, TypeError, "'fil_hole_area'"),
        (sam2v.VideoPredictor.from_pretrained, {"fill_hole_area": "3"}, TypeError, "must be int"),
        (sam2v.VideoPredictor.from_pretrained, {"fill_hole_area": -3}, ValueError, "must not be negative"),
        (sam2v.VideoPredictor.from_pretrained, {"frames_per_encoding": 0}, ValueError, "at least 1"),
        (sam2v.VideoPredictor.from_pretrained, {"max_hole_area": 3}, TypeError, "'max_hole_area'"),
        (sam2v.VideoPredictor.from_pretrained, {"dtyp": "float32"}, TypeError, "'dtyp'"),
        (sam2v.VideoPredictor.from_pretrained, {"dtype": "float8"}, ValueError, "dtype must be one of"),
        (sam2v.ImagePredictor.from_pretrained, {"fill_hole_area": 3}, TypeError, "'fill_hole_area'"),
        (sam2v.ImagePredictor.from_pretrained, {"override": ["x=1"]}, TypeError, "'override'"),
        (sam2v.ImagePredictor.from_pretrained, {"overrides": ["model.x=1"]}, ValueError, "'x'"),
    ],
)
def test_predictors(make: Callable[..., Any], options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(RELEASED, **options)
    with pytest.raises(Fetched):
        make(RELEASED, device="cpu")


def test_options_reach_the_predictor() -> None:
    video = sam2v.VideoPredictor.from_pretrained("sam2v_nano", checkpoint=None, device="cpu", fill_hole_area=3)
    assert video.options.fill_hole_area == 3
    image = sam2v.ImagePredictor.from_pretrained("sam2v_nano", checkpoint=None, device="cpu", mask_threshold=0.5)
    assert image.mask_threshold == 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--override", "model.imagesize=64"], "imagesize"),
        (["--device", "gpu"], "device 'gpu'"),
        (["--dtype", "float8"], "--dtype"),
    ],
)
def test_the_command_line(arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["demo", "--model", RELEASED, "--out", str(tmp_path / "out"), *arguments]
    assert main(command) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


DRAWN = "sources=[{kind: synthetic}]"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], r"train\.sources\.0: kind 'davis2017' needs a root folder, sources\.0\.root=FOLDER"),
        (["sources.0.root=nowhere"], r"train\.sources\.0\.root: no folder nowhere"),
        (["sources.0.root=EMPTY"], "expected layout"),
        (["sources.0.kind=folder"], "kind 'folder' needs a root folder"),
        (["sources=[{kind: synthetic, photographs: nowhere}]"], r"sources\.0\.photographs: no folder nowhere"),
        (["sources=[{kind: synthetic, regions: nowhere}]"], r"sources\.0: regions need the photographs"),
        ([DRAWN, "validation=[{kind: mose}]"], r"train\.validation\.0: kind 'mose' needs a root folder"),
        ([DRAWN, "validation=[{kind: mose, root: nowhere}]"], r"validation\.0\.root: no folder nowhere"),
        ([DRAWN, 'overrides=["model.depth=3"]'], "'depth'"),
        ([DRAWN, 'freeze=["backbone.*"]'], r"'backbone\.\*' matches no parameter"),
        ([DRAWN, "lora.rank=4", 'lora.layers=["query"]'], "no linear layer of the network matches"),
    ],
)
def test_recipes(tmp_path: Path, overrides: list[str], words: str) -> None:
    from sam2v.training.config import load_train_config
    from sam2v.training.loop import train

    overrides = [text.replace("EMPTY", str(tmp_path)) for text in overrides]
    recipe = load_train_config("finetune_davis2017", [f"out={tmp_path}/run", *overrides])
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        train(recipe, device="cpu", progress=False)
    ready = load_train_config("finetune_davis2017", [f"out={tmp_path}/run", DRAWN])
    with pytest.raises(Fetched):
        train(ready, device="cpu", progress=False)


def test_a_configuration_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, load = [], OmegaConf.load
    monkeypatch.setattr(OmegaConf, "load", lambda path: read.append(Path(path).name) or load(path))
    sam2v.load_model("sam2v_nano", device="cpu")
    assert read == ["sam2v_nano.yaml"]
    torch.save({}, tmp_path / "w.pt")
    with pytest.raises(ValueError):
        sam2v.load_model("sam2v_nano", checkpoint=tmp_path / "w.pt", device="cpu")
    assert read == ["sam2v_nano.yaml"] * 2
