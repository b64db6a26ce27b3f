"""What must not change the numbers: streaming, batching, saving, threads, spilling."""

from __future__ import annotations

import copy
import threading
import unittest.mock
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sam2v import MaskletFrame, VideoPredictor
from sam2v.backends.base import Backend
from sam2v.memory import Pool

FRAMES = 17  # at least as many as the pointer limit, see VideoPredictor.init_state: num_frames


def close(a: MaskletFrame, b: MaskletFrame, tolerance: float = 1e-5) -> None:
    assert (a.frame_idx, a.obj_ids) == (b.frame_idx, b.obj_ids)
    for mine, other in ((a.masks, b.masks), (a.iou, b.iou), (a.object_score, b.object_score)):
        torch.testing.assert_close(mine, other, atol=tolerance, rtol=0)


def stream(
    predictor: VideoPredictor, clip: np.ndarray, prompts: dict[int, list], num_frames: int | None = None
) -> list:
    """Feed a clip frame by frame; prompts of a frame are given right after it arrived."""
    state, results = predictor.init_state(None, num_frames=num_frames), []
    for index, frame in enumerate(clip):
        result = predictor.track(state, frame)
        for obj_id, points in prompts.get(index, []):
            result = predictor.add_points(state, index, obj_id, points)
        results.append(result)
    return results


@settings(max_examples=3)
@given(
    first=st.integers(0, 3),
    points=st.lists(st.tuples(st.integers(0, 63), st.integers(0, 47)), min_size=1, max_size=3),
)
def test_live_equals_offline(predictor: VideoPredictor, clip: np.ndarray, first: int, points: list) -> None:
    live = stream(predictor, clip, {first: [(1, points), (2, [(40, 30)])]})
    state = predictor.init_state(clip)
    predictor.add_points(state, first, 1, points)
    predictor.add_points(state, first, 2, [(40, 30)])
    offline = list(predictor.propagate_in_video(state))
    assert len(offline) == FRAMES - first
    for result in offline:
        close(live[result.frame_idx], result)


def test_live_equals_offline_for_a_short_video_of_announced_length(predictor: VideoPredictor, clip: np.ndarray) -> None:
    live = stream(predictor, clip[:6], {0: [(1, [(20, 20)])]}, num_frames=6)
    state = predictor.init_state(clip[:6])
    predictor.add_points(state, 0, 1, [(20, 20)])
    for result in predictor.propagate_in_video(state):
        close(live[result.frame_idx], result)


@pytest.mark.parametrize("together", [2, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_frames_encoded_together_give_what_single_ones_give(
    predictor: VideoPredictor, clip: np.ndarray, together: int, reverse: bool
) -> None:
    results, batches, encode = [], [], Backend.encode_image
    for count in (1, together):
        tracker = VideoPredictor(predictor.model, frames_per_encoding=count)
        state = tracker.init_state(clip)
        tracker.add_points(state, 8, 1, [(20, 20)])
        with unittest.mock.patch.object(
            Backend, "encode_image", lambda backend, x: (batches.append(len(x)), encode(backend, x))[1]
        ):
            results.append(list(tracker.propagate_in_video(state, reverse=reverse)))
        assert max(batches) == count
    assert len(results[0]) == 9
    for one, other in zip(*results, strict=True):
        close(one, other, 1e-4)


def test_frames_before_one_that_cannot_be_read_are_tracked(predictor: VideoPredictor, clip: np.ndarray) -> None:
    tracker = VideoPredictor(predictor.model, frames_per_encoding=4)

    def frames() -> Iterator[np.ndarray]:
        yield from clip[:6]
        raise OSError("the camera is gone")

    state = tracker.init_state(frames())
    tracker.add_points(state, 0, 1, [(20, 20)])
    seen = []
    with pytest.raises(OSError, match="the camera is gone"):
        for result in tracker.propagate_in_video(state):
            seen.append(result.frame_idx)
    assert seen == [0, 1, 2, 3, 4, 5]


def test_a_stream_and_an_iterator_give_what_an_array_gives(predictor: VideoPredictor, clip: np.ndarray) -> None:
    results = []
    for source in (clip, iter(clip)):
        state = predictor.init_state(source)
        predictor.add_points(state, 0, 1, [(20, 20)])
        results.append(list(predictor.propagate_in_video(state)))
    assert len(results[0]) == len(results[1]) == FRAMES
    for a, b in zip(*results, strict=True):
        close(a, b)


@settings(max_examples=3)
@given(
    order=st.permutations([1, 2, 3]),
    frames=st.lists(st.integers(0, 5), min_size=3, max_size=3),
    reverse=st.booleans(),
)
def test_batch_equals_one_by_one(
    predictor: VideoPredictor, clip: np.ndarray, order: list[int], frames: list[int], reverse: bool
) -> None:
    prompts = {obj_id: (frame, [(12 * obj_id, 10 * obj_id)]) for obj_id, frame in zip(order, frames, strict=True)}
    start = 8 if reverse else 0

    def run(ids: list[int]) -> list[MaskletFrame]:
        state = predictor.init_state(clip)
        for obj_id in ids:
            predictor.add_points(state, prompts[obj_id][0], obj_id, prompts[obj_id][1])
        return list(
            predictor.propagate_in_video(state, start_frame_idx=start, max_frame_num_to_track=8, reverse=reverse)
        )

    together = run(order)
    for row, obj_id in enumerate(order):
        for a, b in zip(together, run([obj_id]), strict=True):
            torch.testing.assert_close(a.masks[row], b.masks[0], atol=1e-4, rtol=0)
            torch.testing.assert_close(a.object_score[row], b.object_score[0], atol=1e-5, rtol=0)


def test_eight_objects_are_one_call_per_network_part(
    predictor: VideoPredictor, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = predictor.init_state(clip[:4])
    for obj_id in range(8):
        predictor.add_points(state, obj_id % 2, obj_id + 1, [(6 * obj_id + 4, 20)])
    list(predictor.propagate_in_video(state, max_frame_num_to_track=1))
    calls = []
    for name in ("encode_image", "read_memory", "decode_prompts", "write_memory"):
        original = getattr(Backend, name)

        def counted(*args: object, _name: str = name, _original: object = original, **kwargs: object) -> object:
            calls.append(_name)
            return _original(*args, **kwargs)  # type: ignore[operator]

        monkeypatch.setattr(Backend, name, counted)
    (result,) = predictor.track_frames(state, [2])
    assert len(result.obj_ids) == 8
    assert calls == ["encode_image", "read_memory", "decode_prompts", "write_memory"]


@settings(max_examples=3)
@given(stop=st.integers(1, 12), history=st.sampled_from(["full", "window"]))
def test_saved_and_loaded_equals_never_interrupted(
    predictor: VideoPredictor, clip: np.ndarray, tmp_path_factory: pytest.TempPathFactory, stop: int, history: str
) -> None:
    def begin() -> object:
        state = predictor.init_state(clip, history=history)
        predictor.add_points(state, 0, 1, [(20, 20)])
        predictor.add_mask(state, 1, 2, clip[1, :, :, 0] > 128)
        return state

    file = tmp_path_factory.mktemp("session") / "a.session"
    state, other = begin(), begin()
    list(predictor.track_frames(state, range(stop)))
    list(predictor.track_frames(other, range(stop)))
    predictor.add_points(other, stop - 1, 1, [(30, 30)], [0])  # a pending answer is saved as well
    predictor.add_points(state, stop - 1, 1, [(30, 30)], [0])
    predictor.save_session(other, file)
    loaded = predictor.load_session(file, clip)
    rest = zip(
        predictor.track_frames(state, range(stop, FRAMES)),
        predictor.track_frames(loaded, range(stop, FRAMES)),
        strict=True,
    )
    for a, b in rest:
        close(a, b, tolerance=0)


def test_a_session_belongs_to_its_video_and_weights(
    predictor: VideoPredictor, clip: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(clip):
        Image.fromarray(frame).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    state = predictor.init_state("frames")
    predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.save_session(state, "a.session")
    monkeypatch.chdir("/")
    assert predictor.load_session(tmp_path / "a.session").obj_ids == [1]
    with pytest.raises(ValueError, match=f"saved for a video of {len(clip)} frames, this one has 2"):
        predictor.load_session(tmp_path / "a.session", clip[:2])
    other = copy.deepcopy(predictor.model)
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    with pytest.raises(ValueError, match="other weights"):
        VideoPredictor(other).load_session(tmp_path / "a.session")
    (tmp_path / "odd.session").write_bytes(b"\x10\0\0\0\0\0\0\0" + b"{}" + b" " * 14)
    with pytest.raises(ValueError, match="not a session file"):
        predictor.load_session(tmp_path / "odd.session")


def test_a_session_of_one_picture_knows_it(predictor: VideoPredictor, clip: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(clip[0]).save(tmp_path / "photo.png")
    state = predictor.init_state(tmp_path / "photo.png")
    predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.save_session(state, tmp_path / "a.session")
    assert predictor.load_session(tmp_path / "a.session").obj_ids == [1]


def test_a_live_session_is_saved_with_its_window(predictor: VideoPredictor, clip: np.ndarray, tmp_path: Path) -> None:
    state = predictor.init_state(None, window=3)
    for frame in clip[:5]:
        predictor.track(state, frame)
    predictor.save_session(state, tmp_path / "live")
    loaded = predictor.load_session(tmp_path / "live")
    answers = [predictor.add_points(s, 3, 1, [(20, 20)]) for s in (state, loaded)]
    close(*answers, tolerance=0)
    close(predictor.track(state, clip[5]), predictor.track(loaded, clip[5]), tolerance=0)
    with pytest.raises(ValueError, match="has left the stream's window"):
        predictor.add_points(loaded, 1, 1, [(20, 20)])


def test_two_threads_equal_one_after_the_other(predictor: VideoPredictor, clip: np.ndarray) -> None:
    def run(seed: int) -> list[MaskletFrame]:
        state = predictor.init_state(clip if seed == 0 else clip[::-1].copy())
        predictor.add_points(state, 0, 1, [(20 + 10 * seed, 20)])
        return list(predictor.propagate_in_video(state))

    alone = [run(0), run(1)]
    found: dict[int, list[MaskletFrame]] = {}
    threads = [threading.Thread(target=lambda s=seed: found.update({s: run(s)})) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (0, 1):
        for a, b in zip(alone[seed], found[seed], strict=True):
            close(a, b)


def test_spilled_history_equals_history_in_memory(predictor: VideoPredictor, clip: np.ndarray) -> None:
    results = []
    for budget in (None, 0):
        predictor = VideoPredictor(predictor.model, pool=Pool(host_bytes=budget))
        state = predictor.init_state(clip)
        predictor.add_points(state, 0, 1, [(20, 20)])
        first = list(predictor.propagate_in_video(state))
        predictor.add_points(state, 10, 1, [(40, 30)], [0])
        results.append(first + list(predictor.propagate_in_video(state, start_frame_idx=9)))
        assert (predictor.pool.file_bytes > 0) == (budget == 0)
    for a, b in zip(*results, strict=True):
        close(a, b, tolerance=0)


def test_window_equals_full_going_forward(predictor: VideoPredictor, clip: np.ndarray) -> None:
    results = []
    for history in ("full", "window"):
        state = predictor.init_state(clip, history=history)
        predictor.add_points(state, 0, 1, [(20, 20)])
        results.append(list(predictor.propagate_in_video(state)))
    assert len(state.tracks[1].bank.history) <= 16
    for a, b in zip(*results, strict=True):
        close(a, b, tolerance=0)


def test_adding_an_object_in_mid_track_leaves_the_others_alone(predictor: VideoPredictor, clip: np.ndarray) -> None:
    def run(add: bool) -> list[MaskletFrame]:
        state = predictor.init_state(clip)
        predictor.add_points(state, 0, 1, [(20, 20)])
        results = list(predictor.propagate_in_video(state, max_frame_num_to_track=5))
        if add:
            predictor.add_points(state, 5, 9, [(40, 30)])
        return results + list(predictor.track_frames(state, range(6, 12)))

    for a, b in zip(run(False), run(True), strict=True):
        torch.testing.assert_close(a.masks[0], b.masks[0], atol=1e-4, rtol=0)
