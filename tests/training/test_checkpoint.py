"""The state of a run as a file, a stranger's too: refused before anything is unpacked, fetched or built."""

from __future__ import annotations

import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from training.small import small_recipe

from sam2v.cli.main import main
from sam2v.training import loop
from sam2v.training.checkpoint import load_state, save_state
from sam2v.training.loop import STATE, train

GOOD: dict[str, Any] = {"step": 2, "best": 0.5, "model": {}, "optimizer": {"state": {}}, "average": None}


def saved(folder: Path, **changes: Any) -> Path:
    """A state of the small recipe."""
    save_state(folder / STATE, GOOD | changes, small_recipe(folder))
    return folder / STATE


def zipped_again(path: Path, method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in parts:
            archive.writestr(name, data)


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = saved(tmp_path, model={"w": torch.arange(6.0)})
    state = load_state(path, small_recipe(tmp_path))
    assert torch.equal(state.pop("model")["w"], torch.arange(6.0))
    assert state == {**{k: v for k, v in GOOD.items() if k != "model"}, "version": 1, "config": state["config"]}
    assert state["config"] == asdict(small_recipe(tmp_path))


def test_what_is_compressed_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, model={"w": torch.zeros(1 << 20)})
    zipped_again(path)
    assert path.stat().st_size < 1 << 17
    monkeypatch.setattr(torch, "load", None)  # is not come to
    with pytest.raises(ValueError, match=r"state\.pt is not the state of a training run \(.* is compressed, or longer"):
        load_state(path, small_recipe(tmp_path))


def test_one_part_under_many_names_is_refused(tmp_path: Path) -> None:
    """Every part is within the file, all of them together are not."""
    path = saved(tmp_path, model={"w": torch.zeros(1 << 16)})
    with zipfile.ZipFile(path, "a") as archive:
        (part,) = (info for info in archive.infolist() if info.file_size == 4 << 16)
        for number in range(50):
            twin = zipfile.ZipInfo(f"archive/data/x{number}")
            twin.header_offset, twin.CRC = part.header_offset, part.CRC
            twin.file_size = twin.compress_size = part.file_size
            archive.filelist.append(twin)
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="it declares more bytes than"):
        load_state(path, small_recipe(tmp_path))


def test_a_file_of_older_torch_is_refused(tmp_path: Path) -> None:
    """Runs never wrote one, and its storages are made as long as it says they are."""
    torch.save(GOOD | {"version": 1}, tmp_path / STATE, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match="is not the state of a training run"):
        load_state(tmp_path / STATE, small_recipe(tmp_path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"version": 1}, "config, step, best, model, optimizer missing or wrong"),
        ({"version": 2}, "of this version"),
        ([1], "of this version"),
        (GOOD | {"version": 1, "config": []}, r"\(config missing or wrong"),
        (GOOD | {"version": 1, "config": {}, "step": "2"}, r"\(step missing or wrong"),
        (GOOD | {"version": 1, "config": {}, "step": -1}, r"\(step missing or wrong"),
        (GOOD | {"version": 1, "config": {"seed": torch.zeros(2)}}, "is not the state of a training run"),
    ],
)
def test_what_is_no_state_is_refused_by_name(tmp_path: Path, content: Any, words: str) -> None:
    torch.save(content, tmp_path / STATE)
    with pytest.raises(ValueError, match=words):
        load_state(tmp_path / STATE, small_recipe(tmp_path))


def test_a_state_is_looked_at_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"version": 1}, tmp_path / STATE)
    monkeypatch.setattr(loop, "check_data", None)
    monkeypatch.setattr(loop.Trainer, "_make_network", None)
    with pytest.raises(ValueError, match="config, step"):
        train(small_recipe(tmp_path), resume=True, progress=False)
    assert main(["train", "--config", "nano", f"out={tmp_path}", "--resume", "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / STATE} is not the state of a training run" in said and said.count("\n") == 1


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, model={"w": torch.zeros(2)})
    with pytest.raises(ValueError, match="is not the state of a training run"):
        train(small_recipe(tmp_path), resume=True, progress=False)
