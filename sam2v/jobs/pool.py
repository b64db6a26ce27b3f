"""Run jobs by workers and on the ranks of a torchrun job, with the results of a plain loop."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from sam2v.jobs.local import LocalCrew
from sam2v.jobs.ranks import default_workers, gather, rank_and_world, share
from sam2v.jobs.units import Crew, Hire, Outcome, Unit, UnitWork, run_units

Argument = TypeVar("Argument")
Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Job(Generic[Argument, Piece, Result]):
    """A unit of work that belongs together (a sequence), cut into chunks that any process may take.

    size: units of progress (frames). `work` must be a static method, so that a process can be handed it.
    """

    name: str
    size: int

    def chunks(self) -> list[tuple[Argument, int]]:
        """Arguments of `work`, each with its number of units."""
        raise NotImplementedError

    @staticmethod
    def work(argument: Any) -> Any:
        """Do one chunk, in any process."""
        raise NotImplementedError

    def load(self) -> Result | None:
        """The finished result of an earlier run, if there is one."""
        return None

    def finish(self, results: list[Piece]) -> Result:
        """Make the result from the chunks' results, in the order of `chunks()`; here it may be kept."""
        raise NotImplementedError


class Bar(Protocol):
    """What is used of a progress bar."""

    def update(self, n: int) -> object:
        """Add units."""


_ticking: list[Bar] = []  # the bar of this process, while it does the work itself
_ticked = 0


def advance(units: int = 1) -> None:
    """Called by long work: moves the bar before the chunk is done, where the work runs in the bar's process."""
    global _ticked
    for bar in _ticking:
        bar.update(units)
        _ticked += units


def run_jobs(
    jobs: Sequence[Job[Any, Any, Result]],
    *,
    workers: int | None = None,
    progress: bool = False,
    unit: str = "frame",
    distributed: bool = True,
    forks: bool = True,
    hire: Hire | None = None,
) -> list[Result]:
    """Results of all jobs in order, the same for every number of processes and ranks.

    `forks=False` starts fresh processes, for work that uses torch; `hire` makes other workers than processes of this
    machine, whose number it knows itself. A worker that dies is replaced, and its chunk is done again.
    The first error stops the run and is raised (on every rank); jobs finished by then have been kept by
    `finish`.
    """
    if workers is not None and workers < 0:
        raise ValueError(f"the number of workers must be 0 or more, got {workers}")
    rank, world = rank_and_world() if distributed else (0, 1)
    mine = share([job.size for job in jobs], rank, world)
    count = default_workers() if workers is None else workers
    found: dict[int, Result] = {}
    error: Exception | None = None
    try:
        crew = _Crew(count, forks, hire)
        found = _run_local(jobs, mine, crew, _Display(progress and rank == 0, unit))
    except Exception as failed:
        if world == 1:
            raise
        error = failed
    if world > 1:
        found = gather(found, error)
    return [found[index] for index in range(len(jobs))]


def _run_local(
    jobs: Sequence[Job[Any, Any, Result]], mine: list[int], crew: _Crew, display: _Display
) -> dict[int, Result]:
    found = {index: result for index in mine if (result := jobs[index].load()) is not None}
    tasks = [
        (index, chunk, argument, size)
        for index in mine
        if index not in found
        for chunk, (argument, size) in enumerate(jobs[index].chunks())
    ]
    waiting = {index: sum(task[0] == index for task in tasks) for index in {task[0] for task in tasks}}
    pieces: dict[int, dict[int, Any]] = {index: {} for index in waiting}
    total = sum(jobs[index].size for index in mine)
    with _results(jobs, tasks, crew) as results, _bar(total, display) as bar:
        bar.update(sum(jobs[index].size for index in found))
        for (index, chunk, _, size), piece in results:
            pieces[index][chunk] = piece
            if len(pieces[index]) == waiting[index]:
                found[index] = jobs[index].finish([pieces[index][i] for i in range(waiting[index])])
                del pieces[index]
            bar.update(size - _taken())
    return found


def _taken() -> int:
    """Units that `advance` has shown since the last chunk."""
    global _ticked
    ticked, _ticked = _ticked, 0
    return ticked


_Task = tuple[int, int, Any, int]


@contextmanager
def _results(
    jobs: Sequence[Job[Any, Any, Any]], tasks: list[_Task], crew: _Crew
) -> Iterator[Iterator[tuple[_Task, Any]]]:
    """(task, result) pairs as they are done: in this process, or by workers that are gone on leaving."""
    if crew.is_this_process(len(tasks)):
        yield ((task, jobs[task[0]].work(task[2])) for task in tasks)
        return
    units = [Unit(jobs[task[0]].name, (jobs[task[0]].work, task[2]), size=task[3]) for task in tasks]
    task_of = {id(unit): task for unit, task in zip(units, tasks, strict=True)}
    work = _ChunkWork(Path.cwd())
    # hired before the progress bar exists: it starts a thread, and forked processes must not have any
    workers = crew.hired(work, len(tasks))
    with closing(run_units(work, units, lambda _: workers)) as outcomes:
        yield ((task_of[id(outcome.unit)], _piece(outcome)) for outcome in outcomes)


@dataclass(frozen=True)
class _Crew:
    """Who does chunks: so many processes, which may be forked or not, or those that are hired."""

    workers: int
    forks: bool
    hire: Hire | None

    def is_this_process(self, chunks: int) -> bool:
        return not chunks or (self.hire is None and min(self.workers, chunks) <= 1)

    def hired(self, work: UnitWork, chunks: int) -> Crew:
        if self.hire is not None:
            return self.hire(work)
        return LocalCrew(work, min(self.workers, chunks), self.forks)


@dataclass(frozen=True)
class _ChunkWork:
    """What a worker does to a chunk: its argument is the function and what that is told.

    place: the folder that paths begin in.
    """

    place: Path

    def start(self) -> bool:
        os.chdir(self.place)
        return True

    def do(self, tool: bool, unit: Unit, folder: None) -> dict[str, Any]:
        work, argument = unit.argument
        try:
            return {"piece": work(argument)}
        except Exception as error:  # as it is: whoever began the run is to see the same as without workers
            return {"error": error, "where": traceback.format_exc()}


def _piece(outcome: Outcome) -> Any:
    """What a chunk gave; raises its error."""
    if outcome.facts is None:
        raise RuntimeError(f"{outcome.unit.name}: {outcome.error}, {outcome.attempts} times")
    if "error" in outcome.facts:
        raise outcome.facts["error"] from RuntimeError(f"in a worker:\n{outcome.facts['where']}")
    return outcome.facts["piece"]


@dataclass(frozen=True)
class _Display:
    """Whether to show a bar, and what it counts."""

    wanted: bool
    unit: str


@contextmanager
def _bar(total: int, display: _Display) -> Iterator[Bar]:
    if not display.wanted or not sys.stderr.isatty():
        yield _Silent()
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=display.unit) as bar:
        _ticking.append(bar)
        try:
            yield bar
        finally:
            _ticking.remove(bar)


class _Silent:
    def update(self, n: int) -> None:
        """Nothing to show."""
