"""`sam2v data-engine`: what is wrong with the arguments of `serve`, and of workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
from data_engine.made import made_up

from sam2v.cli.main import main


@pytest.fixture
def project(tmp_path: Path) -> Iterator[str]:
    """The folder of a project of records without pixels."""
    with made_up(tmp_path) as made:
        yield str(made.folder)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a command ends with."""
    assert main(["data-engine", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("sam2v: error: ") and err.count("\n") == 1, err
    return err


def test_serving_what_cannot_be_served(project: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    for arguments, words in (
        ([str(tmp_path / "nothing")], "no project of the data engine"),
        ([project, "--port", "99999"], "--port must be from 0 to 65535, got 99999"),
        ([project, "--host", "192.0.2.1"], "cannot serve at 192.0.2.1"),
        ([project, "--port", "eight"], "invalid int value: 'eight'"),
        ([project, "--memory", "none"], "none"),
        ([project, "--model", "sam9"], "sam9"),
        ([project, "--checkpoint", "nowhere.pt"], "nowhere.pt"),
        ([], "DIR"),
    ):
        assert words in refused(capsys, "serve", *arguments)


@pytest.mark.parametrize("command", ["auto", "propose", "agree"])
def test_workers_that_cannot_be(project: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["--workers", "-1"], "--workers must be at least 0, got -1"),
        (["--ray", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["--gpus", "1"], "--gpus is for --ray"),
        (["--ray", "--gpus", "-1"], "--gpus must not be negative"),
    ):
        assert words in refused(capsys, command, project, *arguments)
