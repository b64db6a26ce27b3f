"""Where a project's database is, by a record that may be a stranger's: nothing is made, nobody is told who one is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
from data_engine.made import made_up

from sam2v.cli.main import main
from sam2v.data import open_dataset
from sam2v.data.project_url import checked_url, recorded_url, remember_url, sqlite_url, without_password
from sam2v.data_engine.project import Project

#: Both that read a project's record.
READERS: list[Callable[[Path], Any]] = [Project.open, lambda folder: open_dataset("project", folder)]
reads = pytest.mark.parametrize("read", READERS, ids=["project", "dataset"])


def renamed(folder: Path, database: Any) -> Path:
    """A project whose record names a database."""
    made_up(folder, 1).close()
    record = folder / "project" / "project.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"database": database}))
    return folder / "project"


@reads
@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("sqlite:///{}/new.db", "names the database .*new.db, elsewhere"),
        ("sqlite:///{}/project/../new.db", "elsewhere"),
        ("sqlite:///new.db", "elsewhere"),
        ("sqlite:///file:{}/project/new.db?uri=true", "elsewhere"),
        ("sqlite://", "elsewhere"),
        ("nonsense", "not the address of a database"),
        ("mysql://a/b", "accepted are SQLite and PostgreSQL"),
        ("postgresql://stranger/", "open the project once with --database"),
        ("postgresql:///masklets?host=/tmp", "open the project once with --database"),
    ],
)
def test_a_stranger_s_record_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any], database: str, words: str
) -> None:
    if database.startswith("postgresql"):
        psycopg = pytest.importorskip("psycopg")
        monkeypatch.setattr(psycopg, "connect", None)
    folder = renamed(tmp_path, database.format(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=words):
        read(folder)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("database", [5, {}, []])
def test_what_is_no_address_is_a_clear_error(tmp_path: Path, database: Any) -> None:
    with pytest.raises(ValueError, match="not the address of a database"):
        open_dataset("project", renamed(tmp_path, database))


@reads
@pytest.mark.parametrize("name", ["q?x", "q%41", "q#x", "file:q", ":memory:"])
def test_whatever_a_project_s_folder_is_called(tmp_path: Path, read: Callable[[Path], Any], name: str) -> None:
    folder = tmp_path / name
    made_up(tmp_path, 1).close()
    (tmp_path / "project").rename(folder)
    with sqlite3.connect(folder / "engine.sqlite") as connection:
        connection.execute("INSERT INTO revisions SELECT 1, 1, 1, 'm.json', 1, 'm', 3, 1, 0, 0, 0, 0, 0, '{}', 0")
        connection.execute("UPDATE masklets SET state = 'verified', revision_id = 1")
    before = sorted(tmp_path.rglob("*"))
    try:
        opened = read(folder)
        if isinstance(opened, Project):
            opened.close()
    except (ValueError, OSError) as error:  # the file of masks is missing, which the database names
        assert "m.json" in str(error) or "v00000" in str(error)
    assert sorted(tmp_path.rglob("*")) == before


@reads
def test_a_database_that_is_gone_is_not_made_anew(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    folder = renamed(tmp_path, f"sqlite:///{tmp_path}/project/other.sqlite")
    with pytest.raises(FileNotFoundError, match="database is gone"):
        read(folder)
    assert not (folder / "other.sqlite").exists()
    (folder / "engine.sqlite").rename(folder / "other.sqlite")
    with Project.open(folder) as project:
        assert project.video("v00000").name == "v00000"


def test_a_database_that_is_named_and_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path, 1).close()
    url = f"sqlite:///{tmp_path}/typo.sqlite"
    assert main(["data-engine", "status", str(tmp_path / "project"), "--database", url]) == 2
    said = capsys.readouterr().err
    assert "unable to open database file" in said and said.count("\n") == 1 and not (tmp_path / "typo.sqlite").exists()


def test_a_server_that_was_named_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    url = checked_url("postgresql://me:secret@server:5433/masklets?sslmode=require")
    with pytest.raises(ValueError, match="open the project once with") as caught:
        recorded_url(tmp_path, url.render_as_string(hide_password=False))
    assert "secret" not in str(caught.value)
    for _ in range(2):
        remember_url(url)
    remember_url(sqlite_url(tmp_path / "a.sqlite"))
    assert (tmp_path / "sam2v" / "databases.txt").read_text() == without_password(url) + "\n"
    assert without_password(recorded_url(tmp_path, without_password(url))) == without_password(url)
    for other in ("other@server:5433/masklets", "me@other:5433/masklets", "me@server/masklets", "me@server:5433/else"):
        with pytest.raises(ValueError, match="open the project once with"):
            recorded_url(tmp_path, f"postgresql://{other}?sslmode=require")
    (tmp_path / "sam2v").rename(tmp_path / "gone")
    (tmp_path / "sam2v").touch()
    remember_url(url)  # cannot be written down: no error
