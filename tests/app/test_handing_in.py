"""What is handed in of a project of the annotator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("sqlalchemy")
from app.opened import FRAMES, Opened, a_click

from sam2v.app.handing_in import IDLE, begin_task, work_of
from sam2v.data.clips import Clip
from sam2v.data.masklet_file import MaskletMasks, MaskRow
from sam2v.data_engine.work import Work
from sam2v.masks.rle import encode_rle

Open = Callable[[], Opened]


def begin(opened: Opened, start: MaskletMasks | None = None, path: Path | None = None) -> None:
    opened.worker.submit(lambda: begin_task(opened.annotation, "Object 7", start, path)).result(60)


def done(opened: Opened, start: MaskletMasks | None = None) -> Work:
    return opened.worker.submit(lambda: work_of(opened.annotation, 6.0, start, "nano", 9.0)).result(60)


def so_far(clip: Clip, folder: Path) -> tuple[MaskletMasks, Path]:
    """An object's true masks, with scores; the first is empty."""
    rows = {}
    for frame in range(0, FRAMES, 2):
        mask = np.asarray(clip.masks[frame, 0]) & (frame > 0)
        rows[frame] = MaskRow(str(encode_rle(mask)["counts"]), 0.5 + frame / 100, 3.0, 0.25)
    masks = MaskletMasks((96, 160), rows)
    masks.save(folder / "masks.json")
    return masks, folder / "masks.json"


def test_masks_so_far_are_handed_in_as_they_were(open_project: Open, clip: Clip, tmp_path: Path) -> None:
    opened, (start, path) = open_project(), so_far(clip, tmp_path)
    begin(opened, start, path)
    begin(opened, start, path)  # it was begun already
    assert [about.name for about in opened.annotation.state.objects.values()] == ["Object 7"]
    work = done(opened, start)
    assert work.masks == start and not work.acts
    assert (work.phase, work.model, work.active_seconds) == (3, "nano", 9.0)
    x, y, _ = a_click(clip, 0, 4)
    opened.ask("prompt", frame=4, object=1, prompt={"points": [[x, y, 1]]})
    changed = done(opened, start)
    assert {f for f in start.rows if changed.masks.rows[f] != start.rows[f]} == {4}
    assert [(act.frame, act.kind, act.x, act.y) for act in changed.acts] == [(4, "click", x, y)]


def test_an_import_that_was_cut_short_is_made_anew(open_project: Open, clip: Clip, tmp_path: Path) -> None:
    opened, (start, path) = open_project(), so_far(clip, tmp_path)

    def full(*_: Any) -> None:
        raise OSError("no space left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened.annotation.store, "write", full)
        with pytest.raises(OSError, match="no space"):
            begin(opened, start, path)
    begin(opened, start, path)
    assert done(opened, start).masks == start


def test_what_was_done_is_told_frame_by_frame(open_project: Open, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, now = open_project(), 1000.0
    monkeypatch.setattr("sam2v.app.events.time.time", lambda: now)
    begin(opened)
    point, mask = a_click(clip, 0), np.zeros((96, 160), bool)
    mask[20:40, 30:50] = True
    counts = encode_rle(mask)["counts"]
    for pause, frame, prompt in (
        (0, 0, {"points": [point]}),
        (3, 0, {"points": [point, [5.0, 6.0, 0]]}),
        (99, 5, {"box": [10, 20, 30, 60]}),
        (1, 4, {"mask": counts}),
        (1, 8, {}),
        (1, 0, {"points": [point, [5.0, 6.0, 0], [9.0, 9.0, 1]]}),
    ):
        now += pause
        opened.ask("prompt", frame=frame, object=1, prompt=prompt)
    opened.ask("undo")
    for frame in (2, 6, 10):
        opened.ask("prompt", frame=frame, object=1, prompt={})
    work = done(opened)
    told = [(act.frame, act.kind, round(act.x, 1), round(act.y, 1), act.label, act.seconds) for act in work.acts]
    assert told == [
        (0, "click", point[0], point[1], 1, 0.0),
        (0, "click", 5.0, 6.0, 0, 3.0),
        (4, "click", 20.0, 40.0, 1, IDLE),  # a box, next to its frame
        (4, "stroke", 39.5, 29.5, 1, 1.0),
    ]
    assert work.acts[-1].radius == pytest.approx(np.sqrt(400 / np.pi))
    assert not work.masks.mask(8).any() and np.array_equal(work.masks.mask(4), mask)
    assert work.edited == 2


def test_masks_of_another_video_are_refused(open_project: Open, tmp_path: Path) -> None:
    opened, path = open_project(), tmp_path / "masks.json"
    other = MaskletMasks.of({0: np.ones((12, 16), bool)}, (12, 16))
    other.save(path)
    with pytest.raises(ValueError, match="another size"):
        begin(opened, other, path)
    assert not opened.annotation.log.count
