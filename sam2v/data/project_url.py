"""Addresses of projects' databases: as people give them, and as a record holds them that may be a stranger's."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sam2v.files import read_text, user_path, write_text

if TYPE_CHECKING:
    from sqlalchemy import URL

#: The database's file in a project's folder.
SQLITE = "engine.sqlite"


def checked_url(url: Any) -> URL:
    """The address of a database.

    Raises:
        ValueError: none, or of another kind than SQLite or PostgreSQL. ImportError: the driver is not installed.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"{url}: not the address of a database; accepted: postgresql://USER@HOST/NAME") from None
    if found.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(f"{found.render_as_string()}: accepted are SQLite and PostgreSQL, not {found.drivername}")
    if found.get_backend_name() == "postgresql":
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise ImportError("PostgreSQL needs a package: pip install 'sam2v[engine]'") from None
        return found.set(drivername="postgresql+psycopg")
    return found


def recorded_url(folder: Path, recorded: Any) -> URL:
    """The address of a project's database by the record in the project's folder, which may be a stranger's.

    Args:
        recorded: an address, None for the SQLite file in the folder.

    Raises:
        FileNotFoundError: the file is gone. ImportError: a driver is not installed.
        ValueError: no address, a file that is not in the folder, or a server that was not named by `--database` before,
            and that would be told who the user is.
    """
    url = sqlite_url(folder / SQLITE) if recorded is None else checked_url(recorded)
    name = url.render_as_string()
    if url.get_backend_name() == "postgresql":
        name = without_password(url)
        if name not in _known():
            raise ValueError(
                f"{folder}: project.json names the database {name}; if you trust it, open the project once with"
                f" --database {name}, as in: sam2v data-engine status {folder} --database {name}"
            )
        return url
    place = Path(url.database or "")
    within = not url.query and place.is_absolute() and place.resolve().is_relative_to(folder.resolve())
    if recorded is not None and not within:
        raise ValueError(f"{folder}: project.json names the database {name}, elsewhere; name it with --database")
    if not place.is_file():
        raise FileNotFoundError(f"{place}: the project's database is gone")
    return url


def remember_url(url: URL) -> None:
    """Have a server that the user named be connected to when a project's record names it; see `recorded_url`."""
    address = without_password(url)
    if url.get_backend_name() != "postgresql" or address in (known := _known()):
        return
    with contextlib.suppress(OSError):  # no home to write to: it has to be named every time
        write_text(_known_file(), "".join(f"{one}\n" for one in [*known, address]))


def existing_only(url: URL) -> URL:
    """The same database for SQLAlchemy; SQLite, which makes a file where there is none, does not then."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
        return url
    return url.set(database=f"file:{quote(url.database)}", query={**url.query, "mode": "rw", "uri": "true"})


def without_password(url: URL) -> str:
    """An address as it may be written down."""
    from sqlalchemy import URL

    where = (url.host, url.port, url.database, url.query)
    return URL.create(url.drivername, url.username, None, *where).render_as_string(hide_password=False)


def sqlite_url(path: Path) -> URL:
    """The address of a SQLite file."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path))


def _known() -> list[str]:
    """Addresses that the user has named."""
    try:
        return read_text(_known_file()).splitlines()
    except (OSError, ValueError):
        return []


def _known_file() -> Path:
    return user_path(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "sam2v" / "databases.txt"
