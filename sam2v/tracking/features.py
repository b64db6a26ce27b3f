"""Encoding a session's frames: each once, the next ones while the network works, several together where they are
known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
            frames, session.features.ready = session.features.ready, {}
            if position not in frames:
                frames = {position: fit(session.frames[position], session.input_size)}
            images = on_device(np.stack(list(frames.values())), self.backend.device)
            encoded = self.backend.encode_image(images)
            known.update((frame, encoded.select(i)) for i, frame in enumerate(frames))
        known.move_to_end(position)
        if beside is not None and beside in known:
            known.move_to_end(beside)
        while len(known) > self.cached:
            known.popitem(last=False)
        return known[position]

    def check_readable(self, session: Session, position: int) -> None:
        """Make sure that a frame can be prompted: it is there, and not dropped by a stream.

        Raises:
            ValueError: it is not.
        """
        if position not in session.features.encoded:
            session.frames[position]

    def read_ahead(self, session: Session, positions: Iterable[int]) -> Iterator[int]:
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
