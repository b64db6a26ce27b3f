"""Encoding a session's frames: each once, the next ones while the network works, several together where they are
known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sam2v.arrays import HOST, on_device
from sam2v.backends.batched import BatchedCalls
from sam2v.model.values import ImageFeatures
from sam2v.tracking.ahead import FramesAhead
from sam2v.tracking.session import Session
from sam2v.video.fit import fit

#: Frames of a video that are encoded in one batch on CUDA.
TOGETHER_ON_CUDA = 4


class FrameEncoder:
    """Gives frames' features.

    Args:
        backend: the network's calls.
        cached_frames: how many frames' features a session keeps at least.
        frames_per_encoding: how many frames are encoded in one batch where it is known which come next; None: 4 of a
            video on CUDA, else 1.
    """

    def __init__(self, backend: BatchedCalls, cached_frames: int = 2, frames_per_encoding: int | None = None) -> None:
        self.backend, self._cached, self._chosen = backend, cached_frames, frames_per_encoding

    @property
    def is_asynchronous(self) -> bool:
        """Whether the device computes while the host goes on."""
        return getattr(self.backend.device, "type", HOST) == "cuda"

    @property
    def cached(self) -> int:
        """How many frames' features a session keeps."""
        if not self.is_asynchronous:
            return max(self._cached, self._chosen or 1)
        # beside frames that are encoded ahead those of the present one stay, and of another that is prompted
        return max(self._cached, (self._chosen or TOGETHER_ON_CUDA) + 2)

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

    def read_ahead(self, session: Session, positions: Iterable[int]) -> FramesAhead | Iterator[int]:
        """Go through frames while a thread decodes and resizes the next ones; ends with the video."""
        if session.frames.is_live:
            return iter(positions)
        size, together = session.input_size, self._together(session)
        return FramesAhead(session, positions, together, lambda f: fit(f, size), lambda p: self.features(session, p))

    def encode_next(self, ahead: FramesAhead | Iterator[int]) -> None:
        """Have a device that computes while the host goes on encode the next frames, as far as they were read.

        Elsewhere that would only delay the present ones.
        """
        if self.is_asynchronous and isinstance(ahead, FramesAhead):
            ahead.encode_next()

    def _together(self, session: Session) -> int:
        """How many frames are encoded in one batch.

        Unless somebody said so, none waits for others that a stream has yet to bring.
        """
        if self._chosen is not None:
            return self._chosen
        return TOGETHER_ON_CUDA if self.is_asynchronous and session.frames.is_seekable else 1
