"""Masks that somebody made elsewhere, brought into a project, and brought again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.opened import FRAMES, Opened

from sam2v.app.importing import Imported, import_masks
from sam2v.app.launch import begin_with
from sam2v.app.library import Library
from sam2v.app.projects import Projects
from sam2v.app.worker import Worker
from sam2v.data.clips import Clip
from sam2v.data.results import open_masks
from sam2v.masks.png import write_label_map
from sam2v.masks.rle import decode_rle

Open = Callable[[], Opened]


def write(folder: Path, frame: int, clip: Clip, squares: dict[int, int]) -> None:
    """A label map: of each object a square, by its left edge."""
    labels = np.zeros(clip.size, np.uint8)
    for obj_id, left in squares.items():
        labels[10 * obj_id : 10 * obj_id + 8, left : left + 8] = obj_id
    folder.mkdir(exist_ok=True)
    write_label_map(folder / f"{frame:05d}.png", labels)


def bring(opened: Opened, folder: Path) -> Imported:
    masks = open_masks(folder, opened.annotation.source)
    return opened.worker.submit(lambda: import_masks(opened.annotation, masks)).result(60)


def left_edge(opened: Opened, frame: int, obj_id: int) -> int | None:
    mask = opened.masks()[frame].get(obj_id)
    if mask is None:
        return None
    size = list(opened.annotation.source.size)
    return int(np.flatnonzero(decode_rle({"size": size, "counts": mask.counts}).any(0))[0])


def test_what_changed_is_imported_again(open_project: Open, clip: Clip, tmp_path: Path) -> None:
    opened, folder = open_project(), tmp_path / "masks"
    for frame in range(4):
        write(folder, frame, clip, {1: 20, 2: 40})
    assert bring(opened, folder) == (2, 4, (), False)
    assert str(bring(opened, folder)) == "already imported"
    count = opened.annotation.log.count
    opened.ask("verify", frames=[3], verified=True)
    write(folder, 0, clip, {1: 60})  # where both are prompted: one moved, one left
    write(folder, 2, clip, {1: 20, 2: 40, 3: 80})
    write(folder, 3, clip, {1: 90, 2: 90})
    done = bring(opened, folder)
    assert done == (1, 2, (3,), True)
    assert str(done).endswith("1 verified frames were left as they are: 3")
    assert [left_edge(opened, 0, obj_id) for obj_id in (1, 2, 3)] == [60, None, None]
    assert [left_edge(opened, 2, obj_id) for obj_id in (1, 2, 3)] == [20, 40, 80]
    assert [left_edge(opened, 3, obj_id) for obj_id in (1, 2, 3)] == [20, 40, None]
    prompts = opened.annotation.state.prompts
    assert {frame: set(several) for frame, several in prompts.items()} == {0: {1}, 2: {2, 3}}
    about = opened.ask("describe")
    opened.close()
    opened = open_project()
    assert opened.ask("describe") == about
    opened.ask("verify", frames=[3], verified=False)
    assert bring(opened, folder) == (0, 1, (), True)
    assert left_edge(opened, 3, 1) == 90
    for _ in range(3):  # the frame, the mark, what had changed
        opened.ask("undo")
    assert [left_edge(opened, frame, 1) for frame in range(4)] == [20] * 4
    assert count < opened.annotation.log.count


def test_verified_frames_and_removed_and_locked_objects_stay(open_project: Open, clip: Clip, tmp_path: Path) -> None:
    opened, folder = open_project(), tmp_path / "masks"
    opened.ask("verify", frames=[0, 1], verified=True)
    for frame in range(3):
        write(folder, frame, clip, {1: 20, 2: 40})
    assert bring(opened, folder) == (2, 1, (0, 1), False)
    assert [set(opened.masks()[frame]) for frame in range(3)] == [set(), set(), {1, 2}]
    assert set(opened.annotation.state.prompts) == {2}
    opened.ask("remove", objects=[2])
    write(folder, 2, clip, {1: 30, 2: 50})
    opened.ask("view", objects=[1], locked=True)
    with pytest.raises(ValueError, match="Object 1 is locked"):
        bring(opened, folder)
    assert left_edge(opened, 2, 1) == 20
    opened.ask("view", objects=[1], locked=False)
    assert bring(opened, folder).objects == 0
    assert set(opened.annotation.state.objects) == {1}
    assert left_edge(opened, 2, 1) == 30


def full_after(patch: pytest.MonkeyPatch, opened: Opened, frames: int, also_events: bool = False) -> None:
    """Have the disk fill up behind some frames' masks; `also_events`: so that not even an event can be written."""
    store, log = opened.annotation.store, opened.annotation.log
    write, append = store.write, log.append

    def limited(frame: int, *rest: Any) -> None:
        nonlocal frames
        if frames == 0:
            if also_events:
                patch.setattr(log, "append", full)
            full()
        frames -= 1
        write(frame, *rest)

    def full(*_: Any, **__: Any) -> Any:
        raise OSError("No space left on device")

    patch.setattr(store, "write", limited)
    patch.setattr(log, "append", append)


def test_a_full_disk_undoes_an_import(open_project: Open, clip: Clip, tmp_path: Path) -> None:
    opened, folder = open_project(), tmp_path / "masks"
    for frame in range(4):
        write(folder, frame, clip, {1: 20, 2: 40})
    with pytest.MonkeyPatch.context() as patch:
        full_after(patch, opened, 1)
        with pytest.raises(OSError, match="No space left"):
            bring(opened, folder)
    assert not opened.annotation.state.objects and not opened.annotation.state.prompts
    assert not opened.annotation.segmenter.session.obj_ids and not any(opened.masks().values())
    assert bring(opened, folder) == (2, 4, (), False)
    assert [left_edge(opened, frame, 2) for frame in range(4)] == [40] * 4
    assert str(bring(opened, folder)) == "already imported"


def test_an_import_that_was_cut_short_is_brought_to_its_end(open_project: Open, clip: Clip, tmp_path: Path) -> None:
    """As after a kill: the event is there, and a part of the masks."""
    opened, folder = open_project(), tmp_path / "masks"
    for frame in range(4):
        write(folder, frame, clip, {1: 20, 2: 40})
    for written in (1, 2):  # the import, then one of what has changed since
        with pytest.MonkeyPatch.context() as patch:
            full_after(patch, opened, written, also_events=True)
            with pytest.raises(OSError, match="No space left"):
                bring(opened, folder)
        opened.close()
        opened = open_project()
        assert bring(opened, folder).frames == 4 - written
        assert str(bring(opened, folder)) == "already imported"
        for frame in range(4):
            edge = 50 if written == 2 else 20
            assert left_edge(opened, frame, 1) == (None if frame == 3 and written == 2 else edge)
            write(folder, frame, clip, {1: 50} if frame < 3 else {})  # nothing is seen on the last frame now
    opened.ask("remove", objects=[1])
    assert str(bring(opened, folder)) == "already imported"


def test_the_command_says_what_it_imported(
    videos: Path, predictor: object, clip: Clip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "masks"
    write(folder, FRAMES - 1, clip, {1: 20})
    worker = Worker()
    projects = Projects(Library(videos / "meadow.mp4", tmp_path / "out"), predictor, worker)  # type: ignore[arg-type]
    for text in ("1 objects and the masks of 1 frames imported", "already imported"):
        begin_with(projects, folder)
        assert capsys.readouterr().out == f"{folder}: {text}\n"
    worker.close()
    projects.close()
