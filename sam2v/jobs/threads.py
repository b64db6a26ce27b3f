"""A crew of threads in one process: their units use one tool at once, which may serve several better than one."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Any

from sam2v.jobs.units import Reply, Unit, UnitWork, do_unit


class ThreadCrew:
    """Threads of this process, which share its tool.

    Args:
        work: what they do; where it has a method `stop`, that is told the tool when the crew is closed before its time,
            and lets units that are under way fail soon.
        threads: how many units at once, at least 1.
    """

    def __init__(self, work: UnitWork, threads: int) -> None:
        self._work, self._tool, self._most = work, work.start(), threads
        self._busy: dict[int, tuple[Unit, threading.Thread]] = {}
        self._replies: queue.SimpleQueue[tuple[int, Reply]] = queue.SimpleQueue()

    def free(self) -> bool:
        return len(self._busy) < self._most

    def submit(self, unit: Unit) -> None:
        thread = threading.Thread(target=self._do, args=(unit,), name=f"sam2v-unit-{unit.name}", daemon=True)
        self._busy[id(unit)] = unit, thread
        thread.start()

    def wait(self) -> list[tuple[Unit, Reply]]:
        if not self._busy:
            return []
        replies = [self._replies.get()]
        with contextlib.suppress(queue.Empty):
            while True:
                replies.append(self._replies.get_nowait())
        return [(self._busy.pop(key)[0], reply) for key, reply in replies]

    def close(self) -> None:
        stop = getattr(self._work, "stop", None)
        if self._busy and stop is not None:
            stop(self._tool)
        for _, thread in self._busy.values():
            thread.join()
        self._busy.clear()
        self._tool = None

    def _do(self, unit: Unit) -> None:
        self._replies.put((id(unit), answer(self._work, self._tool, unit)))


def answer(work: UnitWork, tool: Any, unit: Unit) -> Reply:
    """As `do_unit`, in a thread of several: what would end a process is a failure, so that there always is a reply."""
    try:
        return do_unit(work, tool, unit)
    except BaseException as error:
        return Reply(None, f"{type(error).__name__}: {error}", retry=True)
