"""Changes that are refused change nothing, locked objects stay, and what was painted is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from app.opened import FRAMES, Opened, a_click

from sam2v.data.clips import Clip
from sam2v.masks.rle import decode_rle, encode_rle

Open = Callable[[], Opened]


def painted(clip: Clip, top: int, left: int) -> str:
    """The counts of a square."""
    mask = np.zeros(clip.size, bool)
    mask[top : top + 12, left : left + 12] = True
    return str(encode_rle(mask)["counts"])


def test_a_merge_that_is_refused_changes_nothing(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    opened.ask("object", name="Empty")
    for obj in (0, 1):
        opened.ask("prompt", frame=0, prompt={"points": [a_click(clip, obj)]})
    opened.ask("verify", frames=[0], verified=True)
    masks, count = opened.masks(), opened.annotation.log.count
    with pytest.raises(ValueError, match="object 2 is verified on frame 0"):
        opened.ask("merge", into=1, objects=[2, 3])
    assert opened.annotation.segmenter.session.obj_ids == [2, 3]
    assert opened.annotation.log.count == count
    opened.ask("track", frame=1, direction="forward")
    opened.wait()
    assert opened.masks()[0] == masks[0]
    assert set(opened.masks()[1]) == {2, 3}


@pytest.mark.parametrize("do", ["prompt", "remove", "merge"])
def test_a_disk_that_refuses_leaves_the_session_as_it_was(
    open_project: Open, clip: Clip, do: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_project()
    for obj in (0, 1):
        opened.ask("prompt", frame=0, prompt={"points": [a_click(clip, obj)]})
    asked: dict[str, Any] = {
        "prompt": {"frame": 0, "object": 1, "prompt": {}},
        "remove": {"objects": [1]},
        "merge": {"into": 1, "objects": [2]},
    }
    before = opened.annotation.segmenter.result(0, [1, 2])

    def full(*_: Any, **__: Any) -> Any:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(opened.annotation.log, "append", full)
        with pytest.raises(OSError, match="no space left"):
            opened.ask(do, **asked[do])
    after = opened.annotation.segmenter.result(0, [1, 2])
    assert before is not None and after is not None
    assert after.obj_ids == before.obj_ids
    assert np.array_equal(after.binary(), before.binary())


@pytest.mark.parametrize(("do", "written"), [("prompt", 0), ("merge", 1)])
def test_masks_that_cannot_be_written_undo_the_change(
    open_project: Open, clip: Clip, do: str, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_project()
    for obj in (0, 1):
        for frame in (0, 5):
            prompt = {"mask": painted(clip, 10 + 30 * obj, 10 + frame)}
            opened.ask("prompt", frame=frame, prompt=prompt, **({"object": obj + 1} if frame else {}))
    asked: dict[str, Any] = {
        "prompt": {"frame": 0, "object": 1, "prompt": {"points": [[5, 5, 1]]}},
        "merge": {"into": 1, "objects": [2]},
    }
    masks, prompts, store = opened.masks(), copy.deepcopy(opened.annotation.state.prompts), opened.annotation.store
    write, left = store.write, [None] * written

    def full(*arguments: Any) -> None:
        if not left:
            raise OSError("no space left")
        left.pop()
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", full)
        with pytest.raises(OSError, match="no space left"):
            opened.ask(do, **asked[do])
    assert opened.masks() == masks and opened.annotation.state.prompts == prompts
    assert opened.annotation.segmenter.session.obj_ids == [1, 2]
    opened.ask(do, **asked[do])
    assert opened.masks() != masks


def test_locked_objects_stay_when_tracking_goes_on(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    for obj in (0, 1):
        opened.ask("prompt", frame=0, prompt={"points": [a_click(clip, obj)]})

    def lock_on_the_way() -> None:
        opened.annotation.run.track({"frame": 0, "direction": "forward"})
        from sam2v.app.editing import view

        view(opened.annotation, {"objects": [2], "locked": True})

    opened.worker.submit(lock_on_the_way).result(60)
    opened.wait()
    assert set(opened.masks()[FRAMES - 1]) == set()  # locking stopped it
    opened.ask("resume")
    opened.wait()
    assert opened.annotation.state.tracking is not None and opened.annotation.state.tracking.done
    assert all(set(masks) == {1} for frame, masks in opened.masks().items() if frame)
    opened.ask("view", objects=[2], locked=False)
    opened.ask("track", frame=0, direction="forward")
    opened.ask("stop")
    opened.ask("view", objects=[1, 2], locked=True)
    with pytest.raises(ValueError, match="no tracking to go on with"):
        opened.ask("resume")


def test_merged_paintings_are_their_union(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    parts = [painted(clip, 10, 20), painted(clip, 50, 90)]
    for counts in parts:
        opened.ask("prompt", frame=2, prompt={"mask": counts})
    opened.ask("merge", into=1, objects=[2])
    size = list(clip.size)
    both = np.logical_or.reduce([decode_rle({"size": size, "counts": counts}) for counts in parts])
    kept = opened.masks()[2][1]
    assert kept.kind == "drawn"
    assert np.array_equal(decode_rle({"size": size, "counts": kept.counts}), both)
    assert np.array_equal(opened.annotation.result(2).binary()[0], both)
    given = opened.annotation.state.prompts[2][1]
    assert given.mask is not None and np.array_equal(decode_rle(given.mask), both)


def test_merged_boxes_are_the_box_around_them(open_project: Open) -> None:
    opened = open_project()
    for box in ([10, 30, 40, 60], [50, 20, 90, 50]):
        opened.ask("prompt", frame=0, prompt={"box": box})
    opened.ask("merge", into=1, objects=[2])
    assert opened.annotation.state.prompts[0][1].box == [10, 20, 90, 60]


def test_effects_of_what_is_gone_are_gone_until_it_comes_back(open_project: Open, clip: Clip) -> None:
    opened = open_project()
    for obj in (0, 1):
        opened.ask("prompt", frame=0, prompt={"points": [a_click(clip, obj)]})
    effects = ["1:outline", "background:blur", "1:fill"]
    opened.ask("effects", effects=effects)
    opened.ask("remove", objects=[1])
    assert opened.ask("describe")["effects"] == ["background:blur"] == opened.told[-1]["effects"]
    opened.ask("undo")
    assert opened.ask("describe")["effects"] == effects
    opened.ask("merge", into=2, objects=[1])
    left = opened.ask("describe")["effects"]
    opened.ask("effects", effects=[*left, "2:outline"])  # as the page does
    opened.ask("undo")
    assert opened.ask("describe")["effects"] == ["background:blur", "2:outline"]


@pytest.mark.parametrize(
    "wrong",
    [{"points": [[5, 5, 1], [5, 500, 1]]}, {"points": [[float("nan"), 5, 1]]}, {"box": [9, 9, 3, 3]}, {"box": [1] * 3}],
)
def test_a_prompt_that_is_refused_does_not_stop_tracking(open_project: Open, clip: Clip, wrong: dict[str, Any]) -> None:
    opened = open_project()
    opened.ask("prompt", frame=0, prompt={"points": [a_click(clip, 0)]})

    def track_and_prompt() -> bool:
        from sam2v.app.editing import prompt

        opened.annotation.run.track({"frame": 0, "direction": "forward"})
        with pytest.raises(ValueError, match=r"outside|finite|empty|box is"):
            prompt(opened.annotation, {"frame": 1, "prompt": wrong})
        return opened.annotation.run.is_running

    assert opened.worker.submit(track_and_prompt).result(60)


def test_nothing_found_does_not_stop_tracking(open_project: Open, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_project()
    opened.ask("prompt", frame=0, prompt={"points": [a_click(clip, 0)]})
    monkeypatch.setattr("sam2v.app.everything.find_everything", lambda *_: [])

    def track_and_find() -> bool:
        from sam2v.app.editing import auto

        opened.annotation.run.track({"frame": 0, "direction": "forward"})
        with pytest.raises(ValueError, match="nothing was found"):
            auto(opened.annotation, {"frame": 1})
        return opened.annotation.run.is_running

    assert opened.worker.submit(track_and_find).result(60)


@pytest.mark.parametrize("full", ["masks", "events", "session"])
def test_a_full_disk_ends_tracking_and_pages_are_told(
    open_project: Open, clip: Clip, full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_project()
    opened.ask("prompt", frame=0, prompt={"points": [a_click(clip, 0)]})

    def refuses(*_: Any, **__: Any) -> Any:
        raise OSError("no space left")

    with monkeypatch.context() as patch:

        def track_and_fill() -> None:
            opened.annotation.run.track({"frame": 0, "direction": "forward"})
            if full == "masks":
                patch.setattr(opened.annotation.store, "write", refuses)
            if full in ("masks", "events"):
                patch.setattr(opened.annotation.log, "append", refuses)
            else:
                patch.setattr(opened.annotation.segmenter, "save", refuses)

        opened.worker.submit(track_and_fill).result(60)
        opened.wait()
        assert [m["text"] for m in opened.told if m["type"] == "error"] == ["Tracking stopped: no space left"]
        assert not [m for m in opened.told if m["type"] == "changed"][-1]["tracking"]["running"]
    opened.ask("track", frame=0, direction="forward")
    opened.wait()
    assert opened.annotation.state.tracking is not None and opened.annotation.state.tracking.done
