"""Several videos in one batch: the masks of each by itself, whatever happens to the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2v import MaskletFrame, NoPromptError, VideoPredictor
from sam2v.backends.base import Backend
from sam2v.model.network import Sam2Network
from sam2v.tracking import rows, sharing
from sam2v.tracking.rows import Step
from sam2v.tracking.session import Session
from sam2v.tracking.sharing import StoppedError

FRAMES = 6
CALLS = ("encode_image", "read_memory", "decode_prompts", "write_memory")

#: Frames, height and objects of a video, the frame they are prompted on, and the result after which one more comes.
Video = tuple[int, int, int, int, int]
videos = st.tuples(
    st.integers(2, FRAMES), st.sampled_from([48, 80]), st.integers(1, 3), st.integers(0, 1), st.integers(0, 3)
)


def close(found: Sequence[MaskletFrame], expected: Sequence[MaskletFrame]) -> None:
    assert [(r.frame_idx, r.obj_ids) for r in found] == [(r.frame_idx, r.obj_ids) for r in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.masks, other.masks, atol=1e-4, rtol=0)
        torch.testing.assert_close(one.object_score, other.object_score, atol=1e-5, rtol=0)


def begin(predictor: VideoPredictor, number: int, video: Video) -> Session:
    """A session of a drawn video with its objects prompted."""
    length, height, objects, frame, _ = video
    state = predictor.init_state(drawn_clip(length, height, seed=number))
    for obj_id in range(1, objects + 1):
        predictor.add_points(state, frame, obj_id, [(15 * obj_id, 20)])
    return state


def pieced(predictor: VideoPredictor, video: Video, state: Session, results: Sequence[MaskletFrame]) -> None:
    """Prompt a further object on the newest frame, if it is its turn."""
    if len(results) == video[4] + 1:
        predictor.add_points(state, results[-1].frame_idx, 9, [(40, 30)])


@settings(max_examples=5)
@given(
    several=st.lists(videos, min_size=2, max_size=3),
    direction=st.sampled_from(["forward", "both"]),
    policy=st.sampled_from(["recent", "tree", "motion"]),
    how=st.sampled_from([{}, {"keep_aspect": True}, {"frames_per_encoding": 2, "resize": "device"}]),
)
def test_together_equals_one_by_one(
    network: Sam2Network, several: list[Video], direction: Any, policy: str, how: dict[str, Any]
) -> None:
    """Videos of different sizes, lengths and numbers of objects, prompts on the way, both directions."""
    predictor = VideoPredictor(network, policy=policy, **how)
    expected = []
    for number, video in enumerate(several):
        results: list[MaskletFrame] = []
        with begin(predictor, number, video) as state:
            for result in predictor.propagate_in_video(state, direction=direction):
                results.append(result)
                pieced(predictor, video, state, results)
        expected.append(results)
    states = [begin(predictor, number, video) for number, video in enumerate(several)]
    found: list[list[MaskletFrame]] = [[] for _ in several]
    for index, result in predictor.propagate_in_videos(states, direction=direction):
        found[index].append(result)
        pieced(predictor, several[index], states[index], found[index])
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def plain(count: int, length: int = FRAMES) -> list[Video]:
    return [(length, 48, 1 + number % 2, 0, 99) for number in range(count)]


def started(predictor: VideoPredictor, several: Sequence[Video]) -> list[Session]:
    return [begin(predictor, number, video) for number, video in enumerate(several)]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The network's calls, as they are made."""
    calls: list[str] = []
    for name in CALLS:
        original = getattr(Backend, name)

        def call(*args: Any, _name: str = name, _original: Callable[..., Any] = original) -> Any:
            calls.append(_name)
            return _original(*args)

        monkeypatch.setattr(Backend, name, call)
    return calls


def test_a_frame_of_each_is_one_call_of_each_part(predictor: VideoPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    states = started(predictor, plain(3))
    results = predictor.propagate_in_videos(states)
    for _ in range(3):  # the prompted frames
        next(results)
    calls = counted(monkeypatch)
    assert [next(results)[0] for _ in range(3)] == [0, 1, 2]
    assert calls == list(CALLS)
    monkeypatch.setattr(rows, "SHARED_ROWS", 2)  # of 1, 2 and 1 rows the first and the last go together
    calls.clear()
    assert [next(results)[1].frame_idx for _ in range(3)] == [2, 2, 2]
    assert sorted(calls) == sorted([CALLS[0], *CALLS[1:] * 2])


def test_what_is_wrong_is_said_before_anything_changes(predictor: VideoPredictor) -> None:
    states = started(predictor, plain(2))
    states[1].reset()
    before = states[0].to_bytes()
    with pytest.raises(NoPromptError, match="video 1: nothing to track"):
        predictor.propagate_in_videos(states)
    with pytest.raises(ValueError, match="the same session is there twice"):
        predictor.propagate_in_videos([states[0], states[0]])
    with pytest.raises(ValueError, match="video 0: frame_idx 77 is outside the video"):
        predictor.propagate_in_videos(states[:1], 77)
    with pytest.raises(ValueError, match="direction must be one of"):
        predictor.propagate_in_videos(states[:1], direction="up")  # type: ignore[arg-type]
    assert states[0].to_bytes() == before
    assert list(predictor.propagate_in_videos([])) == []


def breaking(clip: np.ndarray, after: int) -> Iterator[np.ndarray]:
    yield from clip[:after]
    raise OSError("the camera is gone")


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sam2v-prefetch"]


def test_one_that_fails_leaves_the_others(predictor: VideoPredictor) -> None:
    def states() -> list[Session]:
        broken = predictor.init_state(breaking(drawn_clip(FRAMES), 3))
        predictor.add_points(broken, 0, 1, [(20, 20)])
        return [*started(predictor, plain(1)), broken]

    errors, seen = [], []
    for index, result in predictor.propagate_in_videos(states(), on_error=lambda n, e: errors.append((n, str(e)))):
        seen.append((index, result.frame_idx))
    assert errors == [(1, "the camera is gone")]
    assert seen == [(n, t) for t in range(3) for n in range(2)] + [(0, 3), (0, 4), (0, 5)]
    with pytest.raises(OSError, match="the camera is gone"):
        list(predictor.propagate_in_videos(states()))
    results = predictor.propagate_in_videos(states())
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert not readers()


def test_a_memory_that_cannot_be_made_again_is_one_video_s_matter(
    predictor: VideoPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going back over a video whose earlier frames are gone fails for that video alone, and before it has changed."""
    states = started(predictor, plain(2))
    list(predictor.propagate_in_videos(states))
    for state in states:
        for track in state.tracks.values():
            track.replace_entries(lambda entry: entry.with_memory(None))
        state.features.encoded.clear()
    gone, before = states[1].frames, states[1].to_bytes()
    monkeypatch.setattr(type(gone), "__getitem__", reading_all_but(gone, 5))
    errors = predictor.engine.step_together([Step(state, 5, False) for state in states])
    assert list(errors) == [1] and isinstance(errors[1], OSError)
    assert states[1].to_bytes() == before


def reading_all_but(gone: Any, left: int) -> Callable[[Any, int], np.ndarray]:
    """Reading frames, of one source only one of them."""
    real = type(gone).__getitem__

    def read(source: Any, index: int) -> np.ndarray:
        if source is gone and index != left:
            raise OSError("gone")
        return real(source, index)  # type: ignore[no-any-return]

    return read


# -- threads -----------------------------------------------------------------------------------------------------------


def in_threads(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """What works give, or raise, each in a thread of its own."""
    found: list[Any] = [None] * len(works)

    def run(number: int) -> None:
        try:
            found[number] = works[number]()
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_threads_share_batches(network: Sam2Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and a live stream, whose batches have both as soon as both are there."""
    predictor, clip = VideoPredictor(network), drawn_clip(FRAMES, seed=1)
    together = threading.Barrier(2)

    def file() -> list[MaskletFrame]:
        state = begin(predictor, 0, plain(1)[0])
        with predictor.sharing_batches():
            together.wait()
            return list(predictor.propagate_in_video(state))

    def live() -> list[MaskletFrame]:
        state = predictor.init_state(None)
        predictor.add_points(state, 0, 1, [(20, 20)])
        with predictor.sharing_batches():
            together.wait()
            return [predictor.track(state, frame) for frame in clip]

    expected = []
    for work in (file, live):
        together.wait = lambda: 0  # type: ignore[method-assign,assignment]
        expected.append(work())
    together, sizes, make = threading.Barrier(2), [], predictor.engine.step_together

    def watched(steps: Sequence[Step]) -> dict[int, Exception]:
        sizes.append(len(steps))
        return make(steps)

    predictor.engine.shared = sharing.SharedSteps(watched)
    monkeypatch.setattr(sharing, "PATIENCE", 60.0)
    for found, wanted in zip(in_threads([file, live]), expected, strict=True):
        close(found, wanted)
    assert sizes.count(2) >= FRAMES - 1 and sum(sizes) <= 2 * FRAMES


def test_a_thread_that_does_something_else_is_not_waited_for(
    predictor: VideoPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "PATIENCE", 0.01)
    (state,) = started(predictor, plain(1))

    def work() -> int:
        with predictor.sharing_batches():
            return len(list(predictor.propagate_in_video(state)))

    with predictor.sharing_batches():
        assert in_threads([work]) == [FRAMES]


def test_those_who_take_part_can_be_stopped(network: Sam2Network) -> None:
    predictor = VideoPredictor(network)
    states = started(predictor, plain(2))

    def work() -> list[MaskletFrame]:
        with predictor.sharing_batches():
            results = predictor.propagate_in_video(states[0])
            first = next(results)
            predictor.engine.shared.end()
            return [first, *results]

    (error,) = in_threads([work])
    assert isinstance(error, StoppedError)
    assert len(list(predictor.propagate_in_video(states[1]))) == FRAMES  # who takes no part goes on


def test_an_error_of_the_network_reaches_everybody(network: Sam2Network, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, together = VideoPredictor(network), threading.Barrier(2)
    states = started(predictor, plain(2))
    monkeypatch.setattr(sharing, "PATIENCE", 60.0)

    def broken(*args: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Backend, "read_memory", broken)

    def work(state: Session) -> Any:
        with predictor.sharing_batches():
            together.wait()
            return list(predictor.propagate_in_video(state))

    found = in_threads([lambda: work(states[0]), lambda: work(states[1])])
    assert [str(error) for error in found] == ["out of memory"] * 2
