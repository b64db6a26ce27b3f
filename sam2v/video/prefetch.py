"""Reading ahead: the next frames are decoded and resized in threads of their own while the network works."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np

from sam2v.closing import Closing
from sam2v.video.base import EndOfVideo, FrameSource

T = TypeVar("T")
_PATIENCE = 2.0  # seconds


class Prefetcher(Closing, Generic[T]):
    """Iterates over (frame index, prepared frame), a few frames ahead of the consumer.

    It ends when the indices do, or at the end of the video. An error while reading is raised where the
    consumer asks for that frame, after all frames before it. Leaving a `with` block, `close()`, or dropping
    the object stops the thread.

    Args:
        source: where frames come from.
        indices: which frames, in the order they are wanted; may be endless.
        prepare: what to do with each frame in the thread, e.g. resizing; by default the frame itself. Leave torch out
            of it: operations in a second thread send the network's helper threads to sleep between its own (a seventh
            of the time of a frame on two cores).
        depth: how many frames may wait, at least 1, those that are being prepared included.
        threads: how many threads prepare frames. With one it is the thread that reads; with more they share the frames
            among them, so that a reader goes on to the next ones. Frames come in the order asked all the same.
    """

    def __init__(
        self,
        source: FrameSource,
        indices: Iterable[int],
        prepare: Callable[[np.ndarray], T] | None = None,
        depth: int = 3,
        threads: int = 1,
    ) -> None:
        for name, count in (("depth", depth), ("threads", threads)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        self._channel: _Channel[tuple[int, Future[T]]] = _Channel(depth)
        shared = threads > 1 and prepare is not None
        pool = ThreadPoolExecutor(threads, thread_name_prefix="sam2v-prepare") if shared else _AtOnce()
        # the thread knows the channel, not this object: an object that is dropped can so be collected and stop it
        arguments = (self._channel, source, iter(indices), prepare or _as_it_is, pool)
        self._thread = threading.Thread(target=_read, args=arguments, name="sam2v-prefetch", daemon=True)
        self._finalizer = weakref.finalize(self, _stop, self._channel, self._thread, pool)
        self._thread.start()

    def __iter__(self) -> Iterator[tuple[int, T]]:
        return self

    def __next__(self) -> tuple[int, T]:
        index, prepared = self._channel.get()
        try:
            return index, prepared.result()
        except BaseException:
            self.close()  # what comes behind a frame that cannot be prepared is not wanted
            raise

    def holds(self, count: int) -> bool:
        """Whether so many frames, or all that are left, can be taken without waiting; False where none is."""
        waiting = self._channel.waiting(count)
        return bool(waiting) and all(prepared.done() for _, prepared in waiting)

    def close(self) -> None:
        """Stop reading; frames that were waiting are dropped. Waits up to two seconds for the frame in work."""
        self._finalizer()


class _Channel(Generic[T]):
    """A bounded queue with an end, which may be an error, and which either side may close."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Wait for room; False if nobody wants more."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._depth or self._ended)
            if self._ended:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self) -> T:
        """Wait for an item. StopIteration at the end; an error is raised once."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._ended)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            error, self._error = self._error, None
        raise error or StopIteration

    def waiting(self, count: int) -> list[T]:
        """The next items if there are so many, or if they are all that are to come; else none."""
        with self._changed:
            return list(self._items)[:count] if self._ended or len(self._items) >= count else []

    def end(self, error: BaseException | None = None) -> None:
        """No more items; those waiting can still be taken."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._items.clear()
            self._ended = True
            self._changed.notify_all()


class _AtOnce(Executor):
    """Makes calls in the thread that asks for them; errors are raised there."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def _as_it_is(frame: np.ndarray) -> np.ndarray:
    return frame


def _stop(channel: _Channel[tuple[int, Future[T]]], thread: threading.Thread, pool: Executor) -> None:
    """Stop reading. The frame in work is waited for: a thread that is inside of torch when the interpreter ends aborts
    the process. Not for long, though: the source may be waiting for a frame that never comes."""
    channel.close()
    if threading.current_thread() is not thread:
        thread.join(_PATIENCE)
    pool.shutdown(wait=not thread.is_alive(), cancel_futures=True)


def _read(
    channel: _Channel[tuple[int, Future[T]]],
    source: FrameSource,
    indices: Iterator[int],
    prepare: Callable[[np.ndarray], T],
    pool: Executor,
) -> None:
    try:
        for index in indices:
            frame = source[index]
            if not channel.put((index, pool.submit(prepare, frame))):
                return
    except EndOfVideo:
        channel.end()
    except BaseException as error:
        channel.end(error)
    else:
        channel.end()
