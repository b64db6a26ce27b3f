"""`~` in a path is the home folder, wherever a path is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn import drawn_clip
from models import nano_by_rule
from PIL import Image

import sam2v
from sam2v.cli.main import main
from sam2v.masks.png import read_binary, write_binary


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a clip of three frames, a photograph, a mask of it and a network."""
    home = tmp_path / "home"
    (home / "clip").mkdir(parents=True)
    (home / "elsewhere").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "elsewhere")  # what takes "~" for a name would leave it here
    frames = drawn_clip(3, 48, 64)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(home / "clip" / f"{index:05d}.png")
    Image.fromarray(frames[0]).save(home / "photo.png")
    mask = np.zeros((48, 64), bool)
    mask[10:30, 10:30] = True
    write_binary("~/mask.png", mask)
    sam2v.save_checkpoint(nano_by_rule("nano-"), "~/nano.safetensors")
    return home


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("track ~/clip --box 0:1:10,10,30,30 --format png --out ~/out", "00002.png"),
        ("track ~/clip --mask 0:1:~/mask.png --format png --out ~/out", "00002.png"),
        ("image ~/photo.png --mask ~/mask.png --out ~/out", "mask_0.png"),
        ("auto ~/photo.png --points-per-side 2 --out ~/out", "masks.json"),
        ("auto ~/clip --video --points-per-side 2 --leave-out ~/mask.png --format png --out ~/out", "objects.json"),
    ],
)
def test_commands(home: Path, command: str, result: str) -> None:
    weights = ["--checkpoint", "~/nano.safetensors", "--override", "model.image_size=96", "--device", "cpu"]
    assert main([*command.split(), *weights]) == 0
    assert (home / "out" / result).is_file()
    assert not list((home / "elsewhere").iterdir())


def test_evaluation_reads_and_writes_there(home: Path) -> None:
    for tree in ("pred", "gt"):
        for index in range(3):
            write_binary(f"~/{tree}/clip/{index:05d}.png", read_binary("~/mask.png"))
    assert main(["eval", "score", "~/pred", "~/gt", "--json", "~/score.json", "--csv", "~/score.csv"]) == 0
    assert (home / "score.json").is_file() and (home / "score.csv").is_file()
    assert not list((home / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "write",
    [
        lambda state: sam2v.open_writer("png", "~/out", size=(48, 64)).close(),
        lambda state: sam2v.VideoPredictor(nano_by_rule()).save_session(state, "~/out"),
    ],
)
def test_python(home: Path, write: Callable[[sam2v.Session], None]) -> None:
    with sam2v.VideoPredictor(nano_by_rule()).init_state("~/clip") as state:
        write(state)
    assert (home / "out").exists()
    assert not list((home / "elsewhere").iterdir())
