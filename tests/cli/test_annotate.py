"""`sam2v annotate`: mistakes are said in one line, before a model is loaded; the annotator itself is in tests/app."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

from sam2v.cli import main as cli


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothing.mp4"], "nothing.mp4: no such file or folder"),
        ([".", "--port", "70000"], "--port must be from 0 to 65535"),
        ([".", "--host", "192.0.2.1"], "cannot serve at 192.0.2.1"),
        ([".", "--memory", "elephant"], "elephant"),
        ([".", "--masks", "."], "--masks belong to one video"),
        (["clip.mp4", "--masks", "nothing"], "--masks nothing: no such file or folder"),
        ([".", "--model", "sam9"], "sam9"),
    ],
)
def test_mistakes(
    arguments: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"not read")
    assert cli.main(["annotate", "--no-browser", *arguments]) == 2
    said = capsys.readouterr().err
    assert text in said and said.count("\n") == 1
    assert not (tmp_path / "annotations").exists()


def test_an_address_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sam2v.cli.annotate.load_model_from", lambda _: pytest.fail("a model is loaded"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert cli.main(["annotate", str(tmp_path), "--no-browser", "--port", port]) == 2
    assert f"cannot serve at 127.0.0.1, port {port}" in capsys.readouterr().err
