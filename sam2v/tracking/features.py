"""Encoding a session's frames: each once, the next ones while the network works, several together where they are
known."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from sam2v.arrays import on_device
from sam2v.backends.batched import BatchedCalls
from sam2v.model.values import ImageFeatures
from sam2v.tracking.session import Session
from sam2v.video.fit import fit
from sam2v.video.prefetch import Prefetcher

_T = TypeVar("_T")


class FrameEncoder:
    """Gives frames' features.

    Args:
        backend: the network's calls.
        cached_frames: how many frames' features a session keeps.
        frames_per_encoding: how many frames are encoded in one batch where it is known which come next.
    """

    def __init__(self, backend: BatchedCalls, cached_frames: int = 2, frames_per_encoding: int = 1) -> None:
        self.backend, self.together = backend, frames_per_encoding
        self.cached = max(cached_frames, frames_per_encoding)

    def features(self, session: Session, position: int, beside: int | None = None) -> ImageFeatures:
        """A frame's features, encoded once and kept while it is among the newest used.

        Args:
            beside: a frame whose features, if they are there, count as used after these.
        """
        known = session.features.encoded
        if position not in known:
            self._encode([(session, self._taken(session, position))])
        known.move_to_end(position)
        if beside is not None and beside in known:
            known.move_to_end(beside)
        while len(known) > self.cached:
            known.popitem(last=False)
        return known[position]

    def encode(self, frames: Mapping[int, tuple[Session, int]]) -> dict[int, Exception]:
        """Encode frames of several sessions, those that are not known yet; inputs of one size are one batch.

        Args:
            frames: sessions and positions, by any number.

        Returns:
            The errors of frames that cannot be read, by their number.
        """
        batches: dict[tuple[int, int], list[tuple[Session, dict[int, np.ndarray]]]] = {}
        errors: dict[int, Exception] = {}
        for number, (session, position) in frames.items():
            if position not in session.features.encoded:
                try:
                    taken = self._taken(session, position)
                except Exception as error:
                    errors[number] = error
                else:
                    batches.setdefault(session.input_size, []).append((session, taken))
        for batch in batches.values():
            self._encode(batch)
        return errors

    def _taken(self, session: Session, position: int) -> dict[int, np.ndarray]:
        """The frames that are to be encoded with one of them, by position."""
        frames, session.features.ready = session.features.ready, {}
        return frames if position in frames else {position: fit(session.frames[position], session.input_size)}

    def _encode(self, batch: Sequence[tuple[Session, Mapping[int, np.ndarray]]]) -> None:
        """Encode frames of sessions together, and let each have its own."""
        images = np.stack([frame for _, frames in batch for frame in frames.values()])
        encoded, start = self.backend.encode_image(on_device(images, self.backend.device)), 0
        for session, frames in batch:
            session.features.encoded.update((frame, encoded.select(start + i)) for i, frame in enumerate(frames))
            start += len(frames)

    def check_readable(self, session: Session, position: int) -> None:
        """Make sure that a frame can be prompted: it is there, and not dropped by a stream.

        Raises:
            ValueError: it is not.
        """
        if position not in session.features.encoded:
            session.frames[position]

    def read_ahead(self, session: Session, positions: Iterable[int]) -> Generator[int, None, None]:
        """Go through frames while a thread decodes and resizes the next ones; ends with the video."""
        if session.frames.is_live:
            yield from positions
            return
        size = session.input_size
        with Prefetcher(session.frames, positions, lambda f: (f, fit(f, size)), depth=1 + self.together) as ahead:
            for group in _in_groups(ahead, self.together):
                session.features.ready = {position: fitted for position, (_, fitted) in group}
                for position, (frame, _) in group:
                    session.features.picture = position, frame
                    yield position


def _in_groups(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of `size` items; the last may be shorter. Before an error the items that precede it still come."""
    group: list[_T] = []
    try:
        for item in items:
            group.append(item)
            if len(group) == size:
                yield group
                group = []
    except Exception:
        if group:
            yield group
        raise
    if group:
        yield group
