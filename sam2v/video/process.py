"""What belongs to one process: decoders and open files, which neither a copy nor a forked process can share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """Something with `close`."""

    def close(self) -> None:
        """Give back what it holds."""


T = TypeVar("T", bound=Closable)


class PerProcess(Generic[T]):
    """Makes something at its first use, in every process anew. Pickled and copied, it is not made yet.

    Args:
        make: makes it; to be pickled with the object.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._process = 0

    def get(self) -> T:
        """This process's own."""
        made = self.made()
        if made is None:
            made, self._process = self._make(), os.getpid()
            self._made = made
        return made

    def made(self) -> T | None:
        """This process's own, if it was made already."""
        return self._made if self._process == os.getpid() else None

    @contextmanager
    def used(self, unless: type[BaseException]) -> Iterator[T]:
        """This process's own. An error, `unless` it is harmless, ends its life: the next use makes another."""
        try:
            yield self.get()
        except unless:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close what this process made."""
        made = self.made()
        if made is not None:
            made.close()
            self._made = None

    def __reduce__(self) -> tuple[type[PerProcess[T]], tuple[Callable[[], T]]]:
        return type(self), (self._make,)
