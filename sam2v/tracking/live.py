"""Frames of a live stream: the newest few, by the index at which they arrived."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from sam2v.tracking.prompts import check_index


class LiveFrames:
    """A window of the newest frames of a stream.

    Args:
        window: how many frames stay available for prompts, at least 1.
    """

    def __init__(self, window: int = 8) -> None:
        if check_index(window, "window") < 1:
            raise ValueError(f"a live stream keeps at least 1 frame for prompts, got window={window}")
        self.window = window
        self.count = 0
        self._recent: OrderedDict[int, np.ndarray] = OrderedDict()
        self._size: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the stream.

        Raises:
            ValueError: no frame has arrived yet.
        """
        if self._size is None:
            raise ValueError("no frame has arrived yet: pass the first one to track() before prompting")
        return self._size

    def append(self, frame: np.ndarray) -> int:
        """Take a new H x W x 3 uint8 frame and return its index.

        Raises:
            ValueError: its size differs from the earlier frames'.
        """
        size = (frame.shape[0], frame.shape[1])
        if self._size is not None and size != self._size:
            old, new = (f"{s[1]} x {s[0]}" for s in (self._size, size))
            raise ValueError(f"frame {self.count} of the stream is {new} pixels, the earlier ones are {old}")
        self._size = size
        self._recent[self.count] = frame.copy()  # cameras reuse their buffer
        while len(self._recent) > self.window:
            self._recent.popitem(last=False)
        self.count += 1
        return self.count - 1

    def recent(self) -> dict[int, np.ndarray]:
        """The frames still available, by index."""
        return dict(self._recent)

    @classmethod
    def restored(cls, window: int, count: int, recent: dict[int, np.ndarray]) -> LiveFrames:
        """A stream that had ``count`` frames so far, of which ``recent`` are still available."""
        frames = cls(window)
        frames._recent, frames.count = OrderedDict(recent), count
        for frame in recent.values():
            frames._size = (frame.shape[0], frame.shape[1])
        return frames

    def oldest(self) -> int:
        """Index of the oldest frame still available."""
        return next(iter(self._recent), 0)

    def __getitem__(self, index: int) -> np.ndarray:
        if index in self._recent:
            return self._recent[index]
        if index >= self.count:
            newest = f"the newest is {self.count - 1}" if self.count else "none has arrived yet"
            raise ValueError(f"frame {index} has not arrived yet; {newest}")
        raise ValueError(
            f"frame {index} has left the stream's window: frames {self.oldest()} to {self.count - 1} can be prompted"
            f" (init_state(None, window=...) keeps more)"
        )
