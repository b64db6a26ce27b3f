"""Sharded safetensors with an index, and folders as checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import sam2v
from sam2v.weights import files as module
from sam2v.weights.files import read_checkpoint, write_checkpoint

NAME = "model.safetensors.index.json"


def shards(folder: Path, tensors: dict[str, Tensor], count: int = 3, **index: Any) -> Path:
    """Deal tensors out to files and write the index; `index` replaces entries of its map."""
    folder.mkdir(exist_ok=True)
    names = list(tensors)
    weight_map = {}
    for number in range(count):
        file = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
        save_file({name: tensors[name] for name in names[number::count]}, folder / file)
        weight_map.update(dict.fromkeys(names[number::count], file))
    (folder / NAME).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": {**weight_map, **index}}))
    return folder / NAME


def letters() -> dict[str, Tensor]:
    return {letter: torch.full((2,), float(number)) for number, letter in enumerate("abcdefgh")}


@pytest.mark.parametrize("whole", [True, False])
def test_a_model_in_several_files(tmp_path: Path, whole: bool) -> None:
    state_dict = sam2v.load_model("sam2v_nano", device="cpu", checkpoint=None).state_dict()
    index = shards(tmp_path / "model", {f"module.{name}": value for name, value in state_dict.items()})
    (tmp_path / "model" / "config.json").write_text("{}")
    model = sam2v.load_model("sam2v_nano", checkpoint=index if whole else index.parent, device="cpu")
    assert all(torch.equal(value, state_dict[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "file",
    ["../secret.safetensors", "/etc/secret.safetensors", "a/b.safetensors", "..\\x.safetensors", "..", "", "w.pt"],
)
def test_an_index_leads_nowhere_else(tmp_path: Path, file: str) -> None:
    save_file({"x": torch.ones(1)}, tmp_path / "secret.safetensors")
    with pytest.raises(ValueError, match="only safetensors files beside the index are read"):
        read_checkpoint(shards(tmp_path / "model", letters(), x=file))


def test_links_of_a_hub_cache_are_followed(tmp_path: Path) -> None:
    index = shards(tmp_path / "snapshot", letters())
    (tmp_path / "blobs").mkdir()
    for number, file in enumerate(sorted(index.parent.glob("*.safetensors"))):
        blob = file.rename(tmp_path / "blobs" / str(number))
        file.symlink_to(blob)
    assert read_checkpoint(index.parent).keys() == letters().keys()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"x": 1}}', '{"weight_map": []}', "[" * 100_000, "\xff"],
)
def test_files_that_are_no_index(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match="is not an index of weights"):
        read_checkpoint(tmp_path / NAME)


def test_an_index_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = shards(tmp_path / "model", letters())
    monkeypatch.setattr(module, "_MOST_INDEX", 100)
    with pytest.raises(ValueError, match="no index of weights is so long"):
        read_checkpoint(index)


def test_index_and_files_must_agree(tmp_path: Path) -> None:
    index = shards(tmp_path / "model", letters())
    first = index.parent / "model-00001-of-00003.safetensors"
    save_file({name: torch.ones(1) for name in ("a", "d", "g", "more")}, first)
    with pytest.raises(ValueError, match=r"do not belong together: 1 names differ \(more"):
        read_checkpoint(index)
    save_file({"a": torch.ones(1)}, first)
    with pytest.raises(ValueError, match=r"do not belong together: 2 names differ \(d, "):
        read_checkpoint(index)
    first.unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of its 3 files are missing \(model-00001"):
        read_checkpoint(index)
    first.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(index)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.ckpt", "w.bin", "w.safetensors"])
def test_a_folder_with_one_checkpoint(tmp_path: Path, name: str) -> None:
    kind = "safetensors" if name.endswith("safetensors") else "official"
    write_checkpoint(letters(), tmp_path / name, kind)  # type: ignore[arg-type]
    (tmp_path / "config.yaml").touch()
    (tmp_path / "logs").mkdir()
    assert read_checkpoint(tmp_path).keys() == letters().keys()
    write_checkpoint(letters(), tmp_path / "second.safetensors")
    with pytest.raises(ValueError, match=r"holds 2 checkpoints \(second\.safetensors, w\..*\): name one of them"):
        read_checkpoint(tmp_path)
