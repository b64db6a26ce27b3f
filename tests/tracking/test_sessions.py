"""Sessions as values: copied, pickled, as bytes, closed; prompts of many objects at once."""

from __future__ import annotations

import copy
import json
import operator
import pickle
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import sam2v
from sam2v import Prompt, Session, VideoPredictor
from sam2v.backends.base import Backend
from sam2v.memory import Pool
from sam2v.tracking.origin import Origin
from sam2v.video.sources import ArraySource

FRAMES = 9


def begun(predictor: VideoPredictor, source: object, frames: int = 4) -> Session:
    """Two objects, tracked through some frames, with a correction that waits."""
    state = predictor.init_state(source)
    predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.add_mask(state, 1, 2, drawn_clip(2)[1, :, :, 0] > 128)
    list(predictor.track_frames(state, range(frames)))
    predictor.add_points(state, frames - 1, 1, [(30, 30)], [0])
    return state


def rest(predictor: VideoPredictor, state: Session, start: int = 4) -> torch.Tensor:
    return torch.stack([r.masks for r in predictor.track_frames(state, range(start, FRAMES))])


# -- many prompts at once ----------------------------------------------------------------------------------------------


@settings(max_examples=4)
@given(
    kinds=st.lists(st.sampled_from(["click", "clicks", "box", "mask", "mask and click"]), min_size=2, max_size=6),
    tracked=st.booleans(),
)
def test_prompts_together_equal_one_by_one(
    predictor: VideoPredictor, clip: np.ndarray, kinds: list[str], tracked: bool
) -> None:
    mask = np.zeros(clip.shape[1:3], bool)
    mask[10:30, 10:40] = True
    made = {
        "click": lambda n: Prompt(points=[(5 * n + 3, 20)]),
        "clicks": lambda n: Prompt(points=[(5 * n + 3, 20), (40, 30)], labels=[1, 0]),
        "box": lambda n: Prompt(box=(4 * n, 5, 4 * n + 20, 40)),
        "mask": lambda n: Prompt(mask=np.roll(mask, n, 1)),
        "mask and click": lambda n: Prompt(points=[(50, 40)], mask=np.roll(mask, n, 1)),
    }
    prompts = {n + 1: made[kind](n) for n, kind in enumerate(kinds)}
    states = [predictor.init_state(clip) for _ in range(2)]
    if tracked:
        for state in states:
            predictor.add_points(state, 0, 1, [(20, 20)])
            list(predictor.track_frames(state, range(4)))
    together = predictor.add_prompts(states[0], 3, prompts)
    for obj_id, prompt in prompts.items():
        alone = predictor.add_prompts(states[1], 3, {obj_id: prompt})
    assert together.obj_ids == alone.obj_ids
    torch.testing.assert_close(together.masks, alone.masks, atol=1e-4, rtol=0)
    torch.testing.assert_close(rest(predictor, states[0]), rest(predictor, states[1]), atol=2e-4, rtol=0)


def test_a_hundred_masks_are_one_call_and_no_large_logits(
    predictor: VideoPredictor, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("encode_image", "read_memory", "decode_prompts", "point_to_mask", "write_memory"):
        real = getattr(Backend, name)
        monkeypatch.setattr(Backend, name, lambda *a, _n=name, _r=real, **k: (calls.append(_n), _r(*a, **k))[1])
    enlarged = []
    real = sam2v.masks.logits.enlarged
    monkeypatch.setattr("sam2v.masks.logits.enlarged", lambda *a: (enlarged.append(1), real(*a))[1])
    square = np.zeros((48, 64), bool)
    square[:12, :12] = True
    masks = {n: Prompt(mask=np.roll(square, (n % 36, n % 52), (0, 1))) for n in range(1, 101)}
    state = predictor.init_state(clip)
    result = predictor.add_prompts(state, 0, masks)
    assert calls == ["encode_image", "point_to_mask"] and not enlarged
    assert result.obj_ids == list(masks) and result.low_res.shape == (100, 1, 24, 24)
    calls.clear()
    list(predictor.track_frames(state, [0, 1]))
    assert calls == ["write_memory", "encode_image", "read_memory", "decode_prompts", "write_memory"]
    assert not enlarged, "nobody asked for masks"


def test_one_wrong_prompt_refuses_all(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    for wrong, kind in ((Prompt(points=[(1, float("nan"))]), ValueError), (Prompt(), ValueError), ([1, 2], TypeError)):
        with pytest.raises(kind):
            predictor.add_prompts(state, 0, {1: Prompt(points=[(20, 20)]), 2: wrong})  # type: ignore[dict-item]
    assert state.obj_ids == []


# -- copies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "bytes", "file"])
@pytest.mark.parametrize("history", ["full", "window"])
def test_a_copy_goes_on_by_itself(
    predictor: VideoPredictor, clip: np.ndarray, tmp_path: Path, how: str, history: str
) -> None:
    state = predictor.init_state(clip, history=history)
    predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.add_box(state, 0, 5, (30, 20, 60, 44))
    list(predictor.track_frames(state, range(4)))
    predictor.add_points(state, 3, 1, [(30, 30)], [0])
    if how == "deepcopy":
        other = copy.deepcopy(state)
    elif how == "pickle":
        other = pickle.loads(pickle.dumps(state))
    elif how == "bytes":
        other = Session.from_bytes(state.to_bytes(), clip)
    else:
        predictor.save_session(state, tmp_path / "a.session")
        other = predictor.load_session(tmp_path / "a.session", clip)
    predictor.add_points(other, 3, 1, [(60, 10)], [0])  # tried out there
    predictor.remove_object(other, 5)
    changed = rest(predictor, other)
    twin = begin_again(predictor, clip, history)
    assert state.obj_ids == [1, 5]
    assert torch.equal(rest(predictor, state), rest(predictor, twin)), "the copy's changes stay with the copy"
    unchanged = torch.stack([predictor.result(state, t).masks[:1] for t in range(4, FRAMES)])
    assert not torch.equal(changed[:, :1], unchanged)


def begin_again(predictor: VideoPredictor, clip: np.ndarray, history: str) -> Session:
    state = predictor.init_state(clip, history=history)  # type: ignore[arg-type]
    predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.add_box(state, 0, 5, (30, 20, 60, 44))
    list(predictor.track_frames(state, range(4)))
    predictor.add_points(state, 3, 1, [(30, 30)], [0])
    return state


def test_bytes_know_their_video_and_model(predictor: VideoPredictor, clip: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(clip):
        Image.fromarray(frame).save(folder / f"{number}.png")
    data = begun(predictor, folder).to_bytes()
    restored = Session.from_bytes(data)
    assert torch.equal(rest(predictor, restored), rest(predictor, begun(predictor, folder)))
    with pytest.raises(ValueError, match="neither a file nor a folder: give it as source"):
        Session.from_bytes(begun(predictor, clip).to_bytes())
    with pytest.raises(ValueError, match="saved for a video of 64 x 48 pixels, this one has 32 x 24"):
        Session.from_bytes(data, clip[:, ::2, ::2])
    other = VideoPredictor(predictor.model, fill_hole_area=3)
    with pytest.raises(ValueError, match=r"other options: fill_hole_area \(8, now 3\) differ"):
        other.result(Session.from_bytes(data), 0)
    for wrong in (b"", b"text", data[:-100], data[:100]):
        with pytest.raises(ValueError, match="not a session file of this version"):
            Session.from_bytes(wrong)


def test_sessions_that_are_older_than_an_option(predictor: VideoPredictor, clip: np.ndarray) -> None:
    """They were made as its default makes them."""
    origin = begun(predictor, clip).origin
    record = copy.deepcopy(origin.record())
    del record["options"]["resize"]
    Origin.from_record(record).check(origin)
    other = VideoPredictor(predictor.model, resize="device")
    with pytest.raises(ValueError, match=r"other options: resize \('host', now 'device'\) differ"):
        other.result(Session.from_bytes(begun(predictor, clip).to_bytes(), clip), 0)


def test_damaged_records_are_refused(predictor: VideoPredictor, clip: np.ndarray) -> None:
    """Whatever a stranger changes in the record: a session, or one error."""
    data = begun(predictor, clip).to_bytes()
    length = int.from_bytes(data[:8], "little")
    rng = np.random.default_rng(0)
    for _ in range(60):
        wrong = bytearray(data)
        for place in rng.integers(8, 8 + length, 3):
            wrong[place] = int(rng.integers(32, 127))
        try:
            Session.from_bytes(bytes(wrong), clip)
        except ValueError as error:
            assert str(error)


def altered(data: bytes, place: str, value: str) -> bytes:
    """A session's bytes, of whose record one value is other JSON; its place is keys with a slash between them."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    record = json.loads(header["__metadata__"]["sam2v"])
    *way, last = (int(key) if key.isdecimal() else key for key in place.split("/"))
    reduce(operator.getitem, way, record)[last] = json.loads(value)
    header["__metadata__"]["sam2v"] = json.dumps(record)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@pytest.fixture(scope="module")
def saved(predictor: VideoPredictor, clip: np.ndarray) -> tuple[bytes, bytes]:
    """A session of a video, and one of a live stream."""
    state = predictor.init_state(None)
    for frame in clip[:3]:
        predictor.track(state, frame)
    predictor.add_points(state, 2, 1, [(20, 20)])
    predictor.add_points(state, 4, 1, [(20, 20)])
    return begun(predictor, clip).to_bytes(), state.to_bytes()


#: Keys of a record with values that cannot be; every value is refused with each of its keys.
NUMBERS = ["null", '"a"', "-1", "1.5", "Infinity", "1e400", "[1]", "{}", "true"]
WRONG = [
    *(("input/size", value) for value in ("null", "[1]", "[1048576, 1048576]", '["a", 96]', "[Infinity, 96]", "7")),
    *(("size", value) for value in ("null", "[1]", "[Infinity, 64]", '"48"', "[1.5, 64]", "[[48], 64]")),
    *(("video", value) for value in ("5", '["v.png"]', "{}", "true")),
    *(("announced_frames", value) for value in NUMBERS if value != "null"),
    *(("near", value) for value in ('["a"]', "[Infinity]", "5", "[[1]]")),
    *(("history", value) for value in ("[]", '"all"', "null", "{}")),
    *((f"origin/{part}", value) for part in ("model", "options", "policy") for value in ("5", "[]", "null")),
    *(("tracks/1/masks/0/1", value) for value in (*NUMBERS, "1048576")),
    *(("tracks/0/points/0", value) for value in ("Infinity", "[1]", '"a"')),
    *(("entries/0/facts", value) for value in ("5", '{"a": 1%s}' % ("0" * 400), '{"a": []}')),
    ("input/keep_aspect", "true"),
]
WRONG_LIVE = [
    *(
        (key, value)
        for key in ("live/count", "live/upcoming", "live/frames/0", "live/numbers/0/1")
        for value in NUMBERS
    ),
    *(("live/window", value) for value in NUMBERS),
    *(("announced_frames", value) for value in NUMBERS if value != "null"),
    *(("live/held/0/0", value) for value in NUMBERS),
    ("live/count", "0"),
]


@pytest.mark.parametrize(("live", "key", "value"), [(0, *w) for w in WRONG] + [(1, *w) for w in WRONG_LIVE])
def test_records_of_another_kind_are_refused(
    saved: tuple[bytes, bytes],
    predictor: VideoPredictor,
    clip: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    live: int,
    key: str,
    value: str,
) -> None:
    """One error, from bytes and from files, and the video that was opened for them is closed."""
    opened: list[ArraySource] = []
    closed: list[ArraySource] = []

    def opening(source: np.ndarray) -> ArraySource:
        opened.append(ArraySource(source))
        return opened[-1]

    monkeypatch.setattr("sam2v.video.sources.open_source", opening)
    monkeypatch.setattr(ArraySource, "close", lambda self: closed.append(self))
    source, wrong, path = None if live else clip, altered(saved[live], key, value), tmp_path / "session"
    path.write_bytes(wrong)
    with pytest.raises(ValueError, match=r"session|history must be"):
        Session.from_bytes(wrong, source)
    with pytest.raises(ValueError, match=r"session|history must be"):
        predictor.load_session(path, source)
    assert closed == opened


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_a_record_holds_is_a_session_or_one_error(
    saved: tuple[bytes, bytes], clip: np.ndarray, data: st.DataObject
) -> None:
    """Any value of a record in place of which there is any other JSON."""
    live = data.draw(st.integers(0, 1))
    length = int.from_bytes(saved[live][:8], "little")
    place: list[str] = []
    value = json.loads(json.loads(saved[live][8 : 8 + length])["__metadata__"]["sam2v"])
    while isinstance(value, dict | list) and value and (not place or data.draw(st.booleans(), label="deeper")):
        key = data.draw(st.sampled_from(range(len(value)) if isinstance(value, list) else sorted(value)))
        place.append(str(key))
        value = value[key]
    other = data.draw(st.sampled_from([*NUMBERS, "0", "1", "96", "[]", "[[]]", '""', "1" + "0" * 400, "NaN"]))
    wrong = altered(saved[live], "/".join(place), other)
    try:
        Session.from_bytes(wrong, None if live else clip).close()
    except ValueError as error:
        assert str(error)


def test_a_video_that_is_the_callers_stays_open(
    saved: tuple[bytes, bytes], clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ArraySource(clip)
    monkeypatch.setattr(source, "close", lambda: pytest.fail("closed"))
    with pytest.raises(ValueError, match="not a session file"):
        Session.from_bytes(altered(saved[0], "near", "5"), source)


def test_an_iterator_cannot_be_pickled(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(iter(clip))
    with pytest.raises(TypeError, match="iterator"):
        pickle.dumps(state)


# -- closing -----------------------------------------------------------------------------------------------------------


def test_a_closed_session_gives_everything_back(predictor: VideoPredictor, clip: np.ndarray) -> None:
    predictor = VideoPredictor(predictor.model, pool=Pool())
    with predictor.init_state(clip) as state:
        predictor.add_points(state, 0, 1, [(20, 20)])
        list(predictor.propagate_in_video(state))
        assert predictor.pool.held_bytes["host"] > 0
    assert predictor.pool.held_bytes["host"] == 0
    state.close()
    for call in (
        lambda: predictor.add_points(state, 0, 1, [(20, 20)]),
        lambda: predictor.result(state, 0),
        lambda: predictor.propagate_in_video(state),
        lambda: state.to_bytes(),
        lambda: copy.deepcopy(state),
    ):
        with pytest.raises(ValueError, match="this session is closed"):
            call()
    with pytest.raises(ValueError, match="closed"):
        state.frames[0]


def test_the_video_is_closed_with_the_last_copy(predictor: VideoPredictor, clip: np.ndarray) -> None:
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [(20, 20)])
    other = copy.deepcopy(state)
    state.close()
    assert len(list(predictor.propagate_in_video(other))) == FRAMES
    other.close()
    with pytest.raises(ValueError, match="closed"):
        other.frames[0]
