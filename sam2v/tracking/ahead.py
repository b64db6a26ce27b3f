"""Going through a video's frames while a thread reads the next ones, and a device encodes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from sam2v.closing import Closing
from sam2v.tracking.session import Session
from sam2v.video.base import FrameSource
from sam2v.video.prefetch import Prefetcher

#: A frame with its position: as it was read, and at the network's size.
_Read = tuple[int, tuple[np.ndarray, np.ndarray]]


class FramesAhead(Closing, Iterator[int]):
    """Iterates over positions, while a thread decodes and resizes the next frames. An error while reading is raised
    where its frame is asked for.

    Args:
        session: what is tracked. Its features get the frame that it is at, and those that are to be encoded together.
        positions: which frames.
        together: how many frames are encoded in one batch.
        prepare: brings a frame to the network's size.
        encode: encodes a frame of the session, and those that wait for it.
        threads: how many threads prepare frames.
    """

    def __init__(
        self,
        session: Session,
        positions: Iterable[int],
        together: int,
        prepare: Callable[[np.ndarray], np.ndarray],
        encode: Callable[[int], object],
        threads: int = 1,
    ) -> None:
        self._session, self._together, self._encode = session, together, encode
        source: FrameSource = session.frames
        self._reader = Prefetcher(source, positions, lambda frame: (frame, prepare(frame)), 1 + together, threads)
        self._group: list[_Read] = []  # frames that are still to come, all of which are to be encoded or are
        self._error: BaseException | None = None

    def __next__(self) -> int:
        try:
            if not self._group:
                self._take()
            position, (frame, _) = self._group.pop(0)
        except BaseException:
            self.close()
            raise
        self._session.features.picture = position, frame
        return position

    def encode_next(self) -> None:
        """Encode the next frames, where they were read already and the present ones are through.

        Their features do not depend on what is prompted meanwhile: a device that computes while the host goes on so has
        something to do while somebody looks at the present frame's masks.
        """
        if not self._group and self._reader.holds(self._together):
            self._take()
            self._encode(self._group[0][0])

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()

    def _take(self) -> None:
        """The next frames, as many as are encoded together; the last ones may be fewer. Before an error those that
        precede it still come."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        try:
            while len(self._group) < self._together:
                self._group.append(next(self._reader))
        except Exception as error:
            if not self._group:
                raise
            self._error = None if isinstance(error, StopIteration) else error
        self._session.features.ready = {position: fitted for position, (_, fitted) in self._group}
