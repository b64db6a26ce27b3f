"""A tracking session as a value: it can be closed, copied, pickled, and taken to bytes and back."""

from __future__ import annotations

import threading
from collections import OrderedDict
from copy import deepcopy
from typing import Any

from typing_extensions import Self

from sam2v.closing import Closing
from sam2v.tracking.session_file import session_from_bytes, session_to_bytes
from sam2v.tracking.state import Features, SessionState


class Session(SessionState, Closing):
    """The state of one video. Create it with `sam2v.VideoPredictor.init_state`; use it as a context manager, or close
    it, to give back its files and memory at once.

    Sessions share nothing but the pool that keeps their results, so two of them may be used at once; calls on one
    session are serialised by `lock`. A session can be copied (`copy.deepcopy`), to try something out, and pickled.
    """

    def close(self) -> None:
        """Give back the video's files and decoders, and what is kept of it. Closing twice is harmless."""
        with self.lock:
            if self._closed:
                return
            self._closed = True
            self.reset()
            self.features = Features()
            self._users[0] -= 1
            if self._users[0] == 0:
                self.frames.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A session of its own at the same point; the video, the pool and what is known so far are shared."""
        with self.lock:
            self.check_open()
            made = object.__new__(type(self))
            made.__dict__.update(self.__dict__)
            made.lock, made._closed = threading.RLock(), False
            made.features = Features(OrderedDict(self.features.encoded))
            made.tracks = {obj_id: track.copy() for obj_id, track in self.tracks.items()}
            made.numbering = self.numbering.copy()
            made.held = {f: {o: list(held) for o, held in prompts.items()} for f, prompts in self.held.items()}
            if self.frames.is_live:  # each goes on with frames of its own
                made.frames, made._users = deepcopy(self.frames), [1]
            else:
                self._users[0] += 1
            return made

    def to_bytes(self) -> bytes:
        """The session as bytes: objects, prompts, memories and results; of a live stream also the frames in its window.
        Of another video only where it is."""
        return session_to_bytes(self)

    @classmethod
    def from_bytes(cls, data: bytes, source: Any = None) -> Self:
        """Inverse of `to_bytes`.

        Args:
            data: what `to_bytes` gave.
            source: the video, as for `VideoPredictor.init_state`; None takes the file or folder it was opened from.

        Raises:
            FileNotFoundError, ValueError: not a session, or the video is missing or another one.
        """
        return session_from_bytes(cls, data, source)

    def __reduce__(self) -> Any:
        self.check_open()
        source = None if self.frames.is_live or self.frames.path is not None else self.frames
        return type(self).from_bytes, (self.to_bytes(), source)

    def __repr__(self) -> str:
        length = "live" if self.frames.is_live else "stream"
        length = length if self.num_frames is None else f"{self.num_frames} frames"
        waiting = self.frames.is_live and self.numbering.upcoming == 0
        size = "no frame yet" if waiting else f"{self.size[1]} x {self.size[0]}"
        return f"Session({length}, {size}, objects {self.obj_ids}, history={self.history!r})"
