"""Every format that the library writes, from a project."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from app.opened import FRAMES, Opened, a_click

from sam2v.app.exports import export_folder, export_steps
from sam2v.app.importing import Imported, import_masks
from sam2v.data.clips import Clip
from sam2v.data.results import open_masks
from sam2v.output.writers import FORMATS


@pytest.mark.parametrize("format", FORMATS)
def test_formats(open_project: Callable[[], Opened], clip: Clip, format: str) -> None:
    opened = open_project()
    opened.ask("prompt", frame=0, prompt={"points": [a_click(clip, 0)]}, name="Fox", label="animal")
    opened.ask("track", frame=0, direction="forward")
    opened.wait()
    for _ in range(2):  # exporting again replaces what was there
        opened.worker.run(export_steps(opened.annotation, format)).result(60)
        told = opened.told[-1]
        assert told["type"] == "exported" and told["format"] == format
        assert (opened.annotation.folder / "exports" / told["file"]).stat().st_size > 0
    if format in ("yolo", "cvat"):
        texts = [
            p.read_text() for p in export_folder(opened.annotation, format).rglob("*") if p.suffix in (".yaml", ".xml")
        ]
        assert any("animal" in text for text in texts)


@pytest.mark.parametrize("format", ["png", "coco"])
def test_what_was_exported_begins_another_project(open_project: Callable[[], Opened], clip: Clip, format: str) -> None:
    opened = open_project()
    opened.ask("prompt", frame=0, prompt={"points": [a_click(clip, 0)]})
    opened.ask("track", frame=0, direction="forward")
    opened.wait()
    opened.worker.run(export_steps(opened.annotation, format)).result(60)
    masks = open_masks(export_folder(opened.annotation, format), opened.annotation.source)
    before = opened.masks()
    opened.ask("remove", objects=[1])

    def bring() -> Imported:
        return opened.worker.submit(lambda: import_masks(opened.annotation, masks)).result(60)

    assert bring() == (1, FRAMES, (), False)
    assert bring() == (0, 0, (), True)  # from the same place
    (obj_id,) = opened.annotation.state.objects
    for frame, several in opened.masks().items():
        assert (several[obj_id].counts if obj_id in several else "") == before[frame][1].counts
    about = opened.ask("describe")
    opened.close()
    again = open_project()
    assert again.ask("describe") == about
    again.ask("track", frame=0, direction="both")
    again.wait()
    again.ask("undo")
    again.ask("undo")
    assert not again.annotation.state.objects


def test_pages_are_told_of_an_export_that_fails(
    open_project: Callable[[], Opened], clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_project()
    opened.ask("prompt", frame=0, prompt={"points": [a_click(clip, 0)]})

    def full(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(opened.annotation, "result", full)
        with pytest.raises(OSError, match="no space left"):
            opened.worker.run(export_steps(opened.annotation, "png")).result(60)
    assert opened.told[-1] == {"type": "exported", "format": "png", "file": None}
    opened.worker.run(export_steps(opened.annotation, "png")).result(60)
