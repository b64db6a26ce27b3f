"""A project: a folder with files of masks, and a database that says everything about them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from sam2v.closing import Closing
from sam2v.data.project_url import SQLITE, recorded_url, remember_url, sqlite_url, without_password
from sam2v.data_engine.database import Database
from sam2v.data_engine.schema import VERSION, Annotator, Base, Masklet, ProjectRow, Video
from sam2v.data_engine.videos import named
from sam2v.files import inside, read_json, user_path, write_text
from sam2v.options import Options
from sam2v.output.lock import FolderLock

RECORD = "project.json"
#: Rows that are written in one transaction.
_AT_ONCE = 2000


@dataclass(frozen=True)
class Settings(Options):
    """How a project is annotated.

    Attributes:
        phase: 1: the image model on every annotated frame; 2: masks are proposed across time from the mask of one
            frame; 3: the full model with clicks and memory.
        rate: annotated frames per second.
        objects: that are looked for in every video by annotators, beside those that were found automatically.
    """

    phase: int = 3
    rate: float = 6.0
    objects: int = 1

    def __post_init__(self) -> None:
        self.check_whole(("phase", "objects"))
        if self.phase not in (1, 2, 3):
            raise ValueError(f"phase must be 1, 2 or 3, got {self.phase}")
        if not 0 < self.rate <= 1000:
            raise ValueError(f"rate must be above 0 and at most 1000 frames per second, got {self.rate}")
        if not 0 <= self.objects <= 100:
            raise ValueError(f"objects must be from 0 to 100, got {self.objects}")


class Project(Closing):
    """An open project; use `create` or `open`.

    Attributes:
        folder: where files of masks are. database: everything else. settings: how it is annotated. token: its name.
    """

    def __init__(self, folder: Path, database: Database, settings: Settings, token: str) -> None:
        self.folder, self.database, self.settings, self.token = folder, database, settings, token

    @classmethod
    def create(
        cls,
        folder: str | Path,
        videos: Sequence[str | Path],
        settings: Settings | None = None,
        database: str | None = None,
        patience: float = 30.0,
    ) -> Project:
        """Make a project.

        Args:
            folder: a new folder, or one without a project.
            videos: files, folders of frames, and folders of either. None is opened yet.
            database: its address; None: a SQLite file in the folder.
            patience: seconds to wait for a database that is away.

        Raises:
            FileExistsError: the folder or the database has a project. FileNotFoundError, ValueError: no video, or an
                address that is none. OSError: the disk or the database refuses.
        """
        folder, settings = user_path(folder).absolute(), settings or Settings()
        found = named(map(user_path, videos))
        _check_free(folder)
        with ExitStack() as stack:
            url = sqlite_url(folder / SQLITE) if database is None else database
            opened = stack.enter_context(Database(url, patience, new=True))
            with FolderLock(folder):
                _check_free(folder)
                project = cls(folder, opened, settings, secrets.token_hex(16))
                try:
                    project._fill(found, None if database is None else without_password(opened.url))
                except BaseException:
                    project._clear(own_file=database is None)
                    raise
            stack.pop_all()
        remember_url(opened.url)
        return project

    def _fill(self, found: Sequence[tuple[str, Path]], where: str | None) -> None:
        """Make the tables, enter the videos, and write the record, which makes it a project."""
        self.database.write(lambda session: _begin(session, self.token, self.settings))
        self._insert(found)
        about = {"version": VERSION, "token": self.token, "database": where}
        write_text(self.folder / RECORD, json.dumps(about, indent=1) + "\n")

    def _clear(self, own_file: bool) -> None:
        """Take away what there is of a project that could not be made, and nothing of another one."""
        if own_file:
            self.database.close()
            for suffix in ("", "-journal"):
                (self.folder / (SQLITE + suffix)).unlink(missing_ok=True)
        else:
            self.database.patience = 0.0
            with contextlib.suppress(OSError, ValueError):  # it may be away, which is why
                self.database.write(lambda session: _end(session, self.token))

    @classmethod
    def open(cls, folder: str | Path, database: str | None = None, patience: float = 30.0) -> Project:
        """Open a project.

        Args:
            folder: the project's.
            database: its address where project.json does not say everything (a password), or is not to be trusted: a
                server is connected to without it only after it was named once.
            patience: seconds to wait for a database that is away.

        Raises:
            FileNotFoundError: no project. ValueError: it is of a newer version, or its database is another project's,
                somewhere else, or on a server that was not named before.
            DatabaseAway: the database does not answer.
        """
        folder = user_path(folder).absolute()
        about = _read_record(folder)
        url = recorded_url(folder, about["database"]) if database is None else database
        opened = Database(url, patience)
        try:
            row = opened.read(_row)
            if row is None or row.token != about["token"]:
                raise ValueError(f"{opened.name}: this database does not belong to the project in {folder}")
            _check_version(row.version, folder)
            remember_url(opened.url)
            return cls(folder, opened, Settings(**row.settings), row.token)
        except BaseException:
            opened.close()
            raise

    def close(self) -> None:
        self.database.close()

    # -- videos --------------------------------------------------------------------------------------------------------

    def add_videos(self, videos: Iterable[str | Path]) -> int:
        """Add videos; those that are known already stay as they are. Returns how many are new; raises as `create`."""
        return self._insert(named(map(user_path, videos)))

    def _insert(self, found: Sequence[tuple[str, Path]]) -> int:
        parts = [found[start : start + _AT_ONCE] for start in range(0, len(found), _AT_ONCE)]
        return sum(self.database.write(partial(self._insert_part, found=part)) for part in parts)

    def _insert_part(self, session: Session, *, found: Sequence[tuple[str, Path]]) -> int:
        names = set(session.scalars(select(Video.name)))
        paths = set(map(os.path.abspath, session.scalars(select(Video.path))))
        now, added, clashes = time.time(), [], Counter[str]()
        for name, path in found:
            if str(path) not in paths:
                name = _free(name, names, clashes)
                names.add(name)
                added.append(Video(name=name, path=str(path), added=now))
        session.add_all(added)
        session.flush()
        for video in added:
            for number in range(1, self.settings.objects + 1):
                priority = 2.0 - 0.01 * (number - 1)  # first one object of every video, then a second one
                about: Any = {"kind": "manual", "state": "proposed", "priority": priority, "created": now}
                session.add(Masklet(video_id=video.id, number=number, **about))
        return len(added)

    def video(self, name: str) -> Video:
        """A video by its name. KeyError: there is none."""
        found = self.database.read(lambda session: session.scalar(select(Video).where(Video.name == name)))
        if found is None:
            raise KeyError(f"{self.folder}: no video is called {name!r}")
        return found

    # -- people --------------------------------------------------------------------------------------------------------

    def annotator(self, name: str, kind: str = "simulated") -> int:
        """The id of somebody who works on the project, who is entered if need be.

        Raises:
            ValueError: no name, or a person's, who has to show a token.
        """
        if not name.strip() or len(name) > 100:
            raise ValueError(f"a name has 1 to 100 characters, got {name!r}")

        def find(session: Session) -> int:
            known = session.scalar(select(Annotator).where(Annotator.name == name))
            if known is not None and known.kind != kind:
                raise ValueError(f"{name} is a {known.kind} annotator already: take another name")
            if known is None:
                known = Annotator(name=name, kind=kind, created=time.time())
                session.add(known)
                session.flush()
            return known.id

        return self.database.write(find)

    def new_token(self, name: str) -> str:
        """Enter a person, or give them another token. The token is told this once; only its digest is kept."""
        token = secrets.token_urlsafe(18)
        found = self.annotator(name, "person")

        def keep(session: Session) -> None:
            person = session.get_one(Annotator, found)
            person.token = _digest(token)

        self.database.write(keep)
        return token

    def person(self, token: str) -> tuple[int, str] | None:
        """(id, name) of the person whose token it is, None if it is nobody's."""
        digest = _digest(token)
        found = self.database.read(lambda s: s.scalar(select(Annotator).where(Annotator.token == digest)))
        return None if found is None else (found.id, found.name)

    # -- files ---------------------------------------------------------------------------------------------------------

    def file(self, name: str) -> Path:
        """A file of the project by what the database calls it. ValueError: it leads out of the folder."""
        return inside(self.folder, name)


def _begin(session: Session, token: str, settings: Settings) -> None:
    """Make the tables and the project's row, unless a call whose answer got lost did."""
    connection = session.connection()
    if inspect(connection).has_table(ProjectRow.__tablename__):
        row = _row(session)
        if row is None or row.token != token:
            raise FileExistsError("the database holds another project: name an empty one")
        return
    Base.metadata.create_all(connection)
    session.add(ProjectRow(token=token, version=VERSION, created=time.time(), settings=asdict(settings)))


def _end(session: Session, token: str) -> None:
    """Drop the tables if they are those of the project of a token."""
    row = _row(session)
    if row is not None and row.token == token:
        Base.metadata.drop_all(session.connection())


def _row(session: Session) -> ProjectRow | None:
    if not inspect(session.connection()).has_table(ProjectRow.__tablename__):
        return None
    return session.scalar(select(ProjectRow))


def _check_free(folder: Path) -> None:
    if (folder / RECORD).exists():
        raise FileExistsError(f"{folder}: there is a project already; name another folder")
    if (folder / SQLITE).exists():
        raise FileExistsError(f"{folder / SQLITE}: a database without its {RECORD}; move it away")


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no project of the data engine; sam2v data-engine init makes one")
    try:
        about = read_json(path)
        version, token, database = about["version"], about["token"], about["database"]
        good = isinstance(version, int) and isinstance(token, str) and isinstance(database, str | None)
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise ValueError(f"{path}: not the record of a data engine's project")
    _check_version(version, folder)
    return cast(dict[str, Any], about)


def _check_version(version: int, folder: Path) -> None:
    if version != VERSION:
        newer = "a newer version of sam2v made it: upgrade" if version > VERSION else "it cannot be read any more"
        raise ValueError(f"{folder}: a project of version {version}, this sam2v knows version {VERSION}; {newer}")


def _free(name: str, taken: set[str], clashes: Counter[str]) -> str:
    """A name that is not taken: with a number behind it, if need be. `clashes` counts, so that none is tried twice."""
    found = name
    while found in taken:
        clashes[name] += 1
        found = f"{name}-{clashes[name] + 1}"
    return found


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
