"""Tiny clips made by rule: every frame carries its own number as eight bright or dark bars, which survive
compression.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

BITS = 8


def numbered_frame(number: int, height: int = 32, width: int = 64) -> np.ndarray:
    """H x W x 3 uint8: bar k is bright if bit k of the number is set."""
    bits = (number >> np.arange(BITS)) & 1
    row = np.where(bits[np.arange(width) * BITS // width], 230, 20).astype(np.uint8)
    return np.repeat(np.repeat(row[None, :, None], height, 0), 3, 2)


def number_of(frame: np.ndarray) -> int:
    """The number a frame carries."""
    centres = (np.arange(BITS) * 2 + 1) * frame.shape[1] // (2 * BITS)
    return int(sum(1 << k for k, x in enumerate(centres) if frame[frame.shape[0] // 2, x].mean() > 125))


def write_video(
    path: Path,
    count: int = 40,
    *,
    size: tuple[int, int] = (32, 64),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    rate: int = 25,
) -> Path:
    """Encode `count` numbered frames; `times` are in milliseconds and make the rate variable."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = size[0], size[1], pix_fmt
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, *size), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, rate) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """A file with sound only."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        for k in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, k * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
