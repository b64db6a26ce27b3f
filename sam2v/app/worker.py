"""One thread per device takes jobs in turn: short ones first, long ones a step at a time."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

_T = TypeVar("_T")


class Worker:
    """Runs what needs the device in one thread.

    A short job (`submit`) runs as soon as the step that is under way ends. Long ones (`run`) are iterators: they go on
    by a step each in turn, so that two videos are tracked side by side and a click in between is answered at once.

    Load the model in it as well: once a second thread has computed on the CPU, OpenMP counts more threads than cores,
    and has them sleep and wake at every operation.
    """

    def __init__(self, name: str = "sam2v-worker") -> None:
        self._short: queue.SimpleQueue[tuple[Future, Callable[[], Any]] | None] = queue.SimpleQueue()
        self._long: deque[tuple[Future, Iterator[None]]] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], _T]) -> Future[_T]:
        """Run a short job; its result or its error is in the future: RuntimeError once this is closed."""
        future: Future[_T] = Future()
        with self._lock:
            if not self._closed:
                self._short.put((future, job))
                return future
        future.set_exception(RuntimeError("this is closed: nothing is done any more"))
        return future

    def run(self, steps: Iterator[None]) -> Future[None]:
        """Run a long job to its end, a step at a time. Cancelling the future stops it before its next step."""
        future: Future[None] = Future()

        def refused(done: Future[None]) -> None:
            error = done.exception()
            if error is not None:
                _close(steps)
                _answer(future, error)

        self.submit(lambda: self._long.append((future, steps))).add_done_callback(refused)
        return future

    def close(self) -> None:
        """End after what is under way; long jobs are closed where they are, and their futures cancelled."""
        with self._lock:
            self._closed = True
            self._short.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                item = self._short.get(block=not self._long)
            except queue.Empty:
                self._step()
                continue
            if item is None:
                break
            _settle(*item)
        for future, steps in self._long:
            _close(steps)
            future.cancel()

    def _step(self) -> None:
        future, steps = self._long.popleft()
        if future.cancelled():
            _close(steps)
            return
        try:
            next(steps)
        except StopIteration:
            _answer(future, None)
        except BaseException as error:
            _answer(future, error)
        else:
            self._long.append((future, steps))


def _settle(future: Future, job: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except BaseException as error:  # whoever waits for it is told
        future.set_exception(error)


def _answer(future: Future, error: BaseException | None) -> None:
    if future.set_running_or_notify_cancel():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def _close(steps: Iterator[None]) -> None:
    with contextlib.suppress(Exception):
        close = getattr(steps, "close", None)
        if close is not None:
            close()
