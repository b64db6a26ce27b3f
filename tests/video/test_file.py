"""Video files: every frame under its number, by any road, in every container; damaged files."""

import gc
import io
import multiprocessing
import os
import struct
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video.clips import BFRAMES, decoded, edit_list, number_of, numbered_frame, replace_box, write_sound, write_video

from sam2v.video.decoder import Decoder
from sam2v.video.reader import PROBE
from sam2v.video.sources import EndOfVideo, VideoFile, open_source

KINDS = {
    "mp4": {"options": BFRAMES},
    "mov": {"options": {"x264-params": "b-adapt=0:bframes=2:keyint=1000"}},
    "mkv": {"options": BFRAMES},
    "ts": {"options": {"x264-params": "b-adapt=0:bframes=3:keyint=10:open-gop=1"}},
    "webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8", "g": "12"}},
    "avi": {"codec": "mpeg4", "options": {"g": "12"}},
    "gif": {"codec": "gif", "pix_fmt": "rgb8", "rate": 10},
}


@pytest.fixture(scope="module", params=list(KINDS))
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / f"clip.{request.param}"
    return write_video(path, 40, **KINDS[request.param])


def test_frames_in_order(clip: Path) -> None:
    with VideoFile(clip) as source:
        assert len(source) == 40
        assert source.size == (32, 64)
        assert source.fps == pytest.approx(10 if clip.suffix == ".gif" else 25)
        assert [number_of(frame) for frame in source] == list(range(40))
        assert len(source) == 40


def test_backward_and_jumping_give_the_frames_of_reading_onward(clip: Path) -> None:
    with VideoFile(clip) as source:
        onward = [frame.copy() for frame in source]
    order = [39, 38, 37, 36, 0, 20, 19, 5, 6, 31, 12, 12, 11, 39, 1, *range(30, 8, -1)]
    with VideoFile(clip, cache_bytes=5 * onward[0].nbytes) as source:
        for index in order:
            np.testing.assert_array_equal(source[index], onward[index], err_msg=f"frame {index}")


ORDINARY = {
    "mp4": {"options": BFRAMES},
    "mov": {"options": {"x264-params": "b-adapt=0:bframes=2:keyint=10"}},
    "mkv": {"options": {"x264-params": "b-adapt=0:bframes=3:keyint=10:open-gop=1"}},
    "ts": KINDS["ts"],
    "webm": KINDS["webm"],
}


@pytest.mark.parametrize(
    ("ending", "edits"),
    [*((ending, []) for ending in ORDINARY), *((ending, [(2000, 1024), (4000, 21504)]) for ending in ("mp4", "mov"))],
)
def test_frames_are_jumped_to_and_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, edits: list[tuple[int, int]]
) -> None:
    """Going to the end of an ordinary video decodes little more than the last group of frames."""
    path, length = write_video(tmp_path / f"a.{ending}", 200, **ORDINARY[ending]), 200
    if edits:
        path.write_bytes(replace_box(path.read_bytes(), b"edts", edit_list(edits)))
        length = 150
    count, advance = [0], Decoder.advance

    def counted(decoder: Decoder) -> object:
        count[0] += 1
        return advance(decoder)

    monkeypatch.setattr(Decoder, "advance", counted)
    with VideoFile(path, cache_bytes=0) as source:
        source[length - 1]
        assert count[0] < PROBE + 2 + 15
        for index in (100, 30, 140):
            before = count[0]
            source[index]
            assert count[0] - before < 15


def test_program_streams_are_jumped_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their units hold the end of one frame and the start of the next: reading has to begin before a keyframe's."""
    av = pytest.importorskip("av")
    path = tmp_path / "noise.mpg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"bf": "2", "g": "10", "qmin": "2", "qmax": "2"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(100):
            noise = np.random.default_rng(number).integers(0, 256, (96, 128, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode())
    frames = decoded(path)
    restarts: list[bool] = []
    monkeypatch.setattr(Decoder, "restart", lambda decoder: restarts.append(True))
    with VideoFile(path, cache_bytes=0) as source:
        for index in (99, 40, 75, 22):
            np.testing.assert_array_equal(source[index], frames[index])
    assert not restarts


def test_behind_the_end(clip: Path) -> None:
    with VideoFile(clip) as source, warnings.catch_warnings():
        warnings.simplefilter("error")
        for index in (40, 41, 4000):
            with pytest.raises(EndOfVideo, match="40"):
                source[index]
        assert number_of(source[39]) == 39 and number_of(source[-40]) == 0
        with pytest.raises(EndOfVideo):
            source[-41]
        with pytest.raises(TypeError, match="integer"):
            source["1"]  # type: ignore[index]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.integers(1, 400), min_size=29, max_size=29), order=st.permutations(list(range(30))))
def test_variable_frame_rate(tmp_path: Path, gaps: list[int], order: list[int]) -> None:
    times = np.cumsum([0, *gaps]).tolist()
    path = write_video(tmp_path / "vfr.mp4", 30, times=times, options={"x264-params": "b-adapt=0:bframes=2:keyint=7"})
    with VideoFile(path, cache_bytes=0) as source:
        assert len(source) == 30
        assert [number_of(source[index]) for index in order] == order


def test_hidden_reference_frames_are_not_counted(video: Callable[..., Path], tmp_path: Path) -> None:
    """VP8 may hold packets that are decoded but never shown: here one after every keyframe."""
    av = pytest.importorskip("av")
    plain = video("plain.webm", 30, codec="libvpx", options={"g": "1", "keyint_min": "1", "deadline": "realtime"})
    path = tmp_path / "hidden.webm"
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for packet in source.demux(video=0):
            if packet.size:
                data = bytes(packet)
                for content, time in [(data, packet.pts), (bytes([data[0] & ~0x10]) + data[1:], packet.pts + 10)]:
                    copy = av.Packet(content)
                    copy.stream, copy.pts, copy.dts = stream, time, time
                    copy.is_keyframe = True
                    out.mux(copy)
    with VideoFile(path) as source:
        assert len(source) == 30
        assert [number_of(source[index]) for index in (29, 3, 20, 10)] == [29, 3, 20, 10]
        assert [number_of(frame) for frame in source] == list(range(30))


@pytest.mark.parametrize("size", [(33, 65), (31, 64), (2, 2)])
def test_odd_sizes(video: Callable[..., Path], size: tuple[int, int]) -> None:
    fast = {"deadline": "realtime", "cpu-used": "8"}
    path = video("odd.webm", 5, size=size, codec="libvpx-vp9", options=fast)
    with VideoFile(path) as source:
        assert source.size == size and source[3].shape == (*size, 3)


MATRICES = {  # a, b, c, d of the display matrix, and what a player then shows
    "upright": ((1, 0, 0, 1), lambda x: x),
    "turned 90 clockwise": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "turned 180": ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    "turned 90 counterclockwise": ((0, -1, 1, 0), lambda x: np.rot90(x)),
    "mirrored": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "transposed": ((0, 1, 1, 0), lambda x: x.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("turn", list(MATRICES))
def test_rotation_is_applied(video: Callable[..., Path], turn: str) -> None:
    path = video("turned.mp4", 4, options={"qp": "0"})
    with VideoFile(path) as source:
        upright = source[2].copy()
    data = bytearray(path.read_bytes())
    (a, b, c, d), shown = MATRICES[turn]
    matrix = data.index(b"tkhd") + 4 + 4 + 8 + 4 + 4 + 4 + 8 + 8
    data[matrix : matrix + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    expected = shown(upright)
    with VideoFile(path) as source:
        assert source.size == expected.shape[:2]
        np.testing.assert_array_equal(source[2], expected)


def test_opening_reads_a_fraction_of_the_packets(video: Callable[..., Path]) -> None:
    with VideoFile(video("long.mp4", 250, options={"g": "20", "preset": "ultrafast"})) as source:
        assert len(source) == 250
        source[3]
        assert len(source._reader.get()._index) < 100


def test_cut_short_with_its_index_in_front(video: Callable[..., Path]) -> None:
    """What can be decoded is there, then a warning and the end."""
    options = {"g": "10", "preset": "ultrafast"}
    path = video("cut.mp4", 60, options=options, container_options={"movflags": "faststart"})
    data = path.read_bytes()
    start = data.index(b"mdat")
    path.write_bytes(data[: start + (len(data) - start) // 2])
    with VideoFile(path) as source:
        assert len(source) == 60
        with pytest.warns(UserWarning, match="announces 60 frames, but only"):
            numbers = [number_of(frame) for frame in source]
        assert 15 < len(numbers) < 45 and numbers == list(range(len(numbers)))
        assert len(source) == len(numbers)
        assert number_of(source[7]) == 7
        with pytest.raises(EndOfVideo, match=f"has {len(numbers)}"):
            source[len(numbers)]
    with VideoFile(path) as source, pytest.warns(UserWarning), pytest.raises(EndOfVideo):
        source[59]


def test_a_damaged_stretch_keeps_the_numbers_in_place(video: Callable[..., Path]) -> None:
    path = video("hurt.ts", 60, options={"g": "10", "preset": "ultrafast"})
    data = bytearray(path.read_bytes())
    third = len(data) // 3 // 188 * 188
    for packet in range(third, third + 188 * 4, 188):
        data[packet + 4 : packet + 188] = bytes(184)
    path.write_bytes(data)
    with VideoFile(path) as source, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = list(source)
        assert number_of(frames[2]) == 2 and number_of(frames[-1]) == 59


@pytest.mark.parametrize("first", [5, 30])
def test_damaged_frames_keep_their_numbers(video: Callable[..., Path], first: int) -> None:
    """The next good one stands for them."""
    av = pytest.importorskip("av")
    path = video("hurt.mp4", 60, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        hurt = [(packet.pos, packet.size) for packet in packets[first : first + 3]]
    data = bytearray(path.read_bytes())
    for place, size in hurt:
        data[place : place + size] = bytes(size)
    path.write_bytes(data)
    expected = [first + 3 if first <= number < first + 3 else number for number in range(60)]
    with VideoFile(path) as source:
        assert [number_of(frame) for frame in source] == expected and len(source) == 60
    with VideoFile(path, cache_bytes=0) as source:
        for index in (59, first + 1, 0, first, 40, first + 2, first + 3):
            assert number_of(source[index]) == expected[index]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_damage_shows_later_where_frames_are_reordered(video: Callable[..., Path], ending: str) -> None:
    av = pytest.importorskip("av")
    path = video(f"hurt.{ending}", 60, size=(96, 128), options={"g": "10", "bf": "2"})
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        hurt = [(packet.pos, packet.size) for packet in (packets[33], packets[41])]
    data = bytearray(path.read_bytes())
    for place, size in hurt:
        data[place + 12 : place + size] = bytes(size - 12)
    path.write_bytes(data)
    with VideoFile(path) as source:
        numbers = [number_of(frame) for frame in source]
    assert len(numbers) == 60 and numbers[:33] + numbers[50:] == [*range(33), *range(50, 60)]


def test_unusable_files_say_what_is_wrong(video: Callable[..., Path], tmp_path: Path) -> None:
    empty, text, beheaded = tmp_path / "empty.mp4", tmp_path / "text.mp4", video("beheaded.mp4", 30)
    empty.write_bytes(b"")
    text.write_text("this is no video\n" * 50)
    beheaded.write_bytes(beheaded.read_bytes()[:-1500])  # its index was at the end
    sound = write_sound(tmp_path / "sound.mp4")
    for path, error, message in [
        (tmp_path / "none.mp4", FileNotFoundError, "no such file"),
        (empty, ValueError, "empty"),
        (text, ValueError, "not a video"),
        (beheaded, ValueError, "not a video that can be read, or cut off"),
        (sound, ValueError, "no video stream"),
    ]:
        with pytest.raises(error, match=message) as caught:
            open_source(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_two_threads_read_one_source(video: Callable[..., Path]) -> None:
    wrong: list[int] = []
    with VideoFile(video("shared.mp4", 60, options={"g": "12"}), cache_bytes=0) as source:

        def read(order: list[int]) -> None:
            wrong.extend(index for index in order if number_of(source[index]) != index)

        orders = [list(range(0, 60, 2)), list(range(59, 0, -2)), list(range(60))]
        threads = [threading.Thread(target=read, args=(order,)) for order in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_file_that_vanishes(video: Callable[..., Path], tmp_path: Path) -> None:
    """That is said until it is there again."""
    path = video("clip.mp4", 40, options=BFRAMES)
    path.write_bytes(replace_box(path.read_bytes(), b"edts", edit_list([(1400, 5 * 512 + 1024)])))
    with VideoFile(path, cache_bytes=0) as source:
        assert number_of(source[20]) == 25
        path.rename(tmp_path / "elsewhere.mp4")
        for _ in range(2):
            with pytest.raises(FileNotFoundError, match=r"clip\.mp4"):
                source[2]  # its keyframe is hidden: the file is opened again
        (tmp_path / "elsewhere.mp4").rename(path)
        assert number_of(source[2]) == 7


@pytest.mark.parametrize("is_indexed", [False, True])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_an_error_of_the_disk_passes(video: Callable[..., Path], name: str, is_indexed: bool) -> None:
    """It is said, and when it is over the frames are there, under their numbers."""

    class File:
        def __init__(self, data: bytes) -> None:
            self.file, self.fails = io.BytesIO(data), False
            self.seek, self.tell = self.file.seek, self.file.tell

        def read(self, count: int) -> bytes:
            if self.fails:
                raise OSError(5, "Input/output error")
            return self.file.read(count)

    file = File(video(name, 200, size=(120, 160), codec="mjpeg", pix_fmt="yuvj420p").read_bytes())
    with VideoFile(file, cache_bytes=0) as source:  # type: ignore[arg-type]
        if is_indexed:
            source[199]
        assert number_of(source[5]) == 5
        file.fails = True
        with pytest.raises(OSError, match="Input/output error"):
            for index in range(6, 200):
                source[index]
        file.fails = False
        assert [number_of(source[index]) for index in (index, 199, 40, 150)] == [index, 199, 40, 150]
        assert len(source) == 200


def test_going_back_keeps_what_it_passes(video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    count, advance = [0], Decoder.advance

    def counted(decoder: Decoder) -> object:
        count[0] += 1
        return advance(decoder)

    monkeypatch.setattr(Decoder, "advance", counted)
    path = video("long.mp4", 60, options={"g": "1000"})
    with VideoFile(path, cache_bytes=16 * 32 * 64 * 3) as source:
        assert [number_of(source[index]) for index in range(59, -1, -1)] == list(range(59, -1, -1))
    assert count[0] < 300


def test_closed_source_refuses(video: Callable[..., Path]) -> None:
    source = VideoFile(video(count=5))
    reader = source._reader.get()
    source.close()
    source.close()
    with pytest.raises(ValueError, match=r"clip\.mp4: this source is closed"):
        source[0]
    with pytest.raises(ValueError, match="this source is closed"):
        reader.frame(4)  # by a thread that was about to read


def test_numbers_survive_compression() -> None:
    assert [number_of(numbered_frame(k)) for k in range(256)] == list(range(256))


def test_frames_are_freed_without_the_garbage_collector(video: Callable[..., Path]) -> None:
    """Reference cycles would let decoded frames pile up until a collection: memory must be flat."""
    kind = pytest.importorskip("av").VideoFrame
    path = video("flat.mp4", 60)
    gc.collect()
    gc.disable()
    try:
        before = sum(type(thing) is kind for thing in gc.get_objects())
        with VideoFile(path, cache_bytes=0) as source:
            for index in range(60):
                source[index]
            assert sum(type(thing) is kind for thing in gc.get_objects()) < before + 20
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_workers_leave_frames_of_this_process_alone(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mp4", 3, size=(512, 512))
    gc.collect()
    gc.disable()
    try:
        with VideoFile(path) as source:  # the first frame waits for the garbage collector, with FFmpeg's threads
            source[0]
        worker = multiprocessing.get_context("fork").Process(target=gc.collect)
        worker.start()
        worker.join(30)
        hanging = worker.exitcode is None
        worker.kill()
    finally:
        gc.enable()
    assert not hanging
