"""A PostgreSQL server of the tests' own, run by somebody who is not root: SAM2V_REQUIRE_POSTGRES=1 makes its absence a
failure."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest


def programs() -> Path | None:
    """Where the server's programs are, the newest ones."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("initdb")
    return places[-1].parent if places else None if found is None else Path(found).parent


class Server:
    """A server on this machine; databases are made when they are asked for."""

    def __init__(self) -> None:
        found = programs()
        if found is None:
            text = "no PostgreSQL on this machine (Debian: apt-get install postgresql)"
            if os.environ.get("SAM2V_REQUIRE_POSTGRES") == "1":
                pytest.fail(text)
            pytest.skip(text)
        self._programs = found
        self._folder = Path(tempfile.mkdtemp(prefix="sam2v-postgres."))
        self._user = None if os.geteuid() else "nobody"
        if self._user:
            shutil.chown(self._folder, self._user)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._run("initdb", "-D", self._data, "-U", "sam2v", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        self._count = 0
        self.start()

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-D", self._data, "-w", "-l", f"{self._folder}/log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", self._data, "-w", "-m", mode, "stop")

    def database(self) -> str:
        """The address of a new database."""
        import psycopg

        self._count += 1
        address = f"postgresql://sam2v:secret@127.0.0.1:{self._port}"
        with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE d{self._count}")
        return f"{address}/d{self._count}"

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        with open(self._folder / "out", "ab") as out:
            subprocess.run(
                [str(self._programs / program), *arguments],
                check=True,
                user=self._user,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            )
