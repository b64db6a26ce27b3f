"""Frames of a video file by their number: a decoder, and the index that tells it where to jump."""

from __future__ import annotations

import sys
import threading
import warnings
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from sam2v.video.base import EndOfVideo
from sam2v.video.cache import FrameCache
from sam2v.video.decoder import Decoder
from sam2v.video.media import MediaFile
from sam2v.video.orientation import orientation_of
from sam2v.video.packets import PacketIndex

if TYPE_CHECKING:
    import av

# decoding this many frames onward costs less than a jump to a keyframe
SHORT_WAY = 8
# so many frames are compared with their packets before anything relies on the packets
PROBE = 16
# formats whose packets build on each other without marking where one can start
SEQUENTIAL_FORMATS = frozenset({"gif", "apng"})
# formats that know when frames are decoded, but not when they are shown
_WITHOUT_TIMES = frozenset({"avi"})


class FrameReader:
    """Reads the frames of one video file, for all threads of a process.

    A frame's number is its place among the frames that decoding from the start gives. As long as times can be trusted,
    that is the place of its time among all packets', so that a jump to a keyframe finds it, and every frame that the
    decoder gives is compared with the time that is due. From where they differ on, frames are counted.

    After an error of the disk or an interruption it is to be closed: what it knows about its place may be wrong.

    Args:
        media: the file.
        stream: number of the stream in the file; None takes the best.
        cache_bytes: decoded frames that are kept.

    Attributes:
        size: (height, width) of the frames.
        fps: frames per second, None if the file does not tell.
        pixel_aspect: width of a pixel over its height, as it is shown.
        stream: number of the stream that is read.

    Raises:
        ValueError: not a video, no such stream, or not a single frame that can be decoded.
    """

    def __init__(self, media: MediaFile, stream: int | None, cache_bytes: int) -> None:
        self._name = media.name
        self._lock = threading.RLock()
        self._cache = FrameCache(cache_bytes)
        self._decoder = Decoder(media, stream)
        first = self._decoder.advance()
        if first is None:
            self._decoder.close()
            raise ValueError(f"{media.name}: not a single frame can be decoded")
        video = self._decoder.video
        self.fps, self._announced = video.mean_rate(), video.announced_frames()
        self.stream = video.stream.index
        self._turn = orientation_of(first)
        self.pixel_aspect = video.pixel_aspect(self._turn.swap)
        pixels = self._decoder.pixels(self._turn)
        self.size = (pixels.shape[0], pixels.shape[1])
        self._room = self._cache.room(pixels)
        self._cache.put(0, pixels)
        self._index = PacketIndex(media, self.stream)
        if first.pts is None or video.format_name in SEQUENTIAL_FORMATS:
            self._index.distrust()
        else:
            self._index.start_at(first.pts)
        self._times = {0: _time_of(first)}  # of frames that were counted: when each is shown, and how long
        self._position = 0  # number of the decoder's current frame
        self._before = -1  # of the frame before it; those in between are damaged, and it stands for them
        self._is_counted = True  # the decoder came from the start without a jump
        self._is_probed = False
        self._is_closed = False
        self._length: int | None = None  # set when the end has been seen
        self._newest = 0  # frame served last: tells which way the reader goes
        if self.known_length() is None and not self._index.is_trusted and not self._run(PROBE):
            self._length = self._position + 1  # a short video knows its length

    def frame(self, index: int) -> np.ndarray:
        """The frame, H x W x 3 uint8.

        Raises:
            EndOfVideo: behind the last frame.
        """
        pixels = self._cache.get(index)
        if pixels is None:
            with self._lock:
                self._check_open()
                self._go(index)
                pixels = self._pixels()
                self._cache.put(index, pixels)
        self._newest = index
        return pixels

    def shown(self, index: int) -> tuple[Fraction, Fraction] | None:
        """From when to when a frame is shown, in seconds; None where times cannot be trusted.

        Raises:
            EndOfVideo: behind the last frame.
        """
        with self._lock:
            self._check_open()
            start, end = self._index.time_of(index), self._index.time_of(index + 1)
            latest = self._index.end
            if not self._index.is_trusted:
                start, end, latest = self._decoded_times(index)
            elif start is None:
                raise self._past_the_end(index, len(self._index))
            tick = self._decoder.video.stream.time_base
            tells = self._index.is_trusted or self._decoder.video.format_name not in _WITHOUT_TIMES
            if start is None or not tick or not tells or (end is not None and end <= start):
                return None
            if end is None:  # of the last frame the packet tells; else it is shown as long as the one before it
                before = self._index.time_of(index - 1) if index else None
                before = self._times.get(index - 1, (before, 0))[0]
                end = latest if latest > start or before is None else 2 * start - before
            return start * tick, end * tick

    def _decoded_times(self, index: int) -> tuple[int | None, int | None, int]:
        """When a frame and the next one are shown, and until when it is by its own account, as the decoder tells."""
        if index not in self._times:
            self._go(index)
        with suppress(EndOfVideo):
            self._go(index + 1)
        start, length = self._times.get(index, (None, 0))
        return start, self._times.get(index + 1, (None, 0))[0], (start or 0) + length

    def known_length(self) -> int | None:
        """Number of frames, if it is known without reading on: announced, or the end has been seen."""
        if self._length is not None or self._announced is not None:
            return self._announced if self._length is None else self._length
        return len(self._index) if self._index.is_complete and self._index.is_trusted else None

    def length(self) -> int:
        """Number of frames. One that is not known is found by reading all packets, or, where their times cannot be
        trusted, by decoding all frames.
        """
        with self._lock:
            self._check_open()
            if self.known_length() is None:
                self._probe()
            if self.known_length() is None and self._index.count() is None:
                with suppress(EndOfVideo):
                    self._go(sys.maxsize)
            known = self.known_length()
            assert known is not None
            return known

    def close(self) -> None:
        """Close the file and forget its frames."""
        with self._lock:
            self._is_closed = True
            self._decoder.close()
            self._index.close()
            self._cache.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError(f"{self._name}: this source is closed")

    def _go(self, index: int) -> None:
        """Make the frame, or where it is damaged the next one, the decoder's current one."""
        if self._length is not None and index >= self._length:
            raise self._past_the_end(index, self._length)
        self._approach(index)
        if not self._run(index):
            raise self._see_the_end(index)

    def _approach(self, index: int) -> None:
        """Bring the decoder to a place from which the frame can be reached, the cheapest one.

        A damaged or mislabelled keyframe sends us to the one before it, in the end to the start of the file.
        """
        if self._is_ahead(index):
            return
        self._probe()
        for number, keyframe in islice(self._index.keyframes_before(index), 3):
            if self._decoder.jump(keyframe):
                self._position, self._before, self._is_counted = number, number - 1, False
                return
        self._restart()

    def _is_ahead(self, index: int) -> bool:
        """Whether decoding onward is the way to go: not back, and not past a keyframe far ahead."""
        if not self._before < index:
            return False
        if index - self._position <= SHORT_WAY:
            return True
        nearest = next(self._index.keyframes_before(index), None)
        return nearest is None or nearest[0] <= self._position

    def _probe(self) -> None:
        """Before the first jump, see whether the packets tell the truth about the first frames."""
        if not self._is_probed and not self._is_counted:
            self._restart()
        if not self._is_probed and self._position < PROBE:
            self._run(PROBE)
        self._is_probed = True

    def _restart(self) -> None:
        self._decoder.restart()
        self._position = self._before = -1
        self._is_counted = True

    def _run(self, index: int) -> bool:
        """Decode until the frame is current; False if the video ends before."""
        goes_back = index < self._newest
        while self._position < index:
            if not self._step():
                return False
            if goes_back and max(-1, index - self._room) < self._position < index:
                self._cache.put(self._position, self._pixels())
        return True

    def _step(self) -> bool:
        """Decode the next frame and number it; False at the end of what can be decoded."""
        frame = self._decoder.advance()
        if frame is None and (self._is_counted or self._index.is_trusted):
            return False
        if frame is None:  # some files that were put together end elsewhere after a jump
            self._count_from_the_start()
            return True
        self._before, self._position = self._position, self._position + 1
        due = self._index.time_of(self._position)
        if due is None:
            self._times[self._position] = _time_of(frame)
        if due is None or frame.pts == due:
            return True
        found = self._index.find(frame.pts) if self._decoder.has_failed and frame.pts is not None else None
        if found is not None and found > self._position:
            self._position = found  # those in between could not be decoded
        elif self._is_counted:
            self._index.distrust(self._position)
        else:
            self._count_from_the_start()
        return True

    def _count_from_the_start(self) -> None:
        """Trust no time any more: what was jumped to may have been another frame."""
        self._index.distrust()
        self._cache.close()
        self._restart()

    def _pixels(self) -> np.ndarray:
        return self._decoder.pixels(self._turn, self.size)

    def _see_the_end(self, index: int) -> EndOfVideo:
        """The end has been seen: correct the length and say so if frames are missing."""
        announced, self._length = self.known_length(), self._position + 1
        if announced is not None and self._length < announced:
            warnings.warn(
                f"{self._name}: the file announces {announced} frames, but only {self._length} can be decoded; "
                "it may be cut short",
                stacklevel=5,
            )
        return self._past_the_end(index, self._length)

    def _past_the_end(self, index: int, length: int) -> EndOfVideo:
        return EndOfVideo(f"{self._name}: there is no frame {index}, the video has {length}")


def _time_of(frame: av.VideoFrame) -> tuple[int | None, int]:
    """When a frame is shown and how long, in the stream's time base."""
    return frame.pts, frame.duration or 0
