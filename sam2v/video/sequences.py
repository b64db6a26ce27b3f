"""Sources that are not video files: folders of images, arrays, lists, and streams that only come once."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sam2v.video.base import (
    CACHE_BYTES,
    EndOfVideo,
    FrameCache,
    FrameDropped,
    FrameSource,
    check_size,
    normal_index,
)
from sam2v.video.frames import FrameLike, as_frame, image_size, is_image_name, natural_key

STREAM_WINDOW = 32
SIZE_CHECKS = 1000


class SequenceSource(FrameSource):
    """Frames that can be fetched by number: a list of arrays, tensors, PIL images or paths, or any sequence
    of those.

    Raises:
        ValueError: no frames, or (when it is reached) a frame of another size than the first.
    """

    def __init__(self, items: Sequence[FrameLike], fps: float | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        if len(items) == 0:
            raise ValueError("the video has no frames: the sequence is empty")
        self._items: Sequence[FrameLike] | None = items
        self._length = len(items)
        self._lock = threading.Lock()
        self._cache = FrameCache(cache_bytes)
        self.fps = fps
        first = self._fetch(0)
        self.size = (first.shape[0], first.shape[1])

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> np.ndarray:
        index = normal_index(index, self)
        if index >= self._length:
            raise EndOfVideo(f"there is no frame {index}, the video has {self._length}")
        with self._lock:
            frame = self._cache.get(index)
        if frame is None:
            frame = self._fetch(index)
            check_size(self, index, (frame.shape[0], frame.shape[1]))
            with self._lock:
                self._cache.put(index, frame)
        return frame

    def close(self) -> None:
        self._items = None
        with self._lock:
            self._cache.clear()

    def _fetch(self, index: int) -> np.ndarray:
        items = self._items
        if items is None:
            raise ValueError("this source is closed")
        return as_frame(items[index])


class ImageFolder(SequenceSource):
    """The images of a folder in natural order (2 before 10), whatever they are called.

    Files with an image's ending are taken (jpg, png, webp, bmp, tiff, ...); if there are none, every file
    that Pillow recognises. Hidden files are left out.

    Raises:
        ValueError: no images, a file that is no image, or images of different sizes (up to 1000 are
            compared at once, the others when they are read).
    """

    def __init__(self, path: str | Path, fps: float | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        self.path = Path(path)
        files = _images_in(self.path)
        self._names = _names_of(files)
        super().__init__(files, fps, cache_bytes)
        for index in range(0, len(files), -(-len(files) // SIZE_CHECKS)):
            check_size(self, index, image_size(files[index]))
        check_size(self, len(files) - 1, image_size(files[-1]))

    def frame_name(self, index: int) -> str:
        return self._names[index]


class ImageFile(SequenceSource):
    """One image as a video of one frame."""

    def __init__(self, path: Path, fps: float | None = None) -> None:
        self.path = path
        super().__init__([path], fps)


class ArraySource(SequenceSource):
    """A numpy array or torch tensor: T x H x W x 3 (or T x H x W, T x H x W x 4, T x 3 x H x W).

    The array is not copied. Types are those of `as_frame`.
    """

    def __init__(self, array: np.ndarray | torch.Tensor, fps: float | None = None) -> None:
        shape = tuple(array.shape)
        if len(shape) == 3 and (shape[-1] in (3, 4) or shape[0] == 3):
            raise ValueError(f"a video must be T x H x W x 3, got one image, shape {shape}; add a dimension")
        if len(shape) not in (3, 4):
            raise ValueError(f"a video must be T x H x W x 3, got shape {shape}")
        super().__init__(array, fps, cache_bytes=0)  # type: ignore[arg-type]


class StreamSource(FrameSource):
    """Frames from an iterator (a camera, a socket, a generator): each is taken once, when it is needed.

    The newest `window` frames stay readable, also while another thread waits for the next one; asking for an older
    one raises `FrameDropped`. The length is unknown until the iterator ends. Errors of the iterator reach whoever asked
    for the frame.

    Args:
        frames: what `as_frame` takes, all of one size.
        window: how many of the newest frames are kept, at least 1.

    Raises:
        ValueError: no frames at all.
    """

    is_seekable = False

    def __init__(self, frames: Iterable[FrameLike], fps: float | None = None, window: int = STREAM_WINDOW) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1, got {window}")
        self.fps = fps
        self._frames: Iterator[FrameLike] = iter(frames)
        self._recent: deque[np.ndarray] = deque(maxlen=window)
        self._pulling = threading.Lock()  # held while the iterator is asked, which may take for ever
        self._lock = threading.Lock()  # of the window
        self._seen = 0
        self._ended = False
        if not self._pull():
            raise ValueError("the video has no frames: the iterator gave none")

    def __len__(self) -> int:
        if not self._ended:
            raise TypeError("the length of a stream is unknown until it ends")
        return self._seen

    def __getitem__(self, index: int) -> np.ndarray:
        index = normal_index(index, self)
        if index >= self._seen:
            with self._pulling:
                while index >= self._seen:
                    if not self._pull():
                        raise EndOfVideo(f"there is no frame {index}, the stream ended after {self._seen}")
        with self._lock:
            oldest = self._seen - len(self._recent)
            if index < oldest:
                raise FrameDropped(
                    f"frame {index} is no longer kept: this stream keeps its newest {self._recent.maxlen} "
                    f"frames, now {oldest} to {self._seen - 1}"
                )
            return self._recent[index - oldest]

    def close(self) -> None:
        """Stop reading; a generator is closed, so that its own clean-up runs (after the frame it is at work on)."""
        self._ended = True
        if self._pulling.acquire(blocking=False):
            try:
                self._close_iterator()
            finally:
                self._pulling.release()

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
        if self._seen == 0:
            self.size = size
        check_size(self, self._seen, size)
        if isinstance(item, np.ndarray | torch.Tensor) and np.may_share_memory(frame, np.asarray(item)):
            frame = frame.copy()  # cameras reuse their buffer
        with self._lock:
            self._recent.append(frame)
            self._seen += 1
        return True


def _images_in(folder: Path) -> list[Path]:
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    images = [file for file in files if is_image_name(file)]
    images = images or [file for file in files if _looks_like_image(file)]
    if not images:
        raise ValueError(f"{folder}: the folder holds no images (jpg, png, webp, bmp, tiff)")
    return sorted(images, key=lambda file: (natural_key(file.stem), file.name))


def _looks_like_image(file: Path) -> bool:
    try:
        image_size(file)
    except ValueError:
        return False
    return True


def _names_of(files: list[Path]) -> list[str]:
    """Stems, or whole names with the dot replaced where two files share a stem."""
    stems = [file.stem for file in files]
    return stems if len(set(stems)) == len(stems) else [file.name.replace(".", "_") for file in files]
