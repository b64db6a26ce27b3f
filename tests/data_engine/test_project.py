"""Projects: made, opened, refused."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from pathlib import Path

import pytest
from data_engine.made import empty_videos, made_up, square
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session
from typing_extensions import Self

from sam2v.cli.main import main
from sam2v.data.masklet_file import MaskletMasks, frames_at
from sam2v.data.project_url import sqlite_url
from sam2v.data_engine.database import Database, DatabaseAway
from sam2v.data_engine.export_plan import plan_export
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.queue import Queue
from sam2v.data_engine.schema import Video
from sam2v.data_engine.status import status_of
from sam2v.data_engine.videos import is_safe_name, safe_name
from sam2v.output.lock import FolderLock


def test_a_project_is_opened_as_it_was_made(tmp_path: Path) -> None:
    with made_up(tmp_path, 3, phase=2, rate=3.0, objects=2) as made:
        token = made.token
    with Project.open(tmp_path / "project") as project:
        assert project.settings == Settings(2, 3.0, 2) and project.token == token
        status = status_of(project)
        assert status.videos == {"new": 3} and status.masklets == {"manual": {"proposed": 6}}
        assert project.add_videos([tmp_path / "videos"]) == 0
        (tmp_path / "videos" / "more.mp4").touch()
        assert project.add_videos([tmp_path / "videos"]) == 1
        assert status_of(project).to_annotate == 8


def test_videos_of_one_name_get_names_of_their_own(tmp_path: Path) -> None:
    first, second = empty_videos(tmp_path / "a", 1), empty_videos(tmp_path / "b", 1)
    with Project.create(tmp_path / "p", [first, second]) as project:
        assert {project.video("v00000").path, project.video("v00000-2").path} == {
            str(first / "v00000.mp4"),
            str(second / "v00000.mp4"),
        }
        with pytest.raises(KeyError, match="no video is called"):
            project.video("other")


def test_a_video_is_one_whichever_way_leads_to_it(tmp_path: Path) -> None:
    videos = empty_videos(tmp_path / "a", 2)
    os.mkfifo(videos / "pipe.mp4")
    with Project.create(tmp_path / "p", [videos / ".." / "a", f"{videos}/./v00000.mp4"]) as project:
        assert status_of(project).videos == {"new": 2} and project.video("v00000").path == str(videos / "v00000.mp4")
        assert project.add_videos([tmp_path / "b" / ".." / "a"]) == 0


def test_a_folder_has_one_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path).close()
    before = {path: path.read_bytes() for path in (tmp_path / "project").iterdir()}
    with pytest.raises(FileExistsError, match="there is a project already"):
        Project.create(tmp_path / "project", [tmp_path / "videos"])
    assert main(["data-engine", "init", str(tmp_path / "project"), "--videos", str(tmp_path / "videos")]) == 2
    assert "there is a project already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "project").iterdir()} == before


def test_a_database_has_one_project(tmp_path: Path) -> None:
    made_up(tmp_path).close()
    url = sqlite_url(tmp_path / "project" / "engine.sqlite").render_as_string()
    with pytest.raises(FileExistsError, match="holds another project"):
        Project.create(tmp_path / "second", [tmp_path / "videos"], database=url)
    assert not (tmp_path / "second" / "project.json").exists()


def test_a_database_of_another_project_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made_up(tmp_path / name).close()
    (tmp_path / "b" / "project" / "engine.sqlite").replace(tmp_path / "a" / "project" / "engine.sqlite")
    with pytest.raises(ValueError, match="does not belong to the project"):
        Project.open(tmp_path / "a" / "project")
    with pytest.raises(FileNotFoundError, match="database is gone"):
        Project.open(tmp_path / "b" / "project")


@pytest.mark.parametrize("where", ["record", "database"])
def test_a_newer_version_is_refused(tmp_path: Path, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path).close()
    record = tmp_path / "project" / "project.json"
    if where == "record":
        record.write_text(json.dumps(json.loads(record.read_text()) | {"version": 2}))
    else:
        with sqlite3.connect(tmp_path / "project" / "engine.sqlite") as connection:
            connection.execute("UPDATE project SET version = 2")
    assert main(["data-engine", "status", str(tmp_path / "project")]) == 2
    said = capsys.readouterr().err
    assert "version 2" in said and "upgrade" in said and said.count("\n") == 1


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 1, "token": 3, "database": null}'])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "project.json").write_text(text)
    with pytest.raises(ValueError, match="not the record of a data engine's project"):
        Project.open(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--videos", "absent"], "absent: no such file or folder"),
        (["--videos", "."], "no video in it"),
        (["--videos", "videos", "--phase", "4"], "phase must be 1, 2 or 3"),
        (["--videos", "videos", "--rate", "0"], "rate must be above 0"),
        (["--videos", "videos", "--objects", "-1"], "objects must be from 0 to 100"),
        (["--videos", "videos", "--database", "mysql://a/b"], "accepted are SQLite and PostgreSQL"),
        (["--videos", "videos", "--database", "no address"], "accepted: postgresql://"),
    ],
)
def test_bad_input_makes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    if "videos" in arguments:
        empty_videos(tmp_path / "videos", 1)
    monkeypatch.chdir(tmp_path)
    assert main(["data-engine", "init", "project", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (tmp_path / "project").exists()


def test_a_database_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Transactions that find it away are made again from their beginning, until they wait no longer."""
    from sqlalchemy.exc import OperationalError

    database = Database(sqlite_url(tmp_path / "some.sqlite"), patience=5.0, new=True)
    calls = []

    def work(session: Session) -> str:
        calls.append(session)
        if len(calls) < 3:
            raise OperationalError("SELECT", None, Exception("server closed the connection unexpectedly"))
        return "done"

    assert database.write(work) == "done" and len(set(calls)) == 3
    database.patience = 0.1
    calls.clear()
    with pytest.raises(DatabaseAway, match="does not answer"):
        database.write(lambda session: work(calls.clear() or session))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("ALTER TABLE project RENAME COLUMN token TO other", "no such column"),
        ("DROP TABLE masklets", "no such table"),
        (None, "not a database"),
    ],
)
def test_a_database_that_is_none_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str | None, words: str
) -> None:
    made_up(tmp_path).close()
    path = tmp_path / "project" / "engine.sqlite"
    if spoil is None:
        path.write_bytes(b"something else" * 100)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute(spoil)
    assert main(["data-engine", "status", str(tmp_path / "project")]) == 2
    said = capsys.readouterr().err
    assert "the database refuses" in said and words in said and said.count("\n") == 1


def test_what_no_database_can_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a database in memory"):
        Project.create(tmp_path / "p", [empty_videos(tmp_path / "videos", 1)], database="sqlite://")
    assert not (tmp_path / "p").exists()
    for patience in (-1.0, math.nan):
        with pytest.raises(ValueError, match="patience must be 0"):
            Database(sqlite_url(tmp_path / "some.sqlite"), patience)


def test_who_loses_a_folder_to_another_init_takes_nothing_of_it(tmp_path: Path) -> None:
    """The database of the one that is under way appears while the other one finds the folder in use."""
    folder, videos = tmp_path / "p", empty_videos(tmp_path / "videos", 1)
    with FolderLock(folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sam2v.data_engine.project.FolderLock", Later)
            with pytest.raises(OSError, match="in use by another run"):
                Project.create(folder, [videos])
        assert (folder / "engine.sqlite").read_bytes() == b"of the other one"


class Later(FolderLock):
    """The other one goes on just before this one asks for the lock."""

    def __enter__(self) -> Self:
        (self.folder / "engine.sqlite").write_bytes(b"of the other one")
        return super().__enter__()


@pytest.mark.parametrize("own", [True, False])
def test_a_project_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """Neither a folder nor a database that the next one would find in use."""
    videos = empty_videos(tmp_path / "videos", 1)
    url = None if own else sqlite_url(tmp_path / "other.sqlite").render_as_string()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sam2v.data_engine.project.write_text", full)
        with pytest.raises(OSError, match="No space left"):
            Project.create(tmp_path / "p", [videos], database=url)
    assert not (tmp_path / "p").exists()
    Project.create(tmp_path / "p", [videos], database=url).close()


def test_too_many_at_once_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(sqlite_url(tmp_path / "some.sqlite"), new=True)
    monkeypatch.setattr(database._engine.pool, "_timeout", 0.1)

    def nested(session: Session) -> None:
        database.read(nested)

    with pytest.raises(DatabaseAway, match="too many ask at once"):
        database.read(nested)


def test_a_server_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql://nobody:secret@127.0.0.1:9/none"
    with pytest.raises(DatabaseAway, match="does not answer") as caught:
        Project.create(tmp_path / "p", [empty_videos(tmp_path / "videos", 1)], database=url, patience=0.2)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "p").exists()


def test_ten_thousand_videos(tmp_path: Path) -> None:
    """Status, the next task and the plan of an export of made-up records."""
    with made_up(tmp_path, 10_000) as project:
        status = status_of(project)
        assert status.videos == {"new": 10_000} and status.to_annotate == 10_000
        queue, who = Queue(project), project.annotator("a")
        task = queue.take(who, "annotate")
        assert task is not None and task.video == "v00000"
        plan = plan_export(project, {"train": 0.8, "val": 0.1, "test": 0.1})
        assert sum(map(len, plan.videos.values())) == 0  # nothing to export yet
        assert project.database.read(lambda session: session.query(Video).count()) == 10_000


@given(st.integers(1, 400), st.sampled_from([None, 1.0, 6.0, 23.976, 24.0, 25.0, 30.0, 59.94]), st.floats(0.5, 12))
def test_annotated_frames(length: int, fps: float | None, rate: float) -> None:
    frames = frames_at(length, fps, rate)
    assert frames[0] == 0 and frames == sorted(set(frames)) and frames[-1] < length
    step = max(1.0, (fps or 24.0) / rate)
    assert all(abs(index - k * step) <= 0.5 for k, index in enumerate(frames)) and length - frames[-1] < step + 1


def test_frames_of_a_video_of_24_frames_a_second() -> None:
    assert frames_at(10, 24.0, 6.0) == [0, 4, 8]
    assert frames_at(3, 5.0, 6.0) == [0, 1, 2]


@given(st.text(max_size=300))
def test_names_are_safe(text: str) -> None:
    name = safe_name(text)
    assert is_safe_name(name) and is_safe_name(f"{name}-2")
    assert 0 < len(name) <= 80 and not name.startswith(".") and not set(name) & set('/\\:*?"<>|\0')


def test_files_of_masks(tmp_path: Path) -> None:
    masks = square()
    masks.save(tmp_path / "a.json")
    again = MaskletMasks.load(tmp_path / "a.json")
    assert again == masks and again.areas() == [16, 16, 16] and again.mask(4)[2:6, 1:5].all()
    for text in ("", "{}", '{"size": [4, 4], "about": {}, "frames": {"0": ["@", 1, 1, 1]}}'):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(ValueError, match="not a file of masks"):
            MaskletMasks.load(tmp_path / "b.json")
