"""A file of pictures as a video: a TIFF stack, an animation, or one picture as a video of one frame."""

from __future__ import annotations

import threading
from fractions import Fraction
from functools import partial

import numpy as np

from sam2v.video.base import EndOfVideo, FrameSource, check_size, normal_index
from sam2v.video.cache import CACHE_BYTES, FrameCache
from sam2v.video.media import FileLike, MediaFile
from sam2v.video.pictures import Pictures
from sam2v.video.process import PerProcess

#: Parts of a second that times are counted in: PNG has a sixtieth and the like, too.
_SECOND = 1_000_000


class PictureFile(FrameSource):
    """The pictures of a file, in order. They are counted at once and decoded one by one when they are asked for.

    Args:
        path: the file, or an image file that is open in binary mode.
        fps: frames per second where the file does not tell. An animation does: by how long its first picture is shown.
        cache_bytes: decoded frames that are kept.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image that can be read, or (when it is reached) a picture of another size than the first.
    """

    def __init__(self, path: FileLike | MediaFile, fps: float | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        media = MediaFile.of(path)
        self.path = media.path
        self._name = media.name
        self._reader = PerProcess(partial(_Reader, media, cache_bytes))
        self._closed = False
        reader = self._reader.get()
        first = reader.frame(0)
        self.size = (first.shape[0], first.shape[1])
        self._length = len(reader.pictures)
        duration = reader.pictures.duration
        self.fps = 1 / duration if duration and self._length > 1 else fps

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> np.ndarray:
        if self._closed:
            raise ValueError(f"{self._name}: this source is closed")
        index = normal_index(index, self)
        if index >= self._length:
            raise EndOfVideo(f"{self._name}: there is no frame {index}, the file has {self._length} pictures")
        with self._reader.used(unless=EndOfVideo) as reader:
            frame = reader.frame(index)
        check_size(self, index, (frame.shape[0], frame.shape[1]))
        return frame

    def shown(self, index: int) -> tuple[Fraction, Fraction]:
        index = normal_index(index, self)
        with self._reader.used(unless=EndOfVideo) as reader:
            for number in range(index + 1):  # an animation tells a picture's time when the picture is read
                if number not in reader.durations:
                    self[number]
            times = [reader.durations[number] for number in range(index + 1)]
        if not all(times):
            return super().shown(index)
        end = sum(times)
        return Fraction(end - times[-1], _SECOND), Fraction(end, _SECOND)

    def file_name(self, index: int) -> str:
        is_the_file = self.path is not None and self._length == 1
        return self.path.name if self.path is not None and is_the_file else super().file_name(index)

    def close(self) -> None:
        self._closed = True
        self._reader.close()


class _Reader:
    """Decodes pictures, for all threads of a process."""

    def __init__(self, media: MediaFile, cache_bytes: int) -> None:
        self.pictures = Pictures(media)
        self._cache = FrameCache(cache_bytes)
        self._lock = threading.Lock()
        self.durations: dict[int, int] = {}  # in parts of a second, of the pictures read so far
        self._next = 0  # the picture behind the one decoded last
        self._room = 1

    def frame(self, index: int) -> np.ndarray:
        frame = self._cache.get(index)
        if frame is None:
            with self._lock:
                frame = self._read(index)
        return frame

    def _read(self, index: int) -> np.ndarray:
        """Decode a picture. Where each builds on those before it, going back starts again, and keeps what is passed."""
        start = index
        if index < self._next and self.pictures.is_sequential:
            start = max(0, index + 1 - self._room)
        for page in range(start, index + 1):
            frame = self.pictures.read(page)
            self.durations[page] = round(_SECOND * self.pictures.duration)
            self._cache.put(page, frame)
        self._room = self._cache.room(frame)
        self._next = index + 1
        return frame

    def close(self) -> None:
        with self._lock:
            self.pictures.close()
            self._cache.close()
