"""Hugging Face ids, with the hub itself replaced."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sam2v.weights.hub import download_hub

hub = pytest.importorskip("huggingface_hub")

TINY = "facebook/sam2.1-hiera-tiny"


class FakeHub:
    """Answers for the hub: files by repository."""

    def __init__(self, folder: Path, repositories: dict[str, list[str]]) -> None:
        self.folder, self.repositories, self.asked = folder, repositories, list[tuple[str, str, bool]]()

    def download(self, repo_id: str, filename: str, local_files_only: bool = False) -> str:
        self.asked.append((repo_id, filename, local_files_only))
        if filename not in self.repositories.get(repo_id, []):
            raise hub.errors.EntryNotFoundError("404 Client Error.\nmany lines")
        return str(self.folder / filename)

    def list_files(self, repo_id: str) -> list[str]:
        return self.repositories[repo_id]


@pytest.fixture
def fake(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path, {TINY: ["sam2.1_hiera_tiny.pt", "model.safetensors"]})
    monkeypatch.setattr(hub, "hf_hub_download", fake.download)
    monkeypatch.setattr(hub, "list_repo_files", fake.list_files)
    return fake


def test_released_repository(fake: FakeHub, tmp_path: Path) -> None:
    assert download_hub(TINY) == tmp_path / "sam2.1_hiera_tiny.pt"
    assert fake.asked == [(TINY, "sam2.1_hiera_tiny.pt", False)]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["model.safetensors", "other.pt"], "model.safetensors"),
        (["README.md", "tuned.safetensors", "tuned.pt"], "tuned.safetensors"),
        (["README.md", "tuned.pt"], "tuned.pt"),
    ],
)
def test_other_repositories(fake: FakeHub, tmp_path: Path, files: list[str], expected: str) -> None:
    fake.repositories["me/tuned"] = files
    assert download_hub("me/tuned") == tmp_path / expected


def test_sharded_repositories(fake: FakeHub, tmp_path: Path) -> None:
    index = "model.safetensors.index.json"
    (tmp_path / index).write_text('{"weight_map": {"x": "1.safetensors", "y": "2.safetensors", "z": "1.safetensors"}}')
    fake.repositories["me/tuned"] = [index, "1.safetensors", "2.safetensors", "training_args.pt"]
    assert download_hub("me/tuned") == tmp_path / index
    assert [name for _, name, _ in fake.asked] == ["model.safetensors", index, "1.safetensors", "2.safetensors"]
    (tmp_path / index).write_text('{"weight_map": {"x": "../1.safetensors"}}')
    fake.asked.clear()
    with pytest.raises(ValueError, match="only safetensors files beside the index"):
        download_hub("me/tuned")
    assert [name for _, name, _ in fake.asked] == ["model.safetensors", index]


@pytest.mark.parametrize("files", [["README.md"], ["a.pt", "b.pt"]])
def test_no_single_weights_file(fake: FakeHub, files: list[str]) -> None:
    fake.repositories["me/tuned"] = files
    with pytest.raises(FileNotFoundError, match=r"'me/tuned' has neither model\.safetensors nor one single"):
        download_hub("me/tuned")


def test_released_file_missing(fake: FakeHub) -> None:
    fake.repositories[TINY] = []
    with pytest.raises(FileNotFoundError, match=r"has no sam2\.1_hiera_tiny\.pt$"):
        download_hub(TINY)


def raising(error: Exception) -> Callable[..., str]:
    def download(*_: object, **__: object) -> str:
        raise error

    return download


def test_offline_looks_in_the_local_cache_only(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAM2V_OFFLINE", "1")
    download_hub(TINY)
    assert fake.asked == [(TINY, "sam2.1_hiera_tiny.pt", True)]
    monkeypatch.setattr(hub, "hf_hub_download", raising(hub.errors.LocalEntryNotFoundError("no")))
    with pytest.raises(FileNotFoundError, match="not in the local cache, and SAM2V_OFFLINE forbids"):
        download_hub(TINY)
    monkeypatch.delenv("SAM2V_OFFLINE")
    with pytest.raises(FileNotFoundError, match="the Hugging Face hub cannot be reached"):
        download_hub(TINY)


def test_huggingface_hub_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'sam2v\[hub\]'"):
        download_hub(TINY)
