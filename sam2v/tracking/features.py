"""Encoding a session's frames: each once, the next ones while the network works, several together where they are
known."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import chain

import numpy as np

from sam2v.arrays import HOST, namespace, on_device
from sam2v.backends.batched import BatchedCalls
from sam2v.model.values import ImageFeatures
from sam2v.tracking.ahead import FramesAhead
from sam2v.tracking.options import Resize
from sam2v.tracking.session import Session
from sam2v.video.fit import fit, fit_on_device

#: Frames of a video that are encoded in one batch on CUDA.
TOGETHER_ON_CUDA = 4
#: Threads that bring a video's frames to the network's size for CUDA, which is faster than one. Elsewhere the network
#: needs the cores.
FITTING_FOR_CUDA = 4

#: Positions of frames that are read ahead, or of a live stream's; to be closed.
Ahead = FramesAhead | Generator[int, None, None]


class FrameEncoder:
    """Gives frames' features.

    Args:
        backend: the network's calls.
        cached_frames: how many frames' features a session keeps at least.
        frames_per_encoding: how many frames are encoded in one batch where it is known which come next; None: 4 of a
            video on CUDA, else 1.
        resize: where frames are brought to the network's size, see `VideoOptions`.
    """

    def __init__(
        self,
        backend: BatchedCalls,
        cached_frames: int = 2,
        frames_per_encoding: int | None = None,
        resize: Resize = "host",
    ) -> None:
        self.backend, self._cached, self._chosen, self._resize = backend, cached_frames, frames_per_encoding, resize

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
        return frames if position in frames else {position: self._fitted(session.frames[position], session.input_size)}

    def _encode(self, batch: Sequence[tuple[Session, Mapping[int, np.ndarray]]]) -> None:
        """Encode frames of sessions together, and let each have its own."""
        size, start = batch[0][0].input_size, 0
        uploads = [list(frames.values()) for _, frames in batch]
        if self._resize == "host":  # all are of one size
            uploads = [list(chain(*uploads))]
        images = [fit_on_device(on_device(np.stack(frames), self.backend.device), size) for frames in uploads]
        encoded = self.backend.encode_image(images[0] if len(images) == 1 else namespace(*images).concat(images))
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

    def read_ahead(self, session: Session, positions: Iterable[int]) -> Ahead:
        """Go through frames while a thread decodes and resizes the next ones; ends with the video."""
        if session.frames.is_live:
            return (position for position in positions)
        size, together = session.input_size, self._together(session)
        threads = FITTING_FOR_CUDA if self.is_asynchronous and self._resize == "host" else 1
        return FramesAhead(
            session, positions, together, lambda f: self._fitted(f, size), lambda p: self.features(session, p), threads
        )

    def _fitted(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A frame at the network's size, or as it is where the device resizes it."""
        return frame if self._resize == "device" else fit(frame, size)

    def encode_next(self, ahead: Ahead) -> None:
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
