"""Streams: pulled from an iterator, or pushed frame by frame."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from video.clips import number_of, numbered_frame

from sam2v.video.sources import EndOfVideo, FrameDropped, LiveSource, StreamSource, open_source


def frames(count: int) -> np.ndarray:
    return np.stack([numbered_frame(number) for number in range(count)])


def test_keeps_a_window_and_says_when_a_frame_is_gone() -> None:
    source = StreamSource(iter(frames(20)), window=4)
    assert not source.is_seekable and source.known_length() is None
    with pytest.raises(TypeError, match="unknown"):
        len(source)
    assert [number_of(source[k]) for k in (0, 6, 3, 5, 6)] == [0, 6, 3, 5, 6]
    with pytest.raises(FrameDropped, match=r"frame 2 is no longer kept: .* newest 4 frames, now 3 to 6"):
        source[2]
    assert number_of(source[19]) == 19
    with pytest.raises(EndOfVideo, match="after 20"):
        source[20]
    assert len(source) == 20 and number_of(source[-1]) == 19


def test_takes_only_what_is_asked_for() -> None:
    taken: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        for number in range(100):
            taken.append(number)
            yield numbered_frame(number)

    source = open_source(camera())
    source[3]
    assert taken == [0, 1, 2, 3]


def test_copies_a_buffer_that_the_camera_reuses() -> None:
    buffer = numbered_frame(0).copy()

    def camera() -> Iterator[np.ndarray]:
        for number in range(5):
            buffer[:] = numbered_frame(number)
            yield buffer

    source = open_source(camera())
    source[4]
    assert [number_of(source[k]) for k in range(5)] == [0, 1, 2, 3, 4]


def test_memory_does_not_grow() -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    def camera() -> Iterator[np.ndarray]:
        for _ in range(50):
            frame = np.zeros((8, 8, 3), np.uint8)
            alive.append(weakref.ref(frame))
            yield frame

    source = StreamSource(camera(), window=3)
    source[49]
    gc.collect()
    assert len(source.recent()) == 3 and sum(ref() is not None for ref in alive) <= 1


def test_errors_and_closing_reach_the_generator() -> None:
    closed = threading.Event()

    def camera() -> Iterator[np.ndarray]:
        try:
            yield numbered_frame(0)
            yield numbered_frame(1)
            raise ConnectionError("the camera was unplugged")
        finally:
            closed.set()

    source = open_source(camera())
    with pytest.raises(ConnectionError, match="unplugged"):
        source[2]
    other = open_source(camera())
    closed.clear()
    other.close()
    assert closed.is_set()


def test_sizes_must_agree() -> None:
    source = open_source(iter([np.zeros((4, 6, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)]))
    with pytest.raises(ValueError, match="frame 00001 is 5 x 4 pixels, but the first is 6 x 4"):
        source[1]


def test_a_stream_stays_in_its_process() -> None:
    source = open_source(iter(frames(5)))
    assert copy.deepcopy(source) is source and copy.copy(source) is source
    with pytest.raises(TypeError, match="a stream of frames from an iterator cannot be pickled"):
        pickle.dumps(source)


class TestLive:
    def test_keeps_the_newest_frames(self) -> None:
        source = LiveSource(window=3)
        assert source.is_live and not source.is_seekable and source.known_length() is None and source.count == 0
        assert [source.append(frame) for frame in frames(5)] == [0, 1, 2, 3, 4]
        assert source.count == 5 and source.size == (32, 64) and list(source.recent()) == [2, 3, 4]
        assert [number_of(source[index]) for index in (4, 2, 3)] == [4, 2, 3]
        with pytest.raises(FrameDropped, match=r"frame 1 has left the stream's window: frames 2 to 4 can be prompted"):
            source[1]
        with pytest.raises(ValueError, match="frame 5 has not arrived yet; the newest is 4"):
            source[5]
        with pytest.raises(TypeError, match="no length"):
            len(source)
        assert source.frame_name(3) == "00003" and source.file_name(3) == "00003.png"

    def test_before_the_first_frame(self) -> None:
        source = LiveSource()
        assert source.window == 8
        with pytest.raises(ValueError, match="no frame has arrived yet: pass the first one to track"):
            _ = source.size
        with pytest.raises(ValueError, match="frame 0 has not arrived yet; none has arrived yet"):
            source[0]

    def test_copies_what_it_is_given_and_refuses_another_size(self) -> None:
        source, buffer = LiveSource(), numbered_frame(0).copy()
        source.append(buffer)
        buffer[:] = 0
        source.append(torch.from_numpy(numbered_frame(1)).permute(2, 0, 1))
        np.testing.assert_array_equal(source[0], numbered_frame(0))
        for wrong, error, message in [
            (numbered_frame(2)[:, :40], ValueError, "frame 2 of the stream is 40 x 32 pixels, .* are 64 x 32"),
            (frames(2), ValueError, "got shape"),
            (None, TypeError, "NoneType"),
        ]:
            with pytest.raises(error, match=message):
                source.append(wrong)  # type: ignore[arg-type]
        assert source.count == 2 and number_of(source[1]) == 1

    @pytest.mark.parametrize("twin", [copy.deepcopy, copy.copy, lambda source: pickle.loads(pickle.dumps(source))])
    def test_a_copy_goes_its_own_way(self, twin: object) -> None:
        source = LiveSource(window=2)
        empty = twin(source)  # type: ignore[operator]
        assert empty.count == 0 and empty.append(numbered_frame(9)) == 0
        for frame in frames(4):
            source.append(frame)
        other = twin(source)  # type: ignore[operator]
        assert other.append(numbered_frame(70)) == 4 and source.append(numbered_frame(80)) == 4
        assert [number_of(s[4]) for s in (source, other)] == [80, 70]
        assert other.window == 2 and list(other.recent()) == [3, 4] and number_of(other[3]) == 3

    def test_is_restored_from_its_window(self) -> None:
        source = LiveSource.restored(4, 12, {10: numbered_frame(10), 11: numbered_frame(11)})
        assert source.append(numbered_frame(12)) == 12
        assert list(source.recent()) == [10, 11, 12] and source.size == (32, 64)

    def test_bad_windows(self) -> None:
        for kind in (LiveSource, lambda window: StreamSource(iter(frames(2)), window=window)):
            with pytest.raises(ValueError, match="at least 1"):
                kind(0)
            for wrong in (1.5, "8", True):
                with pytest.raises(TypeError, match="window must be an integer"):
                    kind(wrong)
