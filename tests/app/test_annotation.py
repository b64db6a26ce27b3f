"""A project: prompts, tracking, going back, restarting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.opened import FRAMES, Opened, a_click

import sam2v
from sam2v.app.exports import export_folder, export_steps
from sam2v.app.library import Library
from sam2v.app.mask_store import StoredMask
from sam2v.data.clips import Clip
from sam2v.masks.png import read_label_map
from sam2v.masks.rle import decode_rle, encode_rle

Open = Callable[[], Opened]


def prompted(opened: Opened, clip: Clip) -> None:
    """Two objects with a click each."""
    for obj in (0, 1):
        opened.ask("prompt", frame=0, prompt={"points": [a_click(clip, obj)]})


def tracked(opened: Opened, clip: Clip) -> None:
    prompted(opened, clip)
    opened.ask("track", frame=0, direction="forward")
    opened.wait()


def test_the_export_is_what_the_python_api_gives(
    open_project: Open, clip: Clip, videos: Path, predictor: sam2v.VideoPredictor
) -> None:
    opened = open_project()
    tracked(opened, clip)
    wrong = [5.0, 5.0, 0]
    opened.ask("prompt", frame=6, object=1, prompt={"points": [wrong]})
    opened.ask("undo")
    opened.ask("redo")
    opened.ask("track", frame=6, direction="forward")
    opened.wait()
    opened.worker.run(export_steps(opened.annotation, "png")).result(60)

    with predictor.init_state(videos / "meadow.mp4") as state:
        for obj in (0, 1):
            predictor.add_points(state, 0, obj + 1, [a_click(clip, obj)[:2]])
        results = {r.frame_idx: r.label_map() for r in predictor.propagate_in_video(state)}
        predictor.add_points(state, 6, 1, [wrong[:2]], [0])
        results |= {r.frame_idx: r.label_map() for r in predictor.propagate_in_video(state, 6)}
    folder = export_folder(opened.annotation, "png")
    for frame in range(FRAMES):
        assert np.array_equal(read_label_map(folder / f"{frame:05d}.png"), results[frame])
    assert (opened.annotation.folder / "exports" / "meadow-png.zip").is_file()


def test_going_back_and_forth_restores_masks(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    states = [opened.masks()]
    prompted(opened, clip)
    states.append(opened.masks())
    opened.ask("track", frame=0, direction="forward")
    opened.wait()
    states.append(opened.masks())
    opened.ask("prompt", frame=5, object=2, prompt={"points": [[1.0, 1.0, 0]]})
    opened.ask("remove", objects=[1])
    states.append(opened.masks())
    for _ in range(2):
        opened.ask("undo")
    assert opened.masks() == states[2]
    opened.ask("undo")
    assert opened.masks() == states[1]
    for _ in range(3):
        opened.ask("redo")
    assert opened.masks() == states[3]
    with pytest.raises(ValueError, match="nothing to redo"):
        opened.ask("redo")


@pytest.mark.parametrize("with_session", [True, False])
def test_a_project_that_is_opened_again_is_as_it_was(open_project: Open, clip: Clip, with_session: bool) -> None:
    opened = open_project()
    tracked(opened, clip)
    opened.ask("object", id=2, name="A child", label="person", colour="#112233")
    opened.ask("verify", frames=[3, 4], verified=True)
    before, about = opened.masks(), opened.ask("describe")
    opened.close()
    (saved,) = opened.annotation.folder.glob("session-*.safetensors")
    if not with_session:
        saved.write_bytes(b"torn")
    again = open_project()
    assert again.masks() == before
    assert again.ask("describe") == about
    again.ask("undo")  # the verified mark
    again.ask("undo")  # the name
    again.ask("undo")  # tracking: nothing of the session's past is known any more
    assert set(again.masks()[0]) == {1, 2}
    assert not any(again.masks()[frame] for frame in range(1, FRAMES))
    again.ask("track", frame=0, direction="forward")
    again.wait()
    redone = again.masks()
    assert {f: {i: m.counts for i, m in ms.items()} for f, ms in redone.items()} == {
        f: {i: m.counts for i, m in ms.items()} for f, ms in before.items()
    }


def test_verified_frames_stop_tracking_and_refuse_prompts(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    tracked(opened, clip)
    opened.ask("verify", frames=[6], verified=True)
    before = opened.masks()
    opened.ask("prompt", frame=3, object=1, prompt={"points": [[2.0, 2.0, 1]]})
    opened.ask("track", frame=3, direction="forward")
    opened.wait()
    after = opened.masks()
    assert all(after[frame] == before[frame] for frame in range(6, FRAMES))
    assert after[4] != before[4]
    with pytest.raises(ValueError, match="frame 6 is verified"):
        opened.ask("prompt", frame=6, object=1, prompt={"points": [[2.0, 2.0, 1]]})


def test_locked_objects_stay(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    tracked(opened, clip)
    before = opened.masks()
    opened.ask("view", objects=[2], locked=True)
    opened.ask("prompt", frame=2, object=1, prompt={"points": [[2.0, 2.0, 1]]})
    opened.ask("track", frame=2, direction="forward")
    opened.wait()
    after = opened.masks()
    assert all(after[frame][2] == before[frame][2] for frame in range(FRAMES))
    assert after[5][1] != before[5][1]
    for what, message in (
        ("prompt", {"frame": 1, "object": 2, "prompt": {"points": [[2.0, 2.0, 1]]}}),
        ("remove", {"objects": [2]}),
    ):
        with pytest.raises(ValueError, match="Object 2 is locked"):
            opened.ask(what, **message)


def test_what_is_painted_is_kept_as_it_was_painted(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    painted = np.zeros(clip.size, bool)
    painted[10:31, 20:47] = True
    painted[12, 50] = True
    counts = encode_rle(painted)["counts"]
    opened.ask("prompt", frame=2, prompt={"mask": counts})
    kept = opened.masks()[2][1]
    assert np.array_equal(decode_rle({"size": list(clip.size), "counts": kept.counts}), painted)
    assert np.array_equal(opened.annotation.result(2).binary()[0], painted)
    opened.ask("prompt", frame=2, object=1, prompt={"points": [[100.0, 50.0, 1]], "mask": True})
    assert opened.masks()[2][1].kind == "prompt"
    opened.ask("track", frame=2, direction="both")
    opened.wait()
    assert all(1 in opened.masks()[frame] for frame in range(FRAMES))


def test_merging_and_stopping_and_going_on(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    prompted(opened, clip)
    opened.ask("track", frame=0, direction="forward", first=0, last=4)
    opened.wait()
    opened.ask("prompt", frame=8, prompt={"points": [a_click(clip, 0, 8)]})
    opened.ask("merge", into=1, objects=[3])
    assert list(opened.annotation.state.objects) == [1, 2]
    assert 1 in opened.masks()[8]
    assert 1 in opened.annotation.state.prompts[8]
    opened.ask("track", frame=0, direction="forward")
    opened.ask("stop")
    at = opened.annotation.state.tracking.at
    opened.ask("resume")
    opened.wait()
    assert opened.annotation.state.tracking.done
    assert at is None or at < FRAMES
    assert all(set(opened.masks()[frame]) == {1, 2} for frame in range(FRAMES))
    assert opened.ask("worst")["worst"][0]["iou"] <= opened.ask("worst")["worst"][-1]["iou"]


def test_bad_messages_are_named_and_change_nothing(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    prompted(opened, clip)
    count = opened.annotation.log.count
    bad = [
        ("prompt", {"frame": FRAMES, "prompt": {"points": [[1, 1, 1]]}}, "frame must be a whole number from 0 to 11"),
        ("prompt", {"frame": True, "prompt": {}}, "frame must be a whole number"),
        ("prompt", {"frame": 0, "object": 9, "prompt": {"points": [[1, 1, 1]]}}, "there is no object 9"),
        ("prompt", {"frame": 0, "object": 1, "prompt": {"points": [[1e9, 1, 1]]}}, "outside"),
        ("prompt", {"frame": 0, "object": 1, "prompt": {"points": [[float("nan"), 1, 1]]}}, "finite"),
        ("prompt", {"frame": 0, "object": 1, "prompt": {"points": [[1, 1, 7]]}}, "label is 1"),
        ("prompt", {"frame": 0, "object": 1, "prompt": {"points": [[10**400, 1, 1]]}}, "a number in it is too large"),
        ("prompt", {"frame": 0, "object": 1, "prompt": {"box": [1, 1, 10**400, 9]}}, "a number in it is too large"),
        ("prompt", {"frame": 0, "object": 1, "prompt": {"box": [9, 9, 1, 1]}}, "empty"),
        ("prompt", {"frame": 0, "object": 1, "prompt": {"mask": "zzzz"}}, "RLE|run|counts"),
        ("prompt", {"frame": 0, "object": 1, "prompt": [1]}, "a prompt is an object"),
        ("object", {"id": 1, "name": "x" * 300}, "at most 200"),
        ("object", {"id": 1, "colour": "red;}"}, "written like"),
        ("track", {"frame": 0, "direction": "sideways"}, "forward, backward, both"),
        ("verify", {"frames": list(range(99)), "verified": True}, "there is no frame|list of frames"),
        ("merge", {"into": 1, "objects": [1]}, "not with itself"),
        ("resume", {}, "no tracking to go on with"),
        ("export", {"format": "../png"}, "format must be one of"),
        ("open", {}, "do must be one of"),
    ]
    for do, message, text in bad:
        with pytest.raises((ValueError, TypeError), match=text):
            opened.ask(do, **message)
    assert opened.annotation.log.count == count


def test_a_glimpse_is_the_mask_that_a_click_gives(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    x, y, _ = a_click(clip, 0)
    assert opened.ask("hover", frame=0, x=x, y=y)["mask"] is None  # nothing is encoded for it
    opened.ask("look", frame=0)
    mask = opened.ask("hover", frame=0, x=x, y=y)["mask"]
    assert not opened.annotation.state.objects and not opened.annotation.segmenter.session.obj_ids
    opened.ask("prompt", frame=0, prompt={"points": [[x, y, 1]]})
    assert opened.masks()[0][1].counts == mask[0]
    with pytest.raises(ValueError, match="a place of the frame"):
        opened.ask("hover", frame=0, x="1", y=-4)


def test_a_click_on_a_frame_that_is_looked_at_encodes_nothing(
    open_project: Open, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_project()
    prompted(opened, clip)
    opened.ask("track", frame=0, direction="forward")
    opened.wait()
    backend = opened.annotation.segmenter.predictor.engine.backend
    encoded: list[Any] = []
    encode = type(backend).encode_image
    monkeypatch.setattr(type(backend), "encode_image", lambda self, images: encoded.append(1) or encode(self, images))

    def click(frame: int) -> None:
        encoded.clear()
        opened.ask("prompt", frame=frame, object=1, prompt={"points": [a_click(clip, 0, frame)]})

    click(8)
    assert len(encoded) > 1, "memories that were let go are made again"
    opened.ask("look", frame=4)
    opened.ask("look", frame=9)
    opened.worker.run(iter([None] * 40)).result(60)  # by turns with it
    click(9)
    assert not encoded


def test_frames_with_effects_follow_the_masks(open_project: Open, clip: Clip) -> None:
    import io

    from PIL import Image

    opened = open_project()
    prompted(opened, clip)
    effects = ["background:fill=#102030", "1:cutout"]
    opened.ask("effects", effects=effects)
    assert opened.ask("describe")["effects"] == effects

    def alpha() -> np.ndarray:
        data, kind = opened.project.editor.preview(0, effects)
        assert kind == "image/png"
        return np.array(Image.open(io.BytesIO(data)))[..., 3] > 0

    def mask() -> np.ndarray:
        return decode_rle({"size": list(clip.size), "counts": opened.masks()[0][1].counts})

    assert np.array_equal(alpha(), mask())
    opened.ask("prompt", frame=0, object=1, prompt={"box": [10, 10, 60, 60]})
    assert np.array_equal(alpha(), mask())
    with pytest.raises(ValueError, match="there is no object 9"):
        opened.ask("effects", effects=["9:blur"])
    with pytest.raises(ValueError, match="format must be one of"):
        opened.ask("render", effects=effects, format="avi")


def test_frames_without_results_tell_nothing(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    prompted(opened, clip)
    editor = opened.project.editor
    assert set(editor.masks(0) or {}) and editor.masks(5) is None


def test_effects_that_look_back_follow_masks_while_tracking(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    tracked(opened, clip)
    event, store = opened.annotation.log.count - 2, opened.annotation.store
    seen = opened.project.editor.preview(3, ["1:trail"])
    assert opened.project.editor.preview(3, ["1:trail"]) == seen
    everything = np.ones(clip.size, bool)
    mask = StoredMask(encode_rle(everything)["counts"], 1.0, 10.0, "track")
    store.write(0, event, {1: mask})  # by the event that is under way
    assert opened.project.editor.preview(3, ["1:trail"]) != seen


def test_a_folder_is_one_servers(open_project: Open, videos: Path, predictor: sam2v.VideoPredictor) -> None:
    opened = open_project()
    library = Library(videos, opened.annotation.folder.parent)
    with pytest.raises(OSError, match="in use by another run"):
        Opened(library, predictor)


def test_frames_are_those_of_the_video(open_project: Open, clip: Clip) -> None:
    import io

    from PIL import Image

    opened = open_project()
    drawn = clip.frames.permute(0, 2, 3, 1).numpy().astype(int)
    for frame in (0, 7, 3):
        shown = np.asarray(Image.open(io.BytesIO(opened.project.jpeg(frame)))).astype(int)
        assert np.abs(drawn - shown).mean(axis=(1, 2, 3)).argmin() == frame
