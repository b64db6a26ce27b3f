"""From a decoded frame to upright RGB pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter


class Orientation(NamedTuple):
    """How stored pixels become the upright picture: swap the sides, then flip x, then flip y."""

    swap: bool = False
    flip_x: bool = False
    flip_y: bool = False


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Read the display matrix (x' = a x + c y, y' = b x + d y). It holds for the whole stream."""
    from av.sidedata.sidedata import Type
    from av.video.reformatter import VideoReformatter

    # PyAV ties a frame whose side data were read into a cycle: let that be a small copy, not a frame of the decoder
    small: Any = VideoReformatter().reformat(frame, width=16, height=16, format="rgb24")
    side = small.side_data.get(Type.DISPLAYMATRIX)
    if side is None:
        return Orientation()
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side), dtype=np.int32)[:5])
    if abs(b) > abs(a):
        return Orientation(True, c < 0, b < 0)
    return Orientation(False, a < 0, d < 0)


def to_rgb(
    frame: av.VideoFrame, reformatter: VideoReformatter, turn: Orientation, size: tuple[int, int] | None = None
) -> np.ndarray:
    """H x W x 3 uint8, upright; scaled to `size` = (height, width) where a stream changes its picture size."""
    height, width = (frame.height, frame.width) if size is None else size[::-1] if turn.swap else size
    # one thread: PyAV's default starts new ones, as many as there are cores, for every frame
    pixels = reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1).to_ndarray()
    pixels = pixels.transpose(1, 0, 2) if turn.swap else pixels
    pixels = pixels[:, ::-1] if turn.flip_x else pixels
    pixels = pixels[::-1] if turn.flip_y else pixels
    return np.ascontiguousarray(pixels)
