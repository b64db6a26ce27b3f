"""When each frame of a video file is shown, read from its packets without decoding.

Frame i is the i-th packet in order of presentation time. Packets are read only as far as frames have been
asked for, so a long file opens at once, and seeking is exact at constant and variable frame rate alike.
"""

import heapq
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sam2v.video.decoder import open_container

if TYPE_CHECKING:
    import av

# packets arrive in decoding order; codecs move a frame by 16 places at most, so after 64 the order is settled
REORDER = 64


class PacketIndex:
    """Presentation times of a file's frames, found as far as needed. Not locked: its owner locks."""

    def __init__(self, path: Path) -> None:
        self._container = open_container(path)
        stream = self._container.streams.video[0]
        self._codec = stream.codec_context.name
        self._packets: Iterator[av.Packet] = self._container.demux(stream)
        self._shown = array("q")  # presentation times, ascending
        self._keyframes = array("q")
        self._pending: list[int] = []
        self.is_complete = False
        self.discarded = 0  # packets that an edit list hides
        self.untimed = 0

    def __len__(self) -> int:
        """Frames found so far; all of them when `is_complete`."""
        return len(self._shown)

    def time_of(self, index: int) -> int | None:
        """When frame `index` is shown, in the stream's time base; None behind the last frame."""
        while len(self._shown) <= index and not self.is_complete:
            self._read_one()
        return self._shown[index] if index < len(self._shown) else None

    def index_of(self, time: int) -> int:
        """The first frame shown at or after `time`, among those found so far."""
        return bisect_left(self._shown, time)

    def keyframes_before(self, time: int) -> list[int]:
        """Times of the keyframes shown at or before `time`, nearest first."""
        return list(reversed(self._keyframes[: bisect_right(self._keyframes, time)]))

    def count(self) -> int:
        """Read to the end and count the frames, those without a time included."""
        while not self.is_complete:
            self._read_one()
        return len(self._shown) + self.untimed

    def close(self) -> None:
        self._container.close()
        self.is_complete = True

    def _read_one(self) -> None:
        import av

        try:
            packet = next(self._packets)
        except (StopIteration, EOFError, av.error.FFmpegError):  # a damaged tail ends the video
            self._finish()
            return
        if packet.size == 0 or self._is_hidden(packet):
            return
        if packet.is_discard:
            self.discarded += 1
        elif packet.pts is None:
            self.untimed += 1
        else:
            self._add(packet.pts, packet.is_keyframe)

    def _is_hidden(self, packet: "av.Packet") -> bool:
        """VP8 keeps reference frames that are never shown as packets of their own: a bit in the first byte
        tells.
        """
        return self._codec in ("vp8", "libvpx") and not bytes(packet)[0] & 0x10

    def _add(self, time: int, is_keyframe: bool) -> None:
        if is_keyframe and (not self._keyframes or time > self._keyframes[-1]):
            self._keyframes.append(time)
        heapq.heappush(self._pending, time)
        if len(self._pending) > REORDER:
            self._settle()

    def _settle(self) -> None:
        time = heapq.heappop(self._pending)
        if not self._shown or time > self._shown[-1]:  # a repeated time would be the same frame twice
            self._shown.append(time)

    def _finish(self) -> None:
        while self._pending:
            self._settle()
        self.is_complete = True
        self._packets = iter(())
