"""Many independent units, each of which becomes one folder: resumed, retried, and run by whatever engine there is.

A unit is a pure function of its argument to a folder that appears whole, with `result.json` in it. What is there is
done: resuming needs no memory but the disk, and no engine. Results never pass through a queue, only what is known of
them. A unit of which that is all (the scores of a video) may do without a folder.
"""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sam2v.files import read_json, whole_folder, write_text

RESULT = "result.json"
#: How often a unit is tried before it has failed. What is wrong with its input is tried once.
ATTEMPTS = 3


@dataclass(frozen=True)
class Unit:
    """One piece of work.

    Attributes:
        name: of it, for people. argument: what `UnitWork.do` is told; must be picklable.
        out: the folder that it becomes; None: nothing is written, and what is known of it is the result.
        size: how much work it is, to begin with the largest.
    """

    name: str
    argument: Any
    out: Path | None = None
    size: float = 0.0

    @property
    def folder(self) -> Path:
        """`out` of a unit that becomes a folder."""
        assert self.out is not None
        return self.out


class UnitWork(Protocol):
    """What is done to every unit. The value itself goes to the workers, so it must be picklable."""

    def start(self) -> Any:
        """What a worker makes once, and keeps: a model."""

    def do(self, tool: Any, unit: Unit, folder: Any) -> dict[str, Any]:
        """Do a unit: write files to a folder (a path), and return what is known of them, as JSON holds it.

        Of a unit that becomes none the folder is None, and what is returned must be picklable.
        """


@dataclass(frozen=True)
class Reply:
    """What a worker says of a unit.

    Attributes:
        facts: what `do` returned; None if it failed. error: why. retry: whether trying again may help.
        full: whether the disk is full. seconds: that it took.
    """

    facts: dict[str, Any] | None = None
    error: str = ""
    retry: bool = False
    full: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a unit ended: `facts`, or None and the `error`, after so many attempts; `seconds` of the last one.

    Attributes:
        retry: whether the error was not one of the unit's input, and trying again some day may help.
    """

    unit: Unit
    facts: dict[str, Any] | None
    error: str
    attempts: int
    seconds: float
    retry: bool = False


class Crew(Protocol):
    """Workers of an engine. One unit at a time is on its way to each: work in flight is bounded."""

    def free(self) -> bool:
        """Whether a unit can be taken."""

    def submit(self, unit: Unit) -> None:
        """Give a unit to a worker that is free."""

    def wait(self) -> list[tuple[Unit, Reply]]:
        """Wait for the next replies; those of workers that died say so.

        There may be none if workers are free since, or if nothing is under way.
        """

    def close(self) -> None:
        """End the workers."""


Hire = Callable[[UnitWork], Crew]


def run_units(
    work: UnitWork, units: Sequence[Unit], hire: Hire, attempts: int = ATTEMPTS
) -> Generator[Outcome, None, None]:
    """Do units, the largest first, and yield how each ended, as they do.

    Args:
        work: what is done. units: with folders of their own. attempts: per unit at most.
        hire: makes the workers, if there is anything to do.

    Raises:
        ValueError: two units of one folder. OSError: the disk is full; what was done is there, and the rest can be
            done later. RuntimeError: the workers cannot begin.
    """
    folders = [unit.out for unit in units if unit.out is not None]
    if len(set(folders)) < len(folders):
        raise ValueError("every unit needs a folder of its own")
    if not units:
        return
    waiting, tried = deque(sorted(units, key=lambda unit: -unit.size)), Counter[int]()
    sweep(units)
    crew, under_way = hire(work), 0

    def submit() -> None:
        nonlocal under_way
        while waiting and crew.free():
            tried[id(waiting[0])] += 1
            under_way += 1
            crew.submit(waiting.popleft())

    try:
        submit()
        while under_way:
            replies, ended, full = crew.wait(), [], ""
            under_way -= len(replies)
            for unit, reply in replies:
                if reply.full:
                    full = reply.error
                elif reply.facts is None and reply.retry and tried[id(unit)] < attempts:
                    waiting.append(unit)
                else:
                    attempt = tried[id(unit)]
                    ended.append(Outcome(unit, reply.facts, reply.error, attempt, reply.seconds, reply.retry))
            if not full:
                submit()  # nobody waits for what is done with the outcomes
            yield from ended
            if full:
                raise OSError(errno.ENOSPC, full)
    finally:
        crew.close()
        sweep(units)


def do_unit(work: UnitWork, tool: Any, unit: Unit) -> Reply:
    """Do a unit, unless it is done; never raises but for what ends a process."""
    began = time.perf_counter()
    try:
        if unit.out is None:
            facts: dict[str, Any] | None = work.do(tool, unit, None)
        elif (facts := done_before(unit.out)) is None:
            with whole_folder(unit.out) as folder:
                facts = work.do(tool, unit, folder)
                write_text(folder / RESULT, json.dumps(facts, sort_keys=True) + "\n")
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        known = isinstance(error, (ValueError, TypeError, KeyError, OSError))
        text = " ".join(str(error).split()) or type(error).__name__
        named = text if known else f"{type(error).__name__}: {text}"
        return Reply(None, named, not known, full, time.perf_counter() - began)
    return Reply(facts, seconds=time.perf_counter() - began)


def done_before(folder: Path) -> dict[str, Any] | None:
    """What is known of a unit that was done, None if it was not."""
    try:
        facts = read_json(folder / RESULT)
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def sweep(units: Iterable[Unit]) -> None:
    """Remove what killed workers left half done of some units; nothing else beside their folders."""
    names: dict[Path, set[str]] = {}
    for out in filter(None, (unit.out for unit in units)):
        names.setdefault(out.parent, set()).add(out.name)
    for folder, known in names.items():
        for place in folder.glob(".*.tmp") if folder.is_dir() else ():
            if place.name[1:].rsplit(".", 2)[0] in known:
                shutil.rmtree(place, ignore_errors=True)


def size_of(path: Path) -> float:
    """How large a video is, roughly, in bytes; 0 where it is gone."""
    try:
        return float(path.stat().st_size if path.is_file() else sum(1 for _ in path.iterdir()) << 20)
    except OSError:
        return 0.0


class Alone:
    """A crew of one: this process."""

    def __init__(self, work: UnitWork) -> None:
        self._work, self._tool = work, work.start()
        self._unit: Unit | None = None

    def free(self) -> bool:
        return self._unit is None

    def submit(self, unit: Unit) -> None:
        self._unit = unit

    def wait(self) -> list[tuple[Unit, Reply]]:
        unit, self._unit = self._unit, None
        return [] if unit is None else [(unit, do_unit(self._work, self._tool, unit))]

    def close(self) -> None:
        self._tool = None
