"""A crew of processes on this machine. One that dies is replaced, and its unit is tried again."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from sam2v.jobs.threads import ThreadCrew, answer
from sam2v.jobs.units import Alone, Crew, Reply, Unit, UnitWork, do_unit

_LEAVE = 5.0


@dataclass
class _Worker:
    process: BaseProcess
    line: Connection
    units: dict[int, Unit] = field(default_factory=dict)  # under way, by their numbers
    began: bool = False  # whether it has its tool


class LocalCrew:
    """Processes, each with a tool of its own.

    Args:
        work: what they do. workers: how many, at least 1.
        forks: whether processes may be forked, which begin at once; never for work that uses torch.
        at_once: how many units each of them does at a time, in threads that share its tool.

    Raises:
        RuntimeError: (by `wait`) a worker cannot begin.
    """

    def __init__(self, work: UnitWork, workers: int, forks: bool = False, at_once: int = 1) -> None:
        self._work, self._forks, self._most, self._numbers = work, forks, at_once, count()
        self._workers: list[_Worker] = []
        for _ in range(workers):
            self._workers.append(self._hired())

    def free(self) -> bool:
        return any(len(worker.units) < self._most for worker in self._workers)

    def submit(self, unit: Unit) -> None:
        worker, number = min(self._workers, key=lambda worker: len(worker.units)), next(self._numbers)
        worker.units[number] = unit
        with contextlib.suppress(OSError):  # it died: `wait` finds out
            worker.line.send((number, unit))

    def wait(self) -> list[tuple[Unit, Reply]]:
        busy = {worker.line: worker for worker in self._workers if worker.units}
        if not busy:
            return []
        replies = []
        for line in wait(list(busy)):
            worker = busy[line]  # type: ignore[index]
            try:
                said = worker.line.recv()
            except (EOFError, OSError):
                said = self._replaced(worker)
            if isinstance(said, Exception):
                raise RuntimeError(f"a worker cannot begin: {said}") from said
            if said is None:  # it has begun
                worker.began = True
                continue
            for number, reply in said:
                replies.append((worker.units.pop(number), reply))
        return replies or self.wait()

    def close(self) -> None:
        for worker in self._workers:
            if worker.units:
                worker.process.terminate()
            worker.line.close()
        for worker in self._workers:
            worker.process.join(_LEAVE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _hired(self) -> _Worker:
        forks = self._forks and _can_fork()
        context: Any = multiprocessing.get_context("fork" if forks else "spawn")
        ours, theirs = context.Pipe()
        inherited = [ours, *(worker.line for worker in self._workers)] if forks else []
        process = context.Process(target=_serve, args=(theirs, self._work, inherited, self._most), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _replaced(self, worker: _Worker) -> Any:
        """Put a new process in the place of one that died; what to say about its units."""
        worker.process.join()
        code = worker.process.exitcode
        worker.line.close()
        if not worker.began:
            return RuntimeError(f"it ended with code {code} before its first unit")
        fresh = self._hired()
        worker.process, worker.line, worker.began = fresh.process, fresh.line, False
        died = Reply(None, f"the worker died (code {code})", retry=True)
        return [(number, died) for number in worker.units]


def _serve(line: Connection, work: UnitWork, inherited: list[Connection], at_once: int) -> None:
    """What a worker does: answer every unit, until nobody is there to send one."""
    for other in inherited:  # as long as these are open here, their workers do not notice
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run is interrupted by whoever began it
    speaking = threading.Lock()

    def reply(number: int, unit: Unit) -> None:
        done = do_unit(work, tool, unit) if at_once == 1 else answer(work, tool, unit)
        with speaking, contextlib.suppress(OSError):
            line.send([(number, done)])

    with contextlib.suppress(EOFError, OSError):
        asked = line.recv()
        try:
            tool = work.start()
        except Exception as error:
            line.send(RuntimeError(f"{type(error).__name__}: {error}"))
            return
        line.send(None)
        while True:
            if at_once == 1:
                reply(*asked)
            else:
                threading.Thread(target=reply, args=asked, daemon=True).start()
            asked = line.recv()


def _can_fork() -> bool:
    """Whether this process can be forked as it is: it has one thread, and nothing on a GPU."""
    torch = sys.modules.get("torch")
    gpu: Callable[[], bool] = torch.cuda.is_initialized if torch is not None else bool
    return sys.platform.startswith("linux") and threading.active_count() == 1 and not gpu()


def local_crew(work: UnitWork, workers: int = 1, at_once: int = 1) -> Crew:
    """Workers on this machine: this process itself for 0 or 1.

    Args:
        at_once: how many units each of them does at a time.

    Raises:
        ValueError: fewer than none.
    """
    if workers < 0:
        raise ValueError(f"the number of workers must be 0 or more, got {workers}")
    if workers > 1:
        return LocalCrew(work, workers, at_once=at_once)
    return Alone(work) if at_once == 1 else ThreadCrew(work, at_once)
