"""Writing in a thread of its own, while the next frames are tracked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from sam2v.arrays import is_on_host, is_torch_array
from sam2v.masks.result import MaskletFrame
from sam2v.output.base import Finishing, MaskWriter

#: Results that may wait to be written; whoever brings another one waits too, so that memory is bounded.
WAITING = 4


class BackgroundWriter(Finishing):
    """Hands every result to several writers, in the order they come, in one thread.

    A result is complete when it is handed over: it may be kept, but its masks and picture must not be changed. What is
    wrong with a result is said at once. An error while writing is raised by the next call; the results that came after
    it are written all the same, and `flush` goes on raising it until that frame has been written.

    Attributes:
        writers: what the results go to.
        draws: whether results must carry their picture.
    """

    def __init__(self, writers: Sequence[MaskWriter]) -> None:
        self.writers = list(writers)
        self.draws = any(writer.draws for writer in self.writers)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sam2v-writer")
        self._pending: deque[Future[None]] = deque()
        self._failed: dict[int, BaseException] = {}

    def write(self, result: MaskletFrame) -> None:
        """Hand over one frame; raises as `MaskWriter.write`, and what went wrong with an earlier one."""
        for writer in self.writers:
            writer.check(result)
        if is_torch_array(result.iou) and is_on_host(result.iou):
            result.crops  # noqa: B018 - torch's loops in a second thread would send the network's threads to sleep
        result.download()
        self._wait(WAITING - 1)
        self._pending.append(self._thread.submit(self._write, result))

    def done_frames(self) -> set[int]:
        """Frames that all writers have on disk for good."""
        self._wait(0)
        return set.intersection(*(writer.done_frames() for writer in self.writers)) if self.writers else set()

    def flush(self) -> None:
        """Put everything handed over on disk for good, so that a run may go on from here.

        Raises:
            OSError: it cannot be written, or an earlier frame could not.
        """
        self._wait(0)
        for error in self._failed.values():
            raise error
        _all([writer.flush for writer in self.writers])

    def close(self, finished: bool = True) -> None:
        """Write what waits and finish the output of every writer; see `MaskWriter.close`."""
        closing = [partial(writer.close, finished) for writer in self.writers]
        _all([partial(self._wait, 0), self._thread.shutdown, *closing])

    def _write(self, result: MaskletFrame) -> None:
        try:
            _all([partial(writer.write, result) for writer in self.writers])
        except BaseException as error:
            self._failed[result.frame_idx] = error
            raise
        self._failed.pop(result.frame_idx, None)

    def _wait(self, most: int) -> None:
        """Wait until at most so many results are not written yet."""
        done = []
        while self._pending and (len(self._pending) > most or self._pending[0].done()):
            done.append(self._pending.popleft().result)
        _all(done)


def _all(calls: Sequence[Callable[[], object]]) -> None:
    """Make every call, then raise the first error, if there was one."""
    first: BaseException | None = None
    for call in calls:
        try:
            call()
        except BaseException as error:
            first = first or error
    if first is not None:
        raise first
