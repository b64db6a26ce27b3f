"""Tiny clips made by rule: every frame carries its own number as eight bright or dark bars, which survive
compression.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

BITS = 8
# frames are shown in another order than they are coded, and every tenth starts anew
BFRAMES = {"x264-params": "b-adapt=0:bframes=3:b-pyramid=2:keyint=10"}


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
    first: int = 0,
    reorder_from: int = 0,
    sound: bool = False,
    size: tuple[int, int] = (32, 64),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    unit: Fraction = Fraction(1, 1000),
    rate: int = 25,
) -> Path:
    """Encode `count` frames numbered from `first`; `times`, multiples of `unit` seconds, make the rate variable.

    Frames are shown in another order than they are coded from frame `reorder_from` on, if the codec does that.
    """
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = size[0], size[1], pix_fmt
        voice = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        if times is not None:
            stream.codec_context.time_base = unit
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered_frame(first + number, *size), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, rate) if times is None else unit
            if 0 < number < reorder_from:
                frame.pict_type = av.video.frame.PictureType.P
            container.mux(stream.encode(frame))
            if voice is not None:
                container.mux(voice.encode(_silence(number, 16000 // rate)))
        container.mux(stream.encode())
        if voice is not None:
            container.mux(voice.encode())
    return path


def write_sound(path: Path) -> Path:
    """A file with sound only."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(8):
            container.mux(stream.encode(_silence(number, 1024)))
        container.mux(stream.encode())
    return path


def decoded(path: Path) -> list[np.ndarray]:
    """The frames that decoding from the start gives."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams.best("video"))]


def replace_box(data: bytes, kind: bytes, body: bytes | None) -> bytes:
    """An mp4 in which a box of the first track is another one, or is added to `trak`, or is left out (None).

    The sample tables count from the start of the file, so `moov` has to be the last box.
    """
    return b"".join(
        data[at : at + size] if name != b"moov" else _rebuilt(data, at, size, name, kind, body)
        for at, size, name in _boxes(data, 0, len(data))
    )


def edit_list(edits: Sequence[tuple[int, int]]) -> bytes:
    """The body of an `edts` box: (duration in ms, start in the media's own unit, -1 for nothing shown)."""
    entries = b"".join(struct.pack(">IiI", *edit, 1 << 16) for edit in edits)
    return _box(b"elst", struct.pack(">II", 0, len(edits)) + entries)


def _silence(number: int, samples: int) -> object:
    av = pytest.importorskip("av")
    frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 16000, number * samples
    return frame


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    while at < end:
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        yield at, size, kind
        at += size


def _rebuilt(data: bytes, at: int, size: int, name: bytes, kind: bytes, body: bytes | None) -> bytes:
    """A box of boxes with the one of a kind replaced, in the first track."""
    parts, found, tracks = [], False, 0
    for start, length, inner in _boxes(data, at + 8, at + size):
        whole = data[start : start + length]
        tracks += inner == b"trak"
        if inner == kind:
            found = True
            whole = b"" if body is None else _box(kind, body)
        elif inner in (b"mdia", b"minf", b"stbl") or (inner == b"trak" and tracks == 1):
            whole = _rebuilt(data, start, length, inner, kind, body)
        parts.append(whole)
    if name == b"trak" and kind == b"edts" and not found and body is not None:
        parts.insert(1, _box(kind, body))
    return _box(name, b"".join(parts))
