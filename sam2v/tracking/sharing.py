"""Steps of sessions that several threads track at once, made together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sam2v.tracking.rows import Step

#: Seconds that those who wait give a thread that does something else between its steps.
PATIENCE = 1.0


class StoppedError(RuntimeError):
    """Whoever began the tracking wants no more of it."""


@dataclass
class _Asked:
    """A step that a thread asks for; `error` is what reading its frames gave, `broke` what ended the whole batch."""

    step: Step
    taken: bool = False
    done: bool = False
    error: Exception | None = None
    broke: BaseException | None = None


class SharedSteps:
    """Makes steps: at once, or together with those of other threads that take part.

    A thread that takes part asks for one step at a time. When all of them have asked (or have been waited for long
    enough), the last one makes the steps of all in one batch.

    Args:
        make: makes steps of different sessions, and gives errors by their number.
    """

    def __init__(self, make: Callable[[Sequence[Step]], dict[int, Exception]]) -> None:
        self._make = make
        self._changed = threading.Condition()
        self._members: set[int] = set()
        self._waiting: list[_Asked] = []
        self._working, self._ended = 0, False

    @contextmanager
    def taking_part(self) -> Iterator[None]:
        """Let this thread's steps be made together with those of others; may be nested."""
        me = threading.get_ident()
        with self._changed:
            is_new = me not in self._members
            self._members.add(me)
        try:
            yield
        finally:
            if is_new:
                with self._changed:
                    self._members.discard(me)
                    self._changed.notify_all()

    def end(self) -> None:
        """Let every later step of those who take part raise StoppedError, also of those who wait."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def step(self, step: Step) -> None:
        """Make a step; raises what reading its frames raises.

        Raises:
            StoppedError: this thread takes part, and it was ended.
        """
        if threading.get_ident() not in self._members:
            for error in self._make([step]).values():
                raise error
            return
        asked = _Asked(step)
        batch = self._gathered(asked)
        if batch:
            self._make_all(batch)
        for raised in (asked.broke, asked.error):
            if raised is not None:
                raise raised

    def _gathered(self, asked: _Asked) -> list[_Asked]:
        """The steps that this thread is to make; none if another made its own."""
        with self._changed:
            self._waiting.append(asked)
            self._changed.notify_all()
            until = time.monotonic() + PATIENCE
            while not asked.taken:
                if self._ended:
                    self._waiting.remove(asked)
                    raise StoppedError("tracking was stopped")
                late = time.monotonic() >= until and not self._working
                if late or len(self._waiting) >= len(self._members):
                    batch, self._waiting = self._waiting, []
                    for one in batch:
                        one.taken = True
                    self._working += 1
                    return batch
                self._changed.wait(max(0.01, until - time.monotonic()))
            self._changed.wait_for(lambda: asked.done)
            return []

    def _make_all(self, batch: list[_Asked]) -> None:
        broke: BaseException | None = None
        errors: dict[int, Exception] = {}
        try:
            errors = self._make([asked.step for asked in batch])
        except BaseException as error:
            broke = error
        with self._changed:
            self._working -= 1
            for number, asked in enumerate(batch):
                asked.error, asked.broke, asked.done = errors.get(number), broke, True
            self._changed.notify_all()
