"""When frames are shown, whatever the file knows of it."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video.clips import BFRAMES, numbered_frame, write_video

from sam2v.video.sources import EndOfVideo, open_source

TIMES = [0, 40, 45, 160, 161, 300, 1000]


@pytest.mark.parametrize("options", [{"bf": "0"}, {}, BFRAMES])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_variable_frame_rates(suffix: str, options: dict[str, str], tmp_path: Path) -> None:
    path = write_video(tmp_path / f"clip.{suffix}", 7, times=TIMES, options=options)
    for order in (range(7), reversed(range(7)), (6, 0, 3)):
        with open_source(path) as source:
            for index in order:
                start, end = source.shown(index)
                assert start == Fraction(TIMES[index], 1000) and end > start
                assert index == 6 or end == Fraction(TIMES[index + 1], 1000)
    with open_source(path) as source, pytest.raises(EndOfVideo, match="there is no frame 9"):
        source.shown(9)


def test_every_frame_of_a_long_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 90, options=BFRAMES, rate=30)
    with open_source(path) as source:
        assert [source.shown(index) for index in range(90)] == [
            (Fraction(index, 30), Fraction(index + 1, 30)) for index in range(90)
        ]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animations(suffix: str, tmp_path: Path) -> None:
    pictures = [Image.fromarray(numbered_frame(index)) for index in range(4)]
    times = [40, 100, 50, 200]
    pictures[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pictures[1:], duration=times)
    with open_source(tmp_path / f"a.{suffix}") as source:
        ends = np.cumsum(times)
        for index in (3, 0, 1, 2):
            assert source.shown(index) == (
                Fraction(int(ends[index]) - times[index], 1000),
                Fraction(int(ends[index]), 1000),
            )


def test_what_has_no_times_goes_by_its_rate(tmp_path: Path) -> None:
    frames = np.stack([numbered_frame(index) for index in range(3)])
    assert open_source(frames).shown(2) == (Fraction(2, 25), Fraction(3, 25))
    assert open_source(frames, fps=29.97).shown(1)[0] == Fraction(100, 2997)
    avi = write_video(tmp_path / "clip.avi", 10, options=BFRAMES)
    with open_source(avi) as source:
        assert [source.shown(index)[0] for index in range(10)] == [Fraction(index, 25) for index in range(10)]


def test_parts_of_milliseconds_do_not_add_up(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), number) for number in range(120)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=1000 / 60)
    data = bytearray((tmp_path / "a.png").read_bytes())
    at = -1
    while (at := data.find(b"fcTL", at + 1)) >= 0:  # Pillow writes whole milliseconds
        data[at + 24 : at + 28] = struct.pack(">HH", 1, 60)
        length = 26
        data[at + 4 + length : at + 8 + length] = struct.pack(">I", zlib.crc32(data[at : at + 4 + length]))
    (tmp_path / "b.png").write_bytes(data)
    with open_source(tmp_path / "b.png") as source:
        assert len(source) == 120 and source.fps == pytest.approx(60)
        assert float(source.shown(119)[1]) == pytest.approx(2, abs=1e-3)
