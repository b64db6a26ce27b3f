"""Reading and writing checkpoint files."""

import argparse
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from sam2v.weights.files import read_checkpoint, write_checkpoint


def tensors() -> dict[str, torch.Tensor]:
    whole = torch.arange(12.0).reshape(3, 4)
    return {
        "a.weight": whole,
        "a.view": whole[:, 1],
        "a.again": whole,
        "b": torch.tensor(3.0),
        "half": torch.ones(2, dtype=torch.float16),
    }


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert set(one) == set(other)
    for name, value in one.items():
        assert value.dtype == other[name].dtype
        assert torch.equal(value, other[name])


@pytest.mark.parametrize(("format", "name"), [("safetensors", "w.safetensors"), ("official", "w.pt")])
def test_round_trip(tmp_path: Path, format: str, name: str) -> None:
    path = write_checkpoint(tensors(), tmp_path / "new" / "folder" / name, format)
    assert_same(read_checkpoint(path), tensors())
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_official_layout_is_the_released_one(tmp_path: Path) -> None:
    path = write_checkpoint(tensors(), tmp_path / "w.pt", "official")
    content = torch.load(path, weights_only=True)
    assert list(content) == ["model"]
    assert list(content["model"]) == list(tensors())


def test_a_view_does_not_drag_its_storage_into_the_file(tmp_path: Path) -> None:
    path = write_checkpoint({"row": torch.zeros(1000, 1000)[0]}, tmp_path / "w.pt", "official")
    assert path.stat().st_size < 20_000


def test_metadata(tmp_path: Path) -> None:
    path = write_checkpoint(tensors(), tmp_path / "w.safetensors", metadata={"config": "sam2v_nano"})
    with safe_open(path, "pt") as file:
        assert file.metadata()["config"] == "sam2v_nano"


@pytest.mark.parametrize("legacy", [False, True])
def test_bare_state_dict_and_extra_entries(tmp_path: Path, legacy: bool) -> None:
    state_dict = {"x": torch.ones(3)}
    torch.save(state_dict, tmp_path / "bare.pt", _use_new_zipfile_serialization=not legacy)
    torch.save({"model": state_dict, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "trained.pt")
    assert_same(read_checkpoint(tmp_path / "bare.pt"), state_dict)
    assert_same(read_checkpoint(str(tmp_path / "trained.pt")), state_dict)


def test_the_suffix_does_not_decide_how_a_file_is_read(tmp_path: Path) -> None:
    path = write_checkpoint(tensors(), tmp_path / "w.safetensors")
    assert_same(read_checkpoint(path.rename(tmp_path / "w.pt")), tensors())


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_checkpoint(tensors(), tmp_path / "w.pt", "official")
    before = path.read_bytes()

    def break_off(content: object, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", break_off)
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint({}, path, "official")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.pt"]


@pytest.mark.parametrize(
    ("name", "format", "words"),
    [("w.pt", "safetensors", "suffix"), ("w.safetensors", "official", "suffix"), ("w.pt", "onnx", "'onnx'")],
)
def test_wrong_format(tmp_path: Path, name: str, format: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        write_checkpoint({}, tmp_path / name, format)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


class Hostile:
    """Runs a command when it is unpickled the careless way."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("how", ["torch", "plain", "protocol 0", "protocol 2"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, how: str) -> None:
    path, witness = tmp_path / "w.pt", tmp_path / "was_here"
    if how == "torch":
        torch.save({"model": Hostile(witness)}, path)
    else:
        protocol = int(how[-1]) if "protocol" in how else pickle.HIGHEST_PROTOCOL
        path.write_bytes(pickle.dumps({"model": Hostile(witness)}, protocol))
    with pytest.raises(ValueError, match=r"refused|not a checkpoint") as error:
        read_checkpoint(path)
    assert not witness.exists()
    assert "\n" not in str(error.value)
    if how == "torch":
        assert "posix.mkdir" in str(error.value) or "nt.mkdir" in str(error.value)


def test_objects_that_are_not_tensors_are_refused(tmp_path: Path) -> None:
    torch.save({"model": {"x": torch.ones(1)}, "args": argparse.Namespace(lr=1)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"argparse\.Namespace"):
        read_checkpoint(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": {"x": 1.0}}, "not tensors .x."),
        ({"epoch": 3, "notes": "none"}, "not tensors .epoch, notes."),
        ({"a": {"b": {"c": {"d": {"x": torch.ones(1)}}}}}, "not tensors .a."),
        ({1: {"x": torch.ones(1)}, 2: {3: torch.ones(1)}}, "not tensors .1, 2."),
        ({"model": {}}, "no entries"),
        ([1, 2], "holds a list"),
    ],
)
def test_no_state_dict_in_the_file(tmp_path: Path, content: object, words: str) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=words):
        read_checkpoint(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<html>404 not found</html>", "not a checkpoint"),
        (b"short", "not a checkpoint"),
        (b"PK\x03\x04 and then nothing", "damaged or incomplete"),
        (b"\x80\x02nonsense", "damaged"),
        (b"\x10\0\0\0\0\0\0\0{not json at all", "damaged or incomplete"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_checkpoint(path)


@given(share=st.floats(0, 0.999, allow_subnormal=False), name=st.sampled_from(["w.pt", "legacy.pt", "w.safetensors"]))
def test_truncated_files(tmp_path_factory: pytest.TempPathFactory, share: float, name: str) -> None:
    folder = tmp_path_factory.mktemp("cut")
    state_dict = {"x": torch.arange(500.0), "y": torch.ones(20, 20)}
    if name == "legacy.pt":
        torch.save(state_dict, folder / name, _use_new_zipfile_serialization=False)
    else:
        write_checkpoint(state_dict, folder / name, "official" if name == "w.pt" else "safetensors")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"damaged|empty|not a checkpoint") as error:
        read_checkpoint(folder / name)
    assert "\n" not in str(error.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint file"):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(IsADirectoryError, match="is a folder without a checkpoint"):
        read_checkpoint(tmp_path)


def test_user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert write_checkpoint(tensors(), "~/new/w.pt", "official") == tmp_path / "new" / "w.pt"
    assert_same(read_checkpoint("~/new/w.pt"), tensors())
    assert_same(read_checkpoint("~/new"), tensors())


def test_safetensors_whose_first_byte_looks_like_a_pickle(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path, sizes = tmp_path / "w.safetensors", set()
    for padding in range(0, 2048, 8):
        save_file({"a": torch.ones(2)}, path, {"note": "x" * padding})
        sizes.add(path.read_bytes()[0])
        assert torch.equal(read_checkpoint(path)["a"], torch.ones(2))
    assert 0x80 in sizes
