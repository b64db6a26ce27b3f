"""Frames that come once and stay for a while: pulled from an iterator, or pushed by whoever has them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from sam2v.arrays import is_torch_array
from sam2v.video.base import EndOfVideo, FrameDropped, FrameSource, check_size, normal_index
from sam2v.video.frames import FrameLike, as_frame

STREAM_WINDOW = 32
LIVE_WINDOW = 8


class WindowSource(FrameSource):
    """The newest frames of a stream, by the number at which they came.

    Attributes:
        window: how many frames stay readable.
        count: how many have come so far.
    """

    is_seekable = False

    def __init__(self, window: int) -> None:
        if isinstance(window, bool) or not isinstance(window, int | np.integer):
            raise TypeError(f"window must be an integer, got {window!r}")
        if window < 1:
            raise ValueError(f"window must be at least 1 frame, got {window}")
        self.window = int(window)
        self.count = 0
        self._recent: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def recent(self) -> dict[int, np.ndarray]:
        """The frames that can still be read, by their number."""
        with self._lock:
            return dict(self._recent)

    def oldest(self) -> int:
        """The number of the oldest frame that can still be read; of the next frame to come where there is none."""
        return min(self.recent(), default=self.count)

    def close(self) -> None:
        with self._lock:
            self._recent.clear()

    def _keep(self, frame: np.ndarray) -> int:
        """Take a frame into the window; its number."""
        with self._lock:
            self._recent[self.count] = frame
            while len(self._recent) > self.window:
                self._recent.popitem(last=False)
            self.count += 1
            return self.count - 1


class StreamSource(WindowSource):
    """Frames from an iterator (a camera, a socket, a generator): each is taken once, when it is needed.

    The newest `window` frames stay readable, also while another thread waits for the next one; asking for an older
    one raises `FrameDropped`. The length is unknown until the iterator ends. Errors of the iterator reach whoever asked
    for the frame. A copy is the same stream, and it cannot be pickled.

    Args:
        frames: what `as_frame` takes, all of one size.
        fps: frames per second, if known.
        window: how many of the newest frames are kept, at least 1.

    Raises:
        ValueError: no frames at all.
    """

    def __init__(self, frames: Iterable[FrameLike], fps: float | None = None, window: int = STREAM_WINDOW) -> None:
        super().__init__(window)
        self.fps = fps
        self._frames: Iterator[FrameLike] = iter(frames)
        self._pulling = threading.Lock()  # held while the iterator is asked, which may take for ever
        self._ended = False
        if not self._pull():
            raise ValueError("the video has no frames: the iterator gave none")

    def __len__(self) -> int:
        if not self._ended:
            raise TypeError("the length of a stream is unknown until it ends")
        return self.count

    def __getitem__(self, index: int) -> np.ndarray:
        index = normal_index(index, self)
        if index >= self.count:
            with self._pulling:
                while index >= self.count:
                    if not self._pull():
                        raise EndOfVideo(f"there is no frame {index}, the stream ended after {self.count}")
        recent = self.recent()
        if index not in recent:
            raise FrameDropped(
                f"frame {index} is no longer kept: this stream keeps its newest {self.window} "
                f"frames, now {self.oldest()} to {self.count - 1}"
            )
        return recent[index]

    def close(self) -> None:
        """Stop reading; a generator is closed, so that its own clean-up runs (after the frame it is at work on)."""
        self._ended = True
        if self._pulling.acquire(blocking=False):
            try:
                self._close_iterator()
            finally:
                self._pulling.release()

    def __copy__(self) -> StreamSource:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> StreamSource:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a stream of frames from an iterator cannot be pickled: only this process can go on reading it")

    def _close_iterator(self) -> None:
        stop: Callable[[], Any] | None = getattr(self._frames, "close", None)
        if stop is not None:
            stop()

    def _pull(self) -> bool:
        if self._ended:
            return False
        try:
            item = next(self._frames)
        except StopIteration:
            self._ended = True
            return False
        if self._ended:  # closed meanwhile
            self._close_iterator()
            return False
        frame = as_frame(item)
        size = (frame.shape[0], frame.shape[1])
        if self.count == 0:
            self.size = size
        check_size(self, self.count, size)
        if (isinstance(item, np.ndarray) or is_torch_array(item)) and np.may_share_memory(frame, np.asarray(item)):
            frame = frame.copy()  # cameras reuse their buffer
        self._keep(frame)
        return True


class LiveSource(WindowSource):
    """Frames that arrive one by one, when somebody appends them. A copy starts with the frames of the window.

    Args:
        window: how many of the newest frames stay readable, at least 1.
    """

    is_live = True

    def __init__(self, window: int = LIVE_WINDOW) -> None:
        if isinstance(window, int) and window < 1:
            raise ValueError(f"a live stream keeps at least 1 frame for prompts, got window={window}")
        super().__init__(window)
        self._size: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        """(height, width) of the stream.

        Raises:
            ValueError: no frame has arrived yet.
        """
        if self._size is None:
            raise ValueError("no frame has arrived yet: pass the first one to track() before prompting")
        return self._size

    @classmethod
    def restored(cls, window: int, count: int, recent: Mapping[int, np.ndarray]) -> LiveSource:
        """A stream that had `count` frames so far, of which `recent` can still be read."""
        source = cls(window)
        source._recent, source.count = OrderedDict(recent), count
        for frame in recent.values():
            source._size = (frame.shape[0], frame.shape[1])
        return source

    def append(self, frame: FrameLike) -> int:
        """Take the next frame, whatever `as_frame` takes, by copying it; its position.

        Raises:
            ValueError, TypeError: not a frame, or of another size than the earlier ones. Nothing has changed then.
        """
        pixels = as_frame(frame)
        size = (pixels.shape[0], pixels.shape[1])
        if self._size is not None and size != self._size:
            old, new = (f"{width} x {height}" for height, width in (self._size, size))
            raise ValueError(f"frame {self.count} of the stream is {new} pixels, the earlier ones are {old}")
        self._size = size
        return self._keep(pixels.copy())  # cameras reuse their buffer

    def __len__(self) -> int:
        raise TypeError("a live stream has no length: more frames may come")

    def __getitem__(self, index: int) -> np.ndarray:
        recent = self.recent()
        if index in recent:
            return recent[index]
        if index >= self.count:
            newest = f"the newest is {self.count - 1}" if self.count else "none has arrived yet"
            raise ValueError(f"frame {index} has not arrived yet; {newest}")
        raise FrameDropped(
            f"frame {index} has left the stream's window: frames {self.oldest()} to {self.count - 1} "
            "can be prompted (init_state(None, window=...) keeps more)"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> LiveSource:
        return self.restored(self.window, self.count, self.recent())

    def __reduce__(self) -> Any:
        return self.restored, (self.window, self.count, self.recent())
