"""A small cache of decoded frames."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

# room for the frames that are read ahead and the one being drawn, also in 4K
CACHE_BYTES = 192 * 2**20
CACHE_FRAMES = 64  # small frames fill the cache early in a video too, so that memory is flat from then on


class FrameCache:
    """The most recently used frames, bounded in bytes and in number; the newest frame always stays."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._frames: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, index: int) -> np.ndarray | None:
        with self._lock:
            frame = self._frames.get(index)
            if frame is not None:
                self._frames.move_to_end(index)
            return frame

    def put(self, index: int, frame: np.ndarray) -> None:
        with self._lock:
            old = self._frames.pop(index, None)
            self.bytes += frame.nbytes - (0 if old is None else old.nbytes)
            self._frames[index] = frame
            while len(self._frames) > 1 and (self.bytes > self.max_bytes or len(self._frames) > CACHE_FRAMES):
                _, dropped = self._frames.popitem(last=False)
                self.bytes -= dropped.nbytes

    def room(self, frame: np.ndarray) -> int:
        """How many frames as large as this one are kept."""
        return min(CACHE_FRAMES, max(1, self.max_bytes // frame.nbytes))

    def close(self) -> None:
        """Forget all frames."""
        with self._lock:
            self._frames.clear()
            self.bytes = 0
