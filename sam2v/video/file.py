"""Video files, decoded lazily, with every frame reachable by its number."""

import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sam2v.video.base import CACHE_BYTES, CACHE_FRAMES, EndOfVideo, FrameCache, FrameSource, normal_index
from sam2v.video.decoder import Decoder, orientation_of, to_rgb
from sam2v.video.packets import PacketIndex

# decoding this many frames onward costs less than a jump to a keyframe
SHORT_WAY = 8
# formats whose packets build on each other without marking where one can start
SEQUENTIAL_FORMATS = frozenset({"gif", "apng"})


class VideoFile(FrameSource):
    """A mp4, webm, mov, gif or any other file that FFmpeg reads (through PyAV).

    Frames are those that a player shows, in that order, whatever the frame rate does. Going forward decodes
    onward; going anywhere else jumps to the nearest keyframe and decodes from there, and keeps what it
    passes on the way back. Where packets carry no times, and in GIFs, frames are counted instead, and going
    back starts again from frame 0.

    A frame in the middle that is damaged is replaced by the next one that is not. If the file ends early,
    what is there can be read, a `UserWarning` says how much that is, and asking beyond raises `EndOfVideo`.

    Args:
        path: the file.
        cache_bytes: decoded frames that are kept.

    Raises:
        FileNotFoundError: no such file.
        ValueError: empty, not a video, no video stream, or not a single frame that can be decoded.
    """

    def __init__(self, path: str | Path, cache_bytes: int = CACHE_BYTES) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self._closed = False
        self._cache = FrameCache(cache_bytes)
        self._decoder = Decoder(self.path)
        first = self._decoder.advance()
        if first is None:
            self._decoder.close()
            raise ValueError(f"{self.path}: not a single frame can be decoded")
        self._index = PacketIndex(self.path)
        self._counts = self._decoder.format_name in SEQUENTIAL_FORMATS or self._index.time_of(0) is None
        self._announced: int | None = self._decoder.stream.frames or None
        self._length: int | None = None  # set when the end has been seen
        self._newest = 0  # frame served last: tells which way the reader goes
        self.fps = self._decoder.mean_rate()
        self._turn = orientation_of(first)
        pixels = to_rgb(first, self._turn)
        self.size = (pixels.shape[0], pixels.shape[1])
        if self._counts or first.pts == self._index.time_of(0):
            self._cache.put(0, pixels)

    def __len__(self) -> int:
        with self._lock:
            if self._length is not None:
                return self._length
            if self._announced is None:
                self._check_open()
                self._announced = self._index.count()
            return self._announced

    def __getitem__(self, index: int) -> np.ndarray:
        index = normal_index(index, self)
        with self._lock:
            self._check_open()
            if self._length is not None and index >= self._length:
                raise EndOfVideo(f"{self.path}: there is no frame {index}, the video has {self._length}")
            pixels = self._cache.get(index)
            if pixels is None:
                pixels = self._by_count(index) if self._counts else self._by_time(index)
                self._cache.put(index, pixels)
            self._newest = index
            return pixels

    def close(self) -> None:
        with self._lock:
            self._decoder.close()
            self._index.close()
            self._cache.clear()
            self._announced = self._announced or 0
            self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self.path}: this source is closed")

    def _by_time(self, index: int) -> np.ndarray:
        time = self._index.time_of(index)
        if time is None:
            raise self._end(len(self._index), index)
        for _ in self._starting_points(time, index):
            if self._run_to(time, index):
                return self._pixels()
            if self._decoder.time is not None:  # it decoded well up to the end: the frame is missing
                break
        last = self._decoder.time
        raise self._end(0 if last is None else self._index.index_of(last) + 1, index)

    def _starting_points(self, time: int, index: int) -> Iterator[None]:
        """Bring the decoder to places from which the frame can be reached, the cheapest first.

        A damaged or mislabelled keyframe sends us to the one before it, in the end to the start of the file.
        """
        decoder = self._decoder
        if self._is_ahead(time, index):
            yield
        for keyframe in self._index.keyframes_before(time)[:3]:
            decoder.jump(keyframe)
            if decoder.advance() is not None and decoder.time is not None and decoder.time <= time:
                yield
        decoder.restart()
        yield

    def _is_ahead(self, time: int, index: int) -> bool:
        """Whether decoding onward is the way to go: not back, and not past a keyframe far ahead."""
        decoder = self._decoder
        if decoder.time is None:
            return False
        if time <= decoder.time:
            before = decoder.previous_time
            return decoder.time == time or (before is not None and before < time)
        if index - self._index.index_of(decoder.time) <= SHORT_WAY:
            return True
        keyframes = self._index.keyframes_before(time)
        return not keyframes or keyframes[0] <= decoder.time

    def _run_to(self, time: int, index: int) -> bool:
        """Decode until the frame shown at `time`, or the next one, is current; False if the file ends
        before.
        """
        decoder = self._decoder
        going_back = index < self._newest
        room = min(CACHE_FRAMES, self._cache.max_bytes // (3 * self.size[0] * self.size[1])) - 1
        while decoder.time is None or decoder.time < time:
            if decoder.advance() is None:
                return False
            if going_back and decoder.time is not None and decoder.time < time:
                passed = self._index.index_of(decoder.time)
                if index - passed <= room:
                    self._cache.put(passed, self._pixels())
        return True

    def _by_count(self, index: int) -> np.ndarray:
        decoder = self._decoder
        if index < decoder.position:
            decoder.restart()
        going_back = index < self._newest
        while decoder.position < index:
            if decoder.advance() is None:
                raise self._end(decoder.position + 1, index)
            if going_back:
                self._cache.put(decoder.position, self._pixels())
        return self._pixels()

    def _pixels(self) -> np.ndarray:
        assert self._decoder.current is not None
        return to_rgb(self._decoder.current, self._turn, self.size)

    def _end(self, length: int, index: int) -> EndOfVideo:
        """The end has been seen: correct the length and say so if frames are missing."""
        announced, self._length = self._announced, length
        if announced is not None and length + self._index.discarded < announced:
            warnings.warn(
                f"{self.path}: the file announces {announced} frames, but only {length} can be decoded; "
                "it may be cut short",
                stacklevel=4,
            )
        return EndOfVideo(f"{self.path}: there is no frame {index}, the video has {length}")
