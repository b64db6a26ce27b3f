"""torchcodec's frames are PyAV's, by the same numbers; what it would number in another way is refused."""

from __future__ import annotations

import copy
import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video.clips import BFRAMES, number_of, write_video

from sam2v.video.base import EndOfVideo
from sam2v.video.file import VideoFile
from sam2v.video.sources import open_source
from sam2v.video.torchcodec_file import TorchcodecFile, check_torchcodec


@pytest.fixture(scope="module", autouse=True)
def needs_torchcodec() -> None:
    try:
        check_torchcodec()
    except ImportError as error:
        if os.environ.get("SAM2V_REQUIRE_TORCHCODEC") == "1":
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.mp4", {"options": BFRAMES}),
        ("clip.mkv", {"options": BFRAMES, "sound": True}),
        ("clip.webm", {"codec": "libvpx"}),
        ("clip.mov", {"codec": "mpeg4", "rate": 30, "size": (33, 66)}),
    ],
)
def test_frames_are_those_of_pyav(video: Callable[..., Path], name: str, options: dict) -> None:
    path = video(name, 25, **options)
    with TorchcodecFile(path, cache_bytes=0) as source, VideoFile(path) as other:
        assert (len(source), source.size, source.stream) == (25, other.size, other.stream)
        assert source.fps == other.fps and source.path == other.path
        for index in [*range(25), 3, 24, 11, 12, -1]:
            np.testing.assert_array_equal(source[index], other[index])
            assert source.shown(index) == other.shown(index)
        with pytest.raises(EndOfVideo, match="no frame 25, the video has 25"):
            source[25]


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.integers(1, 400), min_size=19, max_size=19), order=st.permutations(list(range(20))))
def test_variable_frame_rate(tmp_path: Path, gaps: list[int], order: list[int]) -> None:
    times = np.cumsum([0, *gaps]).tolist()
    path = write_video(tmp_path / "vfr.mp4", 20, times=times, options={"x264-params": "b-adapt=0:bframes=2:keyint=7"})
    with TorchcodecFile(path, cache_bytes=0) as source:
        assert [number_of(source[index]) for index in order] == order


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)], ids=["90", "180", "270"])
def test_rotation_is_applied(video: Callable[..., Path], matrix: tuple[int, int, int, int]) -> None:
    path = video("turned.mp4", 4)
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    place = data.index(b"tkhd") + 4 + 4 + 8 + 4 + 4 + 4 + 8 + 8
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    with TorchcodecFile(path) as source, VideoFile(path) as other:
        assert source.size == other.size
        np.testing.assert_array_equal(source[2], other[2])


def test_what_is_numbered_in_another_way_is_refused(video: Callable[..., Path], tmp_path: Path) -> None:
    raw = video("raw.h264", 10)
    between = tmp_path / "between.mkv"  # begins with frames that need others, which are not there
    av = pytest.importorskip("av")
    with av.open(str(video("whole.mkv", 30, options=BFRAMES))) as source, av.open(str(between), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(video=0))[4:]:
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    for path in (raw, between):
        assert len(VideoFile(path)) > 0
        with pytest.raises(ValueError, match=r"number its frames in another way: .*; decode it by PyAV"):
            TorchcodecFile(path)


def test_a_playlist_opens_nothing(video: Callable[..., Path], tmp_path: Path) -> None:
    clip = video()
    for name, text in {
        "list.ffconcat": f"ffconcat version 1.0\nfile '{clip}'\n",
        "a.m3u8": f"#EXTM3U\n{clip}\n",
    }.items():
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(ValueError, match="not a video"):
            open_source(path, decoder="torchcodec")


def test_copies_open_the_file_for_themselves(video: Callable[..., Path]) -> None:
    with open_source(video(), decoder="torchcodec") as source:
        assert isinstance(source, TorchcodecFile)
        twins = [copy.deepcopy(source), pickle.loads(pickle.dumps(source))]
        assert [number_of(frame[7]) for frame in (source, *twins)] == [7, 7, 7]
    with pytest.raises(ValueError, match="closed"):
        source[3]
    assert number_of(twins[0][3]) == 3


def test_a_forked_process_reads_and_ends(video: Callable[..., Path]) -> None:
    source = open_source(video(), decoder="torchcodec")
    process = os.fork()
    if process == 0:
        try:
            os._exit(0 if number_of(source[9]) == 9 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert number_of(source[12]) == 12


def test_what_cannot_be_is_said(video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = video()
    with pytest.raises(ValueError, match="unknown decoder 'ffmpeg'; accepted: pyav, torchcodec"):
        open_source(path, decoder="ffmpeg")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decoder_device is for decoder='torchcodec'"):
        open_source(path, decoder_device="cuda")
    with pytest.raises(ValueError, match="torchcodec cannot decode it on nowhere"):
        open_source(path, decoder="torchcodec", decoder_device="nowhere")
    with pytest.raises(ValueError, match="stream 3 is not a video"):
        open_source(path, decoder="torchcodec", stream=3)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(ImportError, match="pip install torchcodec"):
        open_source(path, decoder="torchcodec")
