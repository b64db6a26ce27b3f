"""A position in a video file that moves forward frame by frame, or jumps to a keyframe."""

from __future__ import annotations

import ctypes
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sam2v.video.media import MediaFile
from sam2v.video.orientation import Orientation, to_rgb
from sam2v.video.streams import OpenVideo

if TYPE_CHECKING:
    import av

EARLIER = 1.0  # seconds
THREADS = 4  # each keeps frames of its own: few are enough, and memory stays flat


class Keyframe(NamedTuple):
    """A keyframe's packet: when it is shown, when it is decoded, where it lies in the file, and its bytes.

    Together they tell it from every other packet, also where times start again or FFmpeg makes them up.
    """

    time: int
    decoded: int
    place: int
    size: int

    @classmethod
    def of(cls, packet: av.Packet) -> Keyframe | None:
        """What the packet is; None for a packet that is no keyframe, or whose place is not known."""
        if not packet.is_keyframe or packet.pts is None or packet.pos is None:
            return None
        return cls(packet.pts, packet.pts if packet.dts is None else packet.dts, packet.pos, packet.size)


class Decoder:
    """Decodes one stream of a file. Not locked: its owner locks.

    Attributes:
        video: the open file.
        current: the newest frame.
        has_failed: whether something on the way to it, since the start or a jump, could not be decoded.
    """

    current: av.VideoFrame | None
    has_failed: bool
    _has_ended: bool
    _ready: deque[av.VideoFrame]
    _packets: Iterator[av.Packet]
    _process: int | None = None

    def __init__(self, media: MediaFile, stream: int | None = None) -> None:
        from av.video.reformatter import VideoReformatter

        self._media, self._number = media, stream
        self._reformatter = VideoReformatter()
        self._tells_kinds: bool | None = None  # whether the codec says which frames need no others
        self.video = self._open()
        self._process = os.getpid()

    def restart(self) -> None:
        """Go back to the start by opening the file again, which works for every format."""
        self.video.close()
        self.video = self._open()

    def jump(self, keyframe: Keyframe) -> bool:
        """Make a keyframe the current frame; False if it cannot be reached or decoded by itself."""
        # where packets share a unit of the file, as in MPEG-PS, it is found whole only if reading begins before it
        if not self._seek(keyframe, 0) and not self._seek(keyframe, EARLIER):
            return False
        frame = self.advance()
        return frame is not None and frame.pts == keyframe.time and (_is_whole(frame) or not self._tells_kinds)

    def advance(self) -> av.VideoFrame | None:
        """Decode the next frame; None at the end of what can be decoded."""
        while not self._ready and not self._has_ended:
            packet = self._next_packet()
            if packet is None:
                self._has_ended = True
                self._take(lambda: self.video.stream.codec_context.decode(None))  # frames still inside the decoder
            elif packet.size:
                self._take(packet.decode)
        if not self._ready:
            return None
        self.current = self._ready.popleft()
        if self._tells_kinds is None:
            self._tells_kinds = _is_whole(self.current)
        return self.current

    def pixels(self, turn: Orientation, size: tuple[int, int] | None = None) -> np.ndarray:
        """The current frame, H x W x 3 uint8, upright; see `to_rgb`."""
        assert self.current is not None
        return to_rgb(self.current, self._reformatter, turn, size)

    def close(self) -> None:
        """Close the file and let go of all frames."""
        self.current = None
        self._ready.clear()
        self._packets = iter(())
        self.video.close()

    def __del__(self) -> None:
        if self._process == os.getpid():
            self.close()
        elif self._process is not None:
            # FFmpeg's threads did not come along into a forked process: to free this there would wait for them for ever
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

    def _open(self) -> OpenVideo:
        video = OpenVideo(self._media, self._number)
        video.stream.thread_type = "AUTO"
        video.stream.codec_context.thread_count = min(THREADS, os.cpu_count() or 1)
        self._begin(video)
        return video

    def _begin(self, video: OpenVideo) -> None:
        self.current = None
        self.has_failed = self._has_ended = False
        self._ready = deque()
        self._packets = video.container.demux(video.stream)

    def _next_packet(self) -> av.Packet | None:
        import av

        try:
            return next(self._packets)
        except (StopIteration, EOFError, av.error.FFmpegError):
            return None

    def _seek(self, keyframe: Keyframe, earlier: float) -> bool:
        """Go to some seconds before a keyframe and leave out packets until its own is next.

        False if there is none up to where it ought to be.
        """
        import av

        container, stream = self.video.container, self.video.stream
        try:
            container.seek(keyframe.decoded - round(earlier / (stream.time_base or 1)), stream=stream)
        except av.error.FFmpegError:
            return False
        self._begin(self.video)
        while True:
            packet = self._next_packet()
            if packet is None or (packet.dts is not None and packet.dts > keyframe.decoded):
                return False
            if Keyframe.of(packet) == keyframe:
                self._packets = itertools.chain([packet], self._packets)
                return True

    def _take(self, decode: Callable[[], list[av.VideoFrame]]) -> None:
        """Decode, where what cannot be decoded gives no frame: the next may be fine."""
        import av

        try:
            self._ready.extend(decode())
        except (EOFError, av.error.FFmpegError):
            self.has_failed = True


def _is_whole(frame: av.VideoFrame) -> bool:
    """Whether a frame builds on no other: some files call all their packets keyframes."""
    from av.video.frame import PictureType

    return bool(frame.key_frame) or frame.pict_type == PictureType.I
