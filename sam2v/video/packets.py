"""When each frame of a video is shown, read from its packets without decoding.

Frame i is the i-th packet in order of presentation time, as long as the times can be trusted. Packets are read only as
far as frames have been asked for, so that a long file opens at once, and seeking is exact at any frame rate.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sam2v.video.decoder import Keyframe
from sam2v.video.media import MediaFile
from sam2v.video.streams import OpenVideo

if TYPE_CHECKING:
    import av

# packets arrive in decoding order; codecs move a frame by 16 places at most, so after 64 the order is settled
REORDER = 64


class PacketIndex:
    """Presentation times of a video's frames, found as far as needed. Not locked: its owner locks.

    Times end where they cannot be trusted: where one is missing, comes twice, or lies before what is settled; where
    both times go back, as in files that were put together; and from the start if frames are reordered by the codec
    while their times are not, which means that the file knows decoding times only, as AVI does.

    Args:
        media: the file.
        stream: number of the stream in the file.
        trusts_order: whether the last of these does not count: who asks looks for himself.

    Attributes:
        is_complete: whether all packets have been read.
        is_trusted: whether all times found so far could be trusted; otherwise none is added any more.
        end: until when the frames read so far are shown, as far as their packets tell.
    """

    def __init__(self, media: MediaFile, stream: int, trusts_order: bool = False) -> None:
        self._video = OpenVideo(media, stream)
        context = self._video.stream.codec_context
        self._codec = context.name
        self._may_reorder = context.has_b_frames and not trusts_order
        self._packets: Iterator[av.Packet] = self._video.container.demux(self._video.stream)
        self._shown = array("q")  # presentation times, ascending
        self._keyframes = [array("q") for _ in Keyframe._fields]  # by columns: a film may have nothing else
        self._pending: list[int] = []
        self._latest: int | None = None  # presentation time, of those read
        self._decoded: int | None = None  # decoding time of the last packet
        self._is_reordered = False
        self.end = 0
        self.is_complete = False
        self.is_trusted = True

    def __len__(self) -> int:
        """Frames whose times are known so far."""
        return len(self._shown)

    def time_of(self, index: int) -> int | None:
        """When frame `index` is shown, in the stream's time base; None behind the last frame with a trusted time."""
        while len(self._shown) <= index and not self.is_complete and self.is_trusted:
            self._read_one()
        return self._shown[index] if index < len(self._shown) else None

    def index_of(self, time: int) -> int:
        """The first frame shown at or after `time`, among those found so far."""
        return bisect_left(self._shown, time)

    def find(self, time: int) -> int | None:
        """The frame shown at `time`, None if there is none; reads on as far as needed."""
        while not self._shown or self._shown[-1] < time:
            if self.time_of(len(self._shown)) is None:
                return None
        index = self.index_of(time)
        return index if self._shown[index] == time else None

    def keyframes_before(self, index: int) -> Iterator[tuple[int, Keyframe]]:
        """The keyframes at or before a frame, with their numbers, nearest first, as far as times are trusted."""
        time = self.time_of(index)
        if time is None and self._shown:
            time = self._shown[-1]
        times = self._keyframes[0]
        first = bisect_left(times, self._shown[0]) if self._shown else 0
        for row in reversed(range(first, 0 if time is None else bisect_right(times, time))):
            yield self.index_of(times[row]), Keyframe(*(column[row] for column in self._keyframes))

    def count(self) -> int | None:
        """Read to the end and count the frames; None if their times cannot be trusted."""
        while not self.is_complete and self.is_trusted:
            self._read_one()
        return len(self._shown) if self.is_trusted else None

    def start_at(self, time: int) -> None:
        """Begin with the frame shown at `time`: what comes before it cannot be decoded."""
        first = self.find(time)
        if first is None:
            self.distrust()
        else:
            del self._shown[:first]

    def distrust(self, index: int = 0) -> None:
        """Trust no time from frame `index` on."""
        self.is_trusted = False
        del self._shown[index:]
        self._pending = []
        self.close()

    def close(self) -> None:
        self._packets = iter(())
        self._video.close()

    def _read_one(self) -> None:
        import av

        try:
            packet = next(self._packets)
        except (StopIteration, EOFError, av.error.FFmpegError):  # a damaged tail ends the video
            self._finish()
            return
        if packet.size and not packet.is_discard and not is_hidden(packet, self._codec):
            self._add(packet)

    def _add(self, packet: av.Packet) -> None:
        time, decoded = packet.pts, packet.dts
        is_earlier = time is not None and self._latest is not None and time < self._latest
        goes_back = decoded is not None and self._decoded is not None and decoded < self._decoded
        if time is None or (goes_back and is_earlier):
            self.distrust(len(self._shown))
            return
        self._is_reordered |= is_earlier
        self._latest = self._latest if is_earlier else time
        self.end = max(self.end, time + (packet.duration or 0))
        self._decoded = self._decoded if decoded is None else decoded
        keyframe = Keyframe.of(packet)
        if keyframe is not None and (not self._keyframes[0] or time > self._keyframes[0][-1]):
            for column, value in zip(self._keyframes, keyframe, strict=True):
                column.append(value)
        heapq.heappush(self._pending, time)
        if len(self._pending) > REORDER:
            self._settle(REORDER)

    def _settle(self, room: int) -> None:
        """Number the earliest of the frames that wait, until no more than `room` do."""
        if self._may_reorder and not self._is_reordered:
            self.distrust()
        while len(self._pending) > room:
            time = heapq.heappop(self._pending)
            if self._shown and time <= self._shown[-1]:
                self.distrust(len(self._shown))
            else:
                self._shown.append(time)

    def _finish(self) -> None:
        self._settle(0)
        self.is_complete = True
        self.close()


def is_hidden(packet: av.Packet, codec: str) -> bool:
    """Whether a packet holds nothing that is shown, only a reference for other frames. VP8 and VP9 tell in a bit."""
    if codec in ("vp8", "libvpx"):
        return not bytes(packet)[0] & 0x10
    if codec in ("vp9", "libvpx-vp9"):
        data = bytes(packet)
        shift = data[0] >> 4 & 3 == 3  # profile 3 has one bit more in front
        is_several = data[-1] & 0xE0 == 0xC0  # of which one is shown
        shows = (data[0] << shift) & 0x0A  # an earlier frame, or this one
        return not is_several and not shows
    return False
