"""What the video predictor refuses, and that it changes nothing when it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from models import nano_by_rule

from sam2v import VideoPredictor
from sam2v.model.network import Sam2Network
from sam2v.tracking.engine import NoPromptError
from sam2v.tracking.session import Session

FRAMES, HEIGHT, WIDTH = 5, 48, 64
Call = Callable[[VideoPredictor, Session], Any]


@pytest.fixture(scope="module")
def model() -> Sam2Network:
    return nano_by_rule()


@pytest.fixture(scope="module")
def predictor(model: Sam2Network) -> VideoPredictor:
    return VideoPredictor(model)


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return drawn_clip(FRAMES, HEIGHT, WIDTH)


def begun(predictor: VideoPredictor, clip: np.ndarray) -> Session:
    """A session with a tracked object and, on a later frame, a prompt that is not propagated yet."""
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [[20, 20]])
    list(predictor.propagate_in_video(state, max_frame_num_to_track=2))
    predictor.add_box(state, 3, 2, [30, 10, 60, 40])
    return state


def points(*args: Any, **kwargs: Any) -> Call:
    return lambda predictor, state: predictor.add_points(state, *args, **kwargs)


def box(*args: Any) -> Call:
    return lambda predictor, state: predictor.add_box(state, *args)


def mask(*args: Any) -> Call:
    return lambda predictor, state: predictor.add_mask(state, *args)


def propagate(**kwargs: Any) -> Call:
    return lambda predictor, state: list(predictor.propagate_in_video(state, **kwargs))


REFUSED: list[tuple[Call, type[Exception], str]] = [
    (points(0, 1), ValueError, "at least one of points and box"),
    (points(0, 1, []), ValueError, "points"),
    (points(0, 1, [[4, 10]], [-1]), ValueError, "at least one point or a box"),
    (points(0, 1, [[np.nan, 2]]), ValueError, "NaN or infinity"),
    (points(0, 1, [[1, 2, 3]]), ValueError, "points must have shape P x 2"),
    (points(0, 1, np.ones((2, 3, 2))), ValueError, "P x 2 for one object, got 2 x 3 x 2"),
    (points(0, 1, "there"), TypeError, "points must be numbers"),
    (points(0, 1, [[1, 2]], [1, 1]), ValueError, "one entry per point: 1 expected, got 2"),
    (points(0, 1, [[1, 2]], [7]), ValueError, "unknown label 7"),
    (points(0, 1, labels=[1]), ValueError, "labels were given without points"),
    (points(0, 1, [[WIDTH + 1, 2]]), ValueError, r"point \(65, 2\) lies outside the frame of 64 x 48"),
    (points(0, 1, [[2, -0.5]]), ValueError, "lies outside"),
    (points(0, 1, [[2, 3]], normalize_coords=False), ValueError, "outside the unit square"),
    (points(FRAMES, 1, [[2, 3]]), ValueError, r"frame_idx 5 is outside the video of 5 frames \(0 to 4\)"),
    (points(-1, 1, [[2, 3]]), ValueError, "frame_idx -1 is outside"),
    (points(1.0, 1, [[2, 3]]), TypeError, "frame_idx must be an integer, got 1.0"),
    (points(True, 1, [[2, 3]]), TypeError, "frame_idx must be an integer"),
    (points(0, "dog", [[2, 3]]), TypeError, "obj_id must be an integer, got 'dog'"),
    (points(0, 1, [[2, 3]], box=[1, 1, 9, 9], clear_old_points=False), ValueError, "clear_old_points=True"),
    (points(0, 9, [[np.nan, 2]]), ValueError, "NaN"),  # a new object
    (box(0, 1, [30, 5, 20, 9]), ValueError, "x1 must exceed x0"),
    (box(0, 1, [70, 5, 200, 9]), ValueError, r"box \(70, 5\)-\(200, 9\) lies outside the frame of 64 x 48 pixels"),
    (box(0, 1, [[3, 5, 20, 9]] * 2), ValueError, "one box"),
    (box(0, 1, [3, 5, 20]), ValueError, "box must be"),
    (box(0, 9, None), ValueError, "at least one of points and box"),
    (mask(0, 1, np.zeros(4)), ValueError, "mask must have shape H x W, got 4"),
    (mask(0, 1, np.zeros((0, 4))), ValueError, "mask must have shape H x W, got 0 x 4"),
    (mask(0, 1, np.full((4, 4), np.nan)), ValueError, "mask must be finite"),
    (mask(0, 1, [["a"]]), TypeError, "mask must be numbers"),
    (mask(0, 1, "painted.png"), TypeError, "mask must be numbers in an array, tensor or list, got str"),
    (mask(9, 1, np.ones((HEIGHT, WIDTH))), ValueError, "frame_idx 9 is outside"),
    (lambda p, s: p.clear_all_prompts_in_frame(s, 0, 9), KeyError, r"unknown object 9; known: \[1, 2\]"),
    (lambda p, s: p.clear_all_prompts_in_frame(s, 9, 1), ValueError, "frame_idx 9 is outside"),
    (lambda p, s: p.remove_object(s, 9, strict=True), KeyError, "unknown object 9"),
    (lambda p, s: p.remove_object(s, None), TypeError, "obj_id must be an integer"),
    (lambda p, s: p.scores(s, 7), ValueError, "frame_idx 7 is outside"),
    (lambda p, s: p.result(s, 7), ValueError, "frame_idx 7 is outside"),
    (lambda p, s: p.track(s, np.zeros((HEIGHT, WIDTH, 3), np.uint8)), ValueError, "track.. is for live streams"),
    (propagate(start_frame_idx=5), ValueError, "frame_idx 5 is outside"),
    (propagate(start_frame_idx="a"), TypeError, "frame_idx must be an integer"),
    (propagate(max_frame_num_to_track=-1), ValueError, "must not be negative"),
    (propagate(max_frame_num_to_track=1.5), TypeError, "max_frame_num_to_track must be an integer"),
    (propagate(direction="sideways"), ValueError, "direction must be one of forward, reverse, both"),
    (lambda p, s: p.save_session(s, "/dev/null/x"), OSError, "."),
]


@pytest.mark.parametrize(("call", "kind", "words"), REFUSED)
def test_refused(
    predictor: VideoPredictor, shared_session: Session, call: Call, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        call(predictor, shared_session)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def shared_session(predictor: VideoPredictor, clip: np.ndarray) -> Session:
    return begun(predictor, clip)


def test_refused_calls_change_nothing(predictor: VideoPredictor, clip: np.ndarray) -> None:
    untouched, state = begun(predictor, clip), begun(predictor, clip)
    for call, kind, _ in REFUSED:
        with pytest.raises(kind):
            call(predictor, state)
    assert state.obj_ids == untouched.obj_ids == [1, 2]
    assert [t.prompted_frames() for t in state.tracks.values()] == [[0], [3]]
    runs = (predictor.propagate_in_video(s, direction="both") for s in (untouched, state))
    for a, b in zip(*runs, strict=True):
        assert a.frame_idx == b.frame_idx and torch.equal(a.masks, b.masks)


def test_nothing_to_propagate(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    with pytest.raises(NoPromptError, match="nothing to track: prompt an object"):
        list(predictor.propagate_in_video(state))
    predictor.add_points(state, 0, 1, [[20, 20]])
    predictor.add_points(state, 1, 2, [[40, 30]])
    predictor.clear_all_prompts_in_frame(state, 1, 2)
    with pytest.raises(NoPromptError, match="object 2 has no prompt: add one, or remove the object"):
        list(predictor.propagate_in_video(state))
    predictor.remove_object(state, 2)
    assert len(list(predictor.propagate_in_video(state))) == FRAMES
    with pytest.raises(NoPromptError, match="all objects were removed"):
        for _ in predictor.propagate_in_video(state):
            predictor.remove_object(state, 1)


def test_nothing_before_the_first_frame(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [[20, 20]])
    with pytest.warns(UserWarning, match="reverse tracking from frame 0 yields nothing"):
        assert list(predictor.propagate_in_video(state, reverse=True)) == []


def test_an_unknown_object_is_removed_without_ado(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = begun(predictor, clip)
    assert predictor.remove_object(state, 9) == ([1, 2], [])


def test_live_streams(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(None, window=2, num_frames=4)
    with pytest.raises(ValueError, match="none has arrived yet"):
        predictor.result(state, 0)
    with pytest.raises(NoPromptError):
        list(predictor.propagate_in_video(state))
    predictor.track(state, clip[0])
    for wrong, kind, words in (
        (clip[0, :, :40], ValueError, "frame 1 of the stream is 40 x 48 pixels, the earlier ones are 64 x 48"),
        (clip, ValueError, "got shape"),
        (None, TypeError, "NoneType"),
    ):
        with pytest.raises(kind, match=words):
            predictor.track(state, wrong)
    with pytest.raises(ValueError, match="frame 1 has not arrived yet; the newest is 0"):
        predictor.result(state, 1)
    with pytest.raises(ValueError, match="outside the stream, announced with 4 frames"):
        predictor.add_points(state, 4, 1, [[20, 20]])
    with pytest.raises(ValueError, match="lies outside the frame"):  # before its frame comes
        predictor.add_points(state, 1, 1, [[200, 20]])
    predictor.track(state, clip[1])
    predictor.track(state, clip[2])
    with pytest.raises(ValueError, match="frame 0 has left the stream's window: frames 1 to 2 can be prompted"):
        predictor.add_points(state, 0, 1, [[20, 20]])
    assert state.obj_ids == [] and predictor.track(state, clip[3]).masks.shape == (0, 1, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="announced with 4 frames and has ended"):
        predictor.track(state, clip[4])
    predictor.add_points(state, 3, 1, [[20, 20]])
    assert state.obj_ids == [1]
    with pytest.raises(ValueError, match="at least 1 frame"):
        predictor.init_state(None, window=0)


def test_an_iterator_that_has_gone_on(predictor: VideoPredictor, clip: np.ndarray) -> None:
    long = np.concatenate([clip] * 8)
    state = predictor.init_state(iter(long))
    predictor.add_points(state, 0, 1, [[20, 20]])
    first = list(predictor.propagate_in_video(state))
    assert len(first) == len(long)
    with pytest.raises(ValueError, match="frame 2 is no longer kept: this stream keeps its newest 32 frames"):
        predictor.add_points(state, 2, 2, [[20, 20]])
    assert state.obj_ids == [1]
    assert predictor.add_points(state, len(long) - 1, 2, [[20, 20]]).obj_ids == [1, 2]


def test_sources(predictor: VideoPredictor, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "nothing").mkdir()
    wrong: list[tuple[Any, type[Exception], str]] = [
        (tmp_path / "missing.mp4", FileNotFoundError, "no such file or folder"),
        (str(tmp_path / "empty.mp4"), ValueError, "the file is empty"),
        (tmp_path / "nothing", ValueError, "holds no images"),
        ([], ValueError, "the sequence is empty"),
        (iter([]), ValueError, "the iterator gave none"),
        (np.zeros((4, 5, 3), np.uint8), ValueError, "got one image"),
        (np.zeros((2, 4, 5, 3), np.int32), TypeError, "int32"),
        ({"frames": 1}, TypeError, "cannot open a video from dict"),
        (7, TypeError, "cannot open a video from int"),
    ]
    for source, kind, words in wrong:
        with pytest.raises(kind, match=words):
            predictor.init_state(source)
    good = np.zeros((2, 4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="history must be 'full' or 'window', got 'all'"):
        predictor.init_state(good, history="all")
    with pytest.raises(ValueError, match="num_frames is for live streams"):
        predictor.init_state(good, num_frames=2)
    with pytest.raises(ValueError, match="must not be negative"):
        predictor.init_state(good, memory_budget=-1)


def test_frames_of_different_sizes(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state([clip[0], clip[1], clip[2, :40], clip[3]])
    predictor.add_points(state, 0, 1, [[20, 20]])
    results = []
    with pytest.raises(ValueError, match="frame 00002 is 64 x 40 pixels, but the first is 64 x 48"):
        for result in predictor.propagate_in_video(state):
            results.append(result.frame_idx)
    assert results == [0, 1]
    assert predictor.result(state, 1).masks.shape == (1, 1, HEIGHT, WIDTH)


def test_making_a_predictor(model: Sam2Network) -> None:
    with pytest.raises(TypeError, match=r"model must come from sam2v\.load_model, got str"):
        VideoPredictor("sam2v_nano")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unknown option 'fill_holes'; known: non_overlap_masks"):
        VideoPredictor(model, fill_holes=8)
    with pytest.raises(TypeError, match="non_overlap_masks must be bool, got 1"):
        VideoPredictor(model, non_overlap_masks=1)
    with pytest.raises(ValueError, match="fill_hole_area must not be negative, got -1"):
        VideoPredictor(model, fill_hole_area=-1)
    with pytest.raises(ValueError, match=r"max_cond_frames_in_attn must be -1 \(all\) or at least 2, got 1"):
        VideoPredictor(model, max_cond_frames_in_attn=1)
    with pytest.raises(ValueError, match="resize must be one of host, device, got 'gpu'"):
        VideoPredictor(model, resize="gpu")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="frames_per_encoding must be at least 1, got 0"):
        VideoPredictor(model, frames_per_encoding=0)
    with pytest.raises(ValueError, match="memory_temporal_stride_for_eval must be at least 1"):
        VideoPredictor(model, memory_temporal_stride_for_eval=0)


def test_session_files(predictor: VideoPredictor, model: Sam2Network, clip: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.session"
    predictor.save_session(begun(predictor, clip), path)
    (tmp_path / "text").write_text("not a session")
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-200])
    torch.save({"format": 99}, tmp_path / "newer")
    for name, kind, words in (
        ("missing", FileNotFoundError, "no session file"),
        ("text", ValueError, "not a session file"),
        ("cut", ValueError, "not a session file"),
        ("newer", ValueError, "not a session file of this version"),
        ("a.session", ValueError, "the session's video was neither a file nor a folder: give it as source"),
    ):
        with pytest.raises(kind, match=words):
            predictor.load_session(tmp_path / name)
    with pytest.raises(ValueError, match="saved for a video of 64 x 48 pixels, this one has 32 x 48"):
        predictor.load_session(path, clip[:, :, :32])
    with pytest.raises(ValueError, match=r"saved with other options: fill_hole_area \(8, now 0\) differ"):
        VideoPredictor(model, fill_hole_area=0).load_session(path, clip)
    with pytest.raises(ValueError, match=r"saved with other model: image_size \(96, now 128\) differ"):
        VideoPredictor(nano_by_rule(overrides=["model.image_size=128"])).load_session(path, clip)
    live = predictor.init_state(None)
    predictor.track(live, clip[0])
    predictor.save_session(live, tmp_path / "live")
    with pytest.raises(ValueError, match="belongs to a live stream: it takes no source"):
        predictor.load_session(tmp_path / "live", clip)


def test_a_full_disk_leaves_the_earlier_session_file(
    predictor: VideoPredictor, clip: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, path = begun(predictor, clip), tmp_path / "a.session"
    predictor.save_session(state, path)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sam2v.tracking.session_file.write_packed", full)
    with pytest.raises(OSError, match=r"cannot write .*a\.session: No space left on device"):
        predictor.save_session(state, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_calls_from_two_threads_on_one_session_take_turns(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state, errors = begun(predictor, clip), []

    def prompt(obj_id: int) -> None:
        try:
            for frame_idx in range(3):
                predictor.add_points(state, frame_idx, obj_id, [[10 * obj_id, 20]])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=prompt, args=(obj_id,)) for obj_id in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and sorted(state.obj_ids) == [1, 2, 3, 4]
