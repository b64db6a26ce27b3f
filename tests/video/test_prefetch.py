import gc
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from video.clips import number_of, numbered_frame

from sam2v.video.prefetch import Prefetcher
from sam2v.video.sources import open_source


def array(count: int) -> np.ndarray:
    return np.stack([numbered_frame(number) for number in range(count)])


def threads() -> int:
    return sum(thread.name.startswith(("sam2v-prefetch", "sam2v-prepare")) for thread in threading.enumerate())


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("order", [range(10), range(9, -1, -1), [3, 3, 7, 0]])
@pytest.mark.parametrize(("depth", "count"), [(1, 1), (4, 1), (100, 1), (1, 4), (4, 3), (100, 5)])
def test_frames_come_in_the_order_asked(order: list[int], depth: int, count: int) -> None:
    def prepare(frame: np.ndarray) -> int:
        time.sleep(0.002 * (number_of(frame) % 3))  # the later one may be ready first
        return number_of(frame)

    with Prefetcher(open_source(array(10)), order, prepare, depth, count) as frames:
        got = list(frames)
    assert got == [(number, number) for number in order]
    assert threads() == 0


def test_several_threads_prepare_at_once() -> None:
    together = threading.Barrier(3, timeout=10)

    def prepare(frame: np.ndarray) -> int:
        together.wait()
        return number_of(frame)

    with Prefetcher(open_source(array(6)), range(6), prepare, depth=3, threads=3) as frames:
        assert [index for index, _ in frames] == list(range(6))
        assert not frames.holds(1)
    assert threads() == 0


def test_holds_what_is_prepared() -> None:
    go = threading.Event()

    def prepare(frame: np.ndarray) -> int:
        if number_of(frame) == 1:
            go.wait(10)
        return number_of(frame)

    with Prefetcher(open_source(array(3)), range(3), prepare, depth=4, threads=2) as frames:
        assert eventually(lambda: frames.holds(1))
        assert not frames.holds(2)
        go.set()
        assert eventually(lambda: frames.holds(4))


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_while_preparing_comes_in_its_turn(count: int) -> None:
    def prepare(frame: np.ndarray) -> int:
        if number_of(frame) == 2:
            raise ValueError("cannot be prepared")
        return number_of(frame)

    frames = Prefetcher(open_source(array(6)), range(6), prepare, depth=4, threads=count)
    assert [next(frames), next(frames)] == [(0, 0), (1, 1)]
    with pytest.raises(ValueError, match="cannot be prepared"):
        next(frames)
    assert eventually(lambda: threads() == 0)


@pytest.mark.parametrize("name", ["depth", "threads"])
def test_fewer_than_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        Prefetcher(open_source(array(2)), range(2), **{name: 0})


def test_prepare_runs_in_the_thread() -> None:
    names = set()

    def prepare(frame: np.ndarray) -> int:
        names.add(threading.current_thread().name)
        return number_of(frame) * 2

    with Prefetcher(open_source(array(4)), range(4), prepare) as frames:
        assert list(frames) == [(0, 0), (1, 2), (2, 4), (3, 6)]
    assert names == {"sam2v-prefetch"}


def test_torch_s_threads_are_left_alone() -> None:
    """Readers come and go in several threads; threads to come still take torch's own setting."""
    before = torch.get_num_threads()
    found: list[int] = []

    def read() -> None:
        with Prefetcher(open_source(array(2)), range(2)) as frames:
            list(frames)
        found.append(torch.get_num_threads())

    try:
        torch.set_num_threads(2)
        for _ in range(20):
            several = [threading.Thread(target=read) for _ in range(4)]
            for one in several:
                one.start()
            for one in several:
                one.join()
    finally:
        torch.set_num_threads(before)
    assert found == [2] * 80


def test_a_source_that_stalls_does_not_hold_up_who_leaves() -> None:
    stalled, on = threading.Event(), threading.Event()

    def camera() -> Iterator[np.ndarray]:
        yield numbered_frame(0)
        yield numbered_frame(1)
        stalled.set()
        on.wait(60)
        yield numbered_frame(2)

    source = open_source(camera())
    try:
        with Prefetcher(source, itertools.count()) as frames:
            next(frames)
            assert stalled.wait(60)
            assert number_of(source[1]) == 1, "what is there can be read meanwhile"
        assert not on.is_set()
        source.close()
    finally:
        on.set()
    assert eventually(lambda: threads() == 0)


def test_it_ends_where_the_video_does() -> None:
    with Prefetcher(open_source(iter(array(6))), itertools.count()) as frames:
        assert [index for index, _ in frames] == list(range(6))
        assert list(frames) == []


def test_it_reads_ahead_but_not_further_than_asked() -> None:
    taken: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        for number in range(100):
            taken.append(number)
            yield numbered_frame(number)

    with Prefetcher(open_source(camera()), itertools.count(), depth=3) as frames:
        assert next(frames)[0] == 0
        assert eventually(lambda: len(taken) == 5)  # one taken out, three waiting, one in the thread's hand
        time.sleep(0.05)
        assert len(taken) == 5
    assert threads() == 0


def test_errors_surface_where_their_frame_is_asked_for() -> None:
    def camera() -> Iterator[np.ndarray]:
        yield numbered_frame(0)
        yield numbered_frame(1)
        raise ConnectionError("unplugged")

    with Prefetcher(open_source(camera()), itertools.count()) as frames:
        assert [next(frames)[0], next(frames)[0]] == [0, 1]
        with pytest.raises(ConnectionError, match="unplugged"):
            next(frames)
        with pytest.raises(StopIteration):
            next(frames)


def test_leaving_early_stops_the_thread() -> None:
    with pytest.raises(RuntimeError), Prefetcher(open_source(array(50)), itertools.cycle(range(50))) as frames:
        next(frames)
        raise RuntimeError
    assert threads() == 0


def test_dropping_it_stops_the_thread() -> None:
    frames = Prefetcher(open_source(array(50)), itertools.cycle(range(50)))
    next(frames)
    del frames
    gc.collect()
    assert eventually(lambda: threads() == 0)


def test_a_script_may_end_while_it_reads() -> None:
    """A thread that is killed inside of torch takes the process down with an abort."""
    script = """
import time
import numpy as np
import torch
from sam2v.video.prefetch import Prefetcher
from sam2v.video.sources import open_source

def prepare(frame):
    return torch.rand(3000, 1000) @ torch.rand(1000, 1000)

reader = Prefetcher(open_source(np.zeros((60, 8, 8, 3), np.uint8)), range(60), prepare, depth=60)
next(reader)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_closing_wakes_a_waiting_reader_and_twice_is_fine() -> None:
    frames = Prefetcher(open_source(array(50)), range(50), depth=1)
    frames.close()
    frames.close()
    assert list(frames) == [] and threads() == 0


def test_depth_must_be_positive() -> None:
    with pytest.raises(ValueError, match="depth"):
        Prefetcher(open_source(array(2)), range(2), depth=0)
