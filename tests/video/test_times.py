"""Files whose packets do not tell when frames are shown: frames are those that decoding from the start gives."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest
from video.clips import BFRAMES, decoded, number_of, replace_box, write_video

from sam2v.video import packets
from sam2v.video.sources import EndOfVideo, VideoFile

MPEG2 = {"codec": "mpeg2video", "options": {"bf": "2", "g": "12"}}
H264 = {"options": BFRAMES}
# frames in front of a keyframe may build on it
OPEN = {"x264-params": "b-adapt=0:bframes=3:keyint=20:open-gop=1:scenecut=0"}


def joined(folder: Path, ending: str, later: int = 0, count: int = 90, **options: object) -> Path:
    """Two clips, one behind the other in one file; the first one's times begin `later` frames later."""
    parts = [
        write_video(folder / f"1.{ending}", count, times=range(later, later + count), unit=Fraction(1, 25), **options),
        write_video(folder / f"2.{ending}", 40, first=count, **options),
    ]
    path = folder / f"joined.{ending}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def repeated(folder: Path, runs: list[tuple[int, int]]) -> Path:
    """An mp4 whose frames last as long as told: (number of frames, duration)."""
    path = write_video(folder / "repeated.mp4", sum(count for count, _ in runs), options={"bf": "0", "g": "20"})
    table = struct.pack(">II", 0, len(runs)) + b"".join(struct.pack(">II", *run) for run in runs)
    path.write_bytes(replace_box(path.read_bytes(), b"stts", table))
    return path


WRAP = 2**33  # where the clock of MPEG-TS starts again
CASES: dict[str, Callable[[Path], Path]] = {
    "decoding order as times": lambda folder: write_video(folder / "a.avi", 100, **H264),
    "the same in ASF": lambda folder: write_video(folder / "a.asf", 100, **H264),
    "no times": lambda folder: write_video(folder / "a.h264", 100, **H264),
    "no times, HEVC": lambda folder: write_video(
        folder / "a.h265", 40, codec="libx265", options={"x265-params": "keyint=10:bframes=3:log-level=none"}
    ),
    "gaps": lambda folder: write_video(
        folder / "a.avi", 30, times=[number * 3 for number in range(30)], unit=Fraction(1, 25), codec="mpeg4"
    ),
    "some repeated": lambda folder: repeated(folder, [(50, 512), (5, 0), (45, 512)]),
    "all the same": lambda folder: repeated(folder, [(30, 0)]),
    "start again": lambda folder: joined(folder, "ts", **H264),
    "start again, lower": lambda folder: joined(folder, "ts", later=1000, **H264),
    "start again, program stream": lambda folder: joined(folder, "mpg", **MPEG2),
    "start again, lower, program stream": lambda folder: joined(folder, "mpg", later=1000, **MPEG2),
    "start again, Matroska": lambda folder: joined(folder, "mkv", **H264),
    "start again at once": lambda folder: joined(folder, "ts", count=20, **H264),
    "start again at once, lower": lambda folder: joined(folder, "ts", later=1000, count=20, **H264),
    "decoding order, seen late": lambda folder: write_video(folder / "a.avi", 150, reorder_from=70, options=OPEN),
    "the same in Matroska": lambda folder: write_video(folder / "a.mkv", 150, reorder_from=70, options=OPEN),
    "two AVIs": lambda folder: joined(folder, "avi", codec="mpeg4"),
    "raw, joined": lambda folder: joined(folder, "h264", **H264),
    "wrap": lambda folder: write_video(
        folder / "a.ts",
        90,
        times=[WRAP + (n - 40) * 3600 for n in range(90)],
        unit=Fraction(1, 90000),
        sound=True,
        **H264,
    ),
    "negative": lambda folder: write_video(
        folder / "a.mkv", 90, times=[number - 30 for number in range(90)], unit=Fraction(1, 25), **H264
    ),
}


@pytest.fixture(scope="module", params=list(CASES))
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    """A file, and its frames."""
    path = CASES[request.param](tmp_path_factory.mktemp("times"))
    return path, decoded(path)


def test_forward(clip: tuple[Path, list[np.ndarray]]) -> None:
    path, frames = clip
    assert [number_of(frame) for frame in frames] == list(range(len(frames)))
    with VideoFile(path) as source:
        assert source.known_length() in (None, len(frames))
        for index, frame in enumerate(frames):
            np.testing.assert_array_equal(source[index], frame, err_msg=f"frame {index}")
        with pytest.raises(EndOfVideo, match=f"the video has {len(frames)}"):
            source[len(frames)]
        assert len(source) == len(frames)


def test_by_any_road(clip: tuple[Path, list[np.ndarray]]) -> None:
    path, frames = clip
    last = len(frames) - 1
    with VideoFile(path, cache_bytes=0) as source:
        for index in [last, 0, *Random(0).choices(range(last + 1), k=15), last]:
            np.testing.assert_array_equal(source[index], frames[index], err_msg=f"frame {index}")
    with VideoFile(path, cache_bytes=20 * frames[0].nbytes) as source:
        for index in reversed(range(last + 1)):
            np.testing.assert_array_equal(source[index], frames[index], err_msg=f"frame {index}, going back")


def test_wherever_it_is_opened(clip: tuple[Path, list[np.ndarray]]) -> None:
    """Before anything else was read that could tell about the times."""
    path, frames = clip
    for index in range(0, len(frames) - 1, 9):
        with VideoFile(path, cache_bytes=0) as source:
            np.testing.assert_array_equal(source[index], frames[index], err_msg=f"frame {index} first")
            np.testing.assert_array_equal(source[index + 1], frames[index + 1], err_msg=f"frame {index + 1} then")


def test_length(clip: tuple[Path, list[np.ndarray]]) -> None:
    path, frames = clip
    with VideoFile(path) as source:
        assert len(source) == source.known_length() == len(frames)
        assert number_of(source[5]) == 5


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_files_that_call_every_packet_a_keyframe(tmp_path: Path, codec: str) -> None:
    path = write_video(tmp_path / "a.mp4", 60, codec=codec, options={"g": "20", "bf": "0"})
    path.write_bytes(replace_box(path.read_bytes(), b"stss", None))
    frames = decoded(path)
    with VideoFile(path, cache_bytes=0) as source:
        for index in (33, 59, 7, 41, 12, 50):
            np.testing.assert_array_equal(source[index], frames[index], err_msg=f"frame {index}")


@pytest.mark.parametrize("ending", ["mkv", "ts"])
def test_files_that_begin_between_keyframes(tmp_path: Path, ending: str) -> None:
    """What cannot be decoded is no frame."""
    av = pytest.importorskip("av")
    whole, path = write_video(tmp_path / "whole.mp4", 60, **H264), tmp_path / f"cut.{ending}"
    with av.open(str(whole)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size and number:
                packet.stream = stream
                out.mux(packet)
    frames = decoded(path)
    assert 40 < len(frames) < 60
    for order in (range(len(frames)), [len(frames) - 1, 20, 0, 35]):
        with VideoFile(path, cache_bytes=0) as source:
            assert source.known_length() in (None, len(frames))
            for index in order:
                np.testing.assert_array_equal(source[index], frames[index], err_msg=f"frame {index}")


def test_short_clips_know_their_length(tmp_path: Path) -> None:
    """Fewer object pointers are read in a video of fewer than 16 frames."""
    for name in ("a.h264", "a.ts", "a.mkv"):
        with VideoFile(write_video(tmp_path / name, 12, **H264)) as source:
            assert source.known_length() == 12


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
@pytest.mark.parametrize("told", [True, False])
def test_packets_without_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, told: bool) -> None:
    """Some packets hold references only. If they are not told, the decoder gives fewer frames than there are times."""
    path = with_hidden_packets(tmp_path, codec)
    if not told:
        monkeypatch.setattr(packets, "is_hidden", lambda packet, codec: False)
    with VideoFile(path, cache_bytes=0) as source:
        assert [number_of(source[index]) for index in (49, 3, 20, 10, 48, 0)] == [49, 3, 20, 10, 48, 0]
        assert [number_of(frame) for frame in source] == list(range(50))
    with VideoFile(path) as source:
        assert len(source) == 50


def with_hidden_packets(folder: Path, codec: str) -> Path:
    """A WebM in which every second packet is a frame that is never shown."""
    av = pytest.importorskip("av")
    plain = write_video(
        folder / "plain.webm", 50, codec=codec, options={"g": "1", "keyint_min": "1", "deadline": "realtime"}
    )
    path = folder / "hidden.webm"
    mask = 0x10 if codec == "libvpx" else 0x02
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for packet in source.demux(video=0):
            if packet.size:
                data = bytes(packet)
                for content, time in [(data, packet.pts), (bytes([data[0] & ~mask]) + data[1:], packet.pts + 10)]:
                    copy = av.Packet(content)
                    copy.stream, copy.pts, copy.dts = stream, time, time
                    copy.is_keyframe = True
                    out.mux(copy)
    return path
