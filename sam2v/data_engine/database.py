"""Transactions that are made again while the database is away, and errors that say what to do."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from sam2v.closing import Closing
from sam2v.data.project_url import checked_url, existing_only

Result = TypeVar("Result")

#: What is said of an account, a database, a table or a file that there is not; waiting does not help.
_REFUSALS = (
    *("authentication failed", "no password supplied", "does not exist", "permission denied", "no pg_hba.conf"),
    *("no such table", "no such column", "has no column named", "readonly", "unable to open database file"),
)
_FULL = ("disk is full", "no space left", "could not extend file")
_WRITES = "sam2v_writes"
_COLLISIONS = 3


class DatabaseAway(ConnectionError):
    """The database did not answer for as long as was waited. Nothing of the transaction was kept."""


class Database(Closing):
    """A project's database.

    Args:
        url: "sqlite:////path" or "postgresql://user@host/name"; other kinds are refused.
        patience: seconds that a transaction is made again for while the database is away.
        new: whether a SQLite file is made where there is none; else that is refused by the first transaction.

    Raises:
        ValueError: an address that is none, or a patience. ImportError: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str | URL, patience: float = 30.0, new: bool = False) -> None:
        if not patience >= 0:
            raise ValueError(f"patience must be 0 seconds or more, got {patience}")
        self.url, self.patience = checked_url(url), patience
        if self.url.get_backend_name() == "sqlite" and self.url.database in (None, "", ":memory:"):
            raise ValueError(f"{self.name}: a database in memory is gone at the end; name a file: sqlite:////PATH")
        self._engine = _engine(self.url if new else existing_only(self.url))

    @property
    def name(self) -> str:
        """The address without a password."""
        return self.url.render_as_string(hide_password=True)

    def write(self, work: Callable[[Session], Result]) -> Result:
        """Do something in one transaction, which is there whole afterwards or not at all.

        `work` may be called several times. An answer that got lost may mean that the transaction was made: `work` has
        to see that by itself.

        Raises:
            DatabaseAway: no answer, `patience` long. OSError: the disk is full. ValueError: the database refuses.
        """
        return self._run(work, True)

    def read(self, work: Callable[[Session], Result]) -> Result:
        """Look at one moment of the database; raises as `write`."""
        return self._run(work, False)

    def close(self) -> None:
        self._engine.dispose()

    def _run(self, work: Callable[[Session], Result], writes: bool) -> Result:
        ends, pause, collisions = time.monotonic() + self.patience, 0.05, 0
        while True:
            try:
                with Session(self._engine, expire_on_commit=False) as session:
                    session.connection(execution_options=self._options(writes))
                    found = work(session)
                    session.commit()
                    return found
            except PoolTimeout as error:
                raise DatabaseAway(f"{self.name}: too many ask at once: {error}") from error
            except DBAPIError as error:
                # two that enter one name at once: the second finds it when it looks again
                collided = isinstance(error, IntegrityError) and collisions < _COLLISIONS
                collisions += collided
                self._refuse(error, collided)
                if time.monotonic() + pause > ends and not collided:
                    waited = f" (tried for {self.patience:.0f} s)" if self.patience else ""
                    raise DatabaseAway(f"{self.name}: the database does not answer{waited}: {_said(error)}") from error
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _options(self, writes: bool) -> dict[str, Any]:
        """How a transaction begins; PostgreSQL shows each statement of a transaction another moment, unless told."""
        if writes or self.url.get_backend_name() == "sqlite":
            return {_WRITES: writes}
        return {"isolation_level": "REPEATABLE READ"}

    def _refuse(self, error: DBAPIError, again: bool) -> None:
        """Raise what waiting does not help against, unless it is made again in any case."""
        text = str(error.orig).lower()
        if any(words in text for words in _FULL):
            raise OSError(errno.ENOSPC, f"cannot write {self.name}: {_said(error)}") from error
        # transactions that lost against another one are operational errors too
        passing = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated or again
        if any(words in text for words in _REFUSALS) or not passing:
            raise ValueError(f"{self.name}: the database refuses: {_said(error)}") from error


def pairs(session: Session, statement: Any) -> dict[Any, Any]:
    """What a statement finds, the second column by the first."""
    return {row[0]: row[1] for row in session.execute(statement)}


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True, pool_recycle=300, connect_args={"connect_timeout": 10})
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not where the driver guesses
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # a transaction that reads first and then writes would lose against another one that did the same
        writes = connection.get_execution_options().get(_WRITES, True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _said(error: SQLAlchemyError) -> str:
    """What the database said, on one line."""
    return " ".join(str(getattr(error, "orig", error)).split())
