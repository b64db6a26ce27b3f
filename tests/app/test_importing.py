"""Masks that somebody made elsewhere, brought into a project, and brought again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
