"""Work that tests can follow, and that can be told to fail."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2v.jobs.units import Unit


@dataclass(frozen=True)
class Counting:
    """Squares numbers; every beginning of a unit leaves a line in a log.

    Attributes:
        log: a folder. trouble: what happens at the first attempt of the unit of the same name.
    """

    log: Path
    trouble: str = ""
    broken: bool = False

    def start(self) -> int:
        if self.broken:
            raise ValueError("no such model")
        return os.getpid()

    def do(self, tool: int, unit: Unit, folder: Path) -> dict[str, Any]:
        assert tool == os.getpid()
        path = self.log / unit.name
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{tool}\n")
        (folder / "square").write_text(str(unit.argument**2))
        first = path.read_text().count("\n") == 1
        if unit.name.startswith("bad"):
            raise ValueError(f"{unit.name} cannot be decoded")
        if unit.name.startswith("odd") and first:
            raise RuntimeError("a hiccup")
        if unit.name.startswith("killed") and first:
            os.kill(os.getpid(), signal.SIGKILL)
        if unit.name.startswith("full"):
            raise OSError(errno.ENOSPC, "No space left on device")
        if unit.name.startswith("slow"):
            time.sleep(0.2)
        if unit.name.startswith("together"):
            self._wait_for_another()
        return {"square": unit.argument**2}

    def _wait_for_another(self) -> None:
        """Until another worker has begun a unit, or a minute has gone."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if len({line for path in self.log.iterdir() for line in path.read_text().split()}) > 1:
                return
            time.sleep(0.1)


def units_in(folder: Path, *names: str) -> list[Unit]:
    """Units of some names; their arguments count from 0."""
    return [Unit(name, number, folder / "out" / name, number) for number, name in enumerate(names)]


def work_in(folder: Path, **about: Any) -> Counting:
    (folder / "log").mkdir(exist_ok=True)
    return Counting(folder / "log", **about)
