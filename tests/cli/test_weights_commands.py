"""`sam2v models` and `sam2v download`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from weights.server import Site, serve

import sam2v
from sam2v.cli.main import main

CONTENT = b"weights" * 1000


@pytest.fixture
def mirror(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with serve(Site({"/092824/sam2.1_hiera_tiny.pt": CONTENT, "/072824/sam2_hiera_tiny.pt": CONTENT})) as site:
        monkeypatch.setenv("SAM2V_WEIGHTS_URL", site.url)
        yield site


def test_models(own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_cache.mkdir()
    (own_cache / "sam2_hiera_large.pt").touch()
    assert main(["models"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "parameters", "input", "weights"]
    assert [row.split()[0] for row in rows] == sam2v.list_models()
    by_name = {row.split()[0]: row for row in rows}
    assert "39.0 M" in by_name["sam2.1_hiera_tiny"]
    assert "not downloaded (sam2v download sam2.1_hiera_tiny)" in by_name["sam2.1_hiera_tiny"]
    assert by_name["sam2_hiera_large"].endswith(str(own_cache / "sam2_hiera_large.pt"))


def test_download(mirror: Site, own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "sam2.1_hiera_tiny", "sam2_hiera_tiny", "--quiet"]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert paths == [own_cache / "sam2.1_hiera_tiny.pt", own_cache / "sam2_hiera_tiny.pt"]
    assert all(path.read_bytes() == CONTENT for path in paths)
    assert main(["download", "sam2_hiera_tiny", "--dir", str(tmp_path / "here")]) == 0
    assert (tmp_path / "here" / "sam2_hiera_tiny.pt").is_file()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["sam2_hiera_tiny", "sam3"], "no released weights for 'sam3'; known: sam2_hiera_tiny"),
        (["sam2_hiera_tiny", "--sha256", "00"], "not 00"),
        (["sam2_hiera_tiny", "sam2.1_hiera_tiny", "--sha256", "00"], "single NAME"),
        (["facebook/sam2.1-hiera-tiny", "--dir", "x"], "do not go with a Hugging Face id"),
        (["sam2_hiera_large"], "the server answered 404"),
    ],
)
def test_bad_requests(
    mirror: Site, own_cache: Path, argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", *argv]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert words in err
    assert err.count("\n") == 1
    assert not list(own_cache.glob("*.pt"))


def test_a_hub_id(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sam2v.weights.hub.download_hub", lambda repo_id: Path("/cache") / repo_id)
    assert main(["download", "me/tuned"]) == 0
    assert capsys.readouterr().out == f"{Path('/cache/me/tuned')}\n"
