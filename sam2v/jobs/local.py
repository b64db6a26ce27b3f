"""A crew of processes on this machine. One that dies is replaced, and its unit is tried again."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from sam2v.jobs.units import Alone, Crew, Reply, Unit, UnitWork, do_unit

_LEAVE = 5.0


@dataclass
class _Worker:
    process: BaseProcess
    line: Connection
    unit: Unit | None = None
    began: bool = False  # whether it has its tool


class LocalCrew:
    """Processes, each with a tool of its own.

    Args:
        work: what they do. workers: how many, at least 1.

    Raises:
        RuntimeError: (by `wait`) a worker cannot begin.
    """

    def __init__(self, work: UnitWork, workers: int) -> None:
        self._work, self._context = work, multiprocessing.get_context("spawn")
        self._workers = [self._hired() for _ in range(workers)]

    def free(self) -> bool:
        return any(worker.unit is None for worker in self._workers)

    def submit(self, unit: Unit) -> None:
        worker = next(worker for worker in self._workers if worker.unit is None)
        worker.unit = unit
        with contextlib.suppress(OSError):  # it died: `wait` finds out
            worker.line.send(unit)

    def wait(self) -> list[tuple[Unit, Reply]]:
        busy = {worker.line: worker for worker in self._workers if worker.unit is not None}
        if not busy:
            return []
        replies = []
        for line in wait(list(busy)):
            worker = busy[line]  # type: ignore[index]
            unit = worker.unit
            assert unit is not None
            try:
                reply = worker.line.recv()
            except (EOFError, OSError):
                reply = self._replaced(worker)
            if isinstance(reply, Exception):
                raise RuntimeError(f"a worker cannot begin: {reply}") from reply
            if reply is None:  # it has begun
                worker.began = True
                continue
            worker.unit = None
            replies.append((unit, reply))
        return replies or self.wait()

    def close(self) -> None:
        for worker in self._workers:
            if worker.unit is not None:
                worker.process.terminate()
            worker.line.close()
        for worker in self._workers:
            worker.process.join(_LEAVE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _hired(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._work), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _replaced(self, worker: _Worker) -> Any:
        """Put a new process in the place of one that died; what to say about its unit."""
        worker.process.join()
        code = worker.process.exitcode
        worker.line.close()
        if not worker.began:
            return RuntimeError(f"it ended with code {code} before its first unit")
        fresh = self._hired()
        worker.process, worker.line, worker.began = fresh.process, fresh.line, False
        return Reply(None, f"the worker died (code {code})", retry=True)


def _serve(line: Connection, work: UnitWork) -> None:
    """What a worker does: answer every unit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run is interrupted by whoever began it
    with contextlib.suppress(EOFError, OSError):
        unit = line.recv()
        try:
            tool = work.start()
        except Exception as error:
            line.send(RuntimeError(f"{type(error).__name__}: {error}"))
            return
        line.send(None)
        while True:
            line.send(do_unit(work, tool, unit))
            unit = line.recv()


def local_crew(work: UnitWork, workers: int = 1) -> Crew:
    """Workers on this machine: this process itself for 0 or 1.

    Raises:
        ValueError: fewer than none.
    """
    if workers < 0:
        raise ValueError(f"the number of workers must be 0 or more, got {workers}")
    return Alone(work) if workers <= 1 else LocalCrew(work, workers)
