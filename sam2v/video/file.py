"""Video files, decoded lazily, with every frame reachable by its number."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Protocol

import numpy as np

from sam2v.video.base import EndOfVideo, FrameSource, normal_index
from sam2v.video.cache import CACHE_BYTES
from sam2v.video.media import FileLike, MediaFile
from sam2v.video.process import Closable, PerProcess
from sam2v.video.reader import FrameReader


class Reader(Closable, Protocol):
    """What reads the frames of an open file; see `FrameReader`."""

    size: tuple[int, int]
    fps: float | None
    stream: int
    pixel_aspect: Fraction

    def frame(self, index: int) -> np.ndarray: ...
    def shown(self, index: int) -> tuple[Fraction, Fraction] | None: ...
    def known_length(self) -> int | None: ...
    def length(self) -> int: ...


class VideoFile(FrameSource):
    """A mp4, webm, mov, avi, ts, gif or any other file that FFmpeg reads (through PyAV).

    Frames are those that decoding from the start gives and a player shows, in that order, whatever the frame rate does
    and whatever times the packets carry. Going forward decodes onward; going anywhere else jumps to the nearest
    keyframe and decodes from there, and keeps what it passes on the way back. Where times cannot be trusted (they are
    missing, repeated, start again, or tell the order of decoding only), and in GIFs, frames are counted instead, and
    going back starts again from the last place with a time, often frame 0.

    A frame in the middle that is damaged is replaced by the next one that is not. If the file ends early, what is
    there can be read, a `UserWarning` says how much that is, and asking beyond raises `EndOfVideo`.

    A copy, an unpickled source and a forked process open the file for themselves when they first read from it.

    Args:
        path: the file, or an open binary file that can seek, such as an upload. It is read from its start and has to
            stay open.
        cache_bytes: decoded frames that are kept.
        stream: number of the stream in the file, of several that are video. None takes the best: the default, of these
            the largest. Cover pictures are not video.

    Raises:
        FileNotFoundError: no such file.
        ValueError: empty, not a video, no video stream or not the one asked for, or not a single frame that can be
            decoded.
        TypeError: neither a path nor a binary file.
    """

    def __init__(self, path: FileLike | MediaFile, cache_bytes: int = CACHE_BYTES, stream: int | None = None) -> None:
        media = MediaFile.of(path)
        self._begin(media, partial(FrameReader, media, stream, cache_bytes))

    def _begin(self, media: MediaFile, make_reader: Callable[[], Reader]) -> None:
        """Open the file; `make_reader` is to be pickled with this."""
        self.path, self.media = media.path, media
        self._name = media.name
        self._reader = PerProcess(make_reader)
        self._closed = False
        reader = self._reader.get()
        self.size, self.fps, self.stream = reader.size, reader.fps, reader.stream
        self.pixel_aspect = reader.pixel_aspect
        self._length = reader.known_length()

    def __len__(self) -> int:
        if self.known_length() is None:
            self._check_open()
            with self._reader.used(unless=EndOfVideo) as reader:
                self._length = reader.length()
        assert self._length is not None
        return self._length

    def __getitem__(self, index: int) -> np.ndarray:
        index = normal_index(index, self)
        self._check_open()
        with self._reader.used(unless=EndOfVideo) as reader:
            return reader.frame(index)

    def shown(self, index: int) -> tuple[Fraction, Fraction]:
        index = normal_index(index, self)
        self._check_open()
        with self._reader.used(unless=EndOfVideo) as reader:
            return reader.shown(index) or super().shown(index)

    def known_length(self) -> int | None:
        """Number of frames without reading on: the file announces it, is short, or was read to its end.

        What an edit list hides does not count. A file that is cut short announces too many until its end is seen.
        """
        reader = self._reader.made()
        if reader is not None:
            self._length = reader.known_length()
        return self._length

    def close(self) -> None:
        self._closed = True
        self._reader.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self._name}: this source is closed")
