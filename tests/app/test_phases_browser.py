"""Phases 1 and 2 of the data engine in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("sqlalchemy")
from app.opened import FRAMES, a_click, running, write_clip
from app.test_tasks_browser import Worker
from cli.conftest import nano_arguments
from sqlalchemy import select

from sam2v.data.clips import Clip
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.schema import Revision


class Annotator(Worker):
    """Somebody who annotates frame by frame."""

    def click_on(self, clip: Clip, frame: int) -> None:
        self.at_frame(frame)
        self.click(*a_click(clip, 0, frame)[:2])
        self.page.wait_for_selector(f'button[aria-label^="Undo: prompt of Object 1 on frame {frame}"]')

    def go(self, frame: int) -> None:
        self.page.get_by_label("Frame", exact=True).fill(str(frame))
        self.keys("Enter")
        self.page.locator(".stage-canvas").focus()
        self.at_frame(frame)


def worked(browser: Any, clip: Clip, tmp_path: Path, phase: int, work: Any) -> Revision:
    """What is handed in of one task in a project of a phase."""
    write_clip(clip, tmp_path / "videos" / "clip0.mp4")
    options = nano_arguments(tmp_path / "nano.pt", "nano-")
    with Project.create(tmp_path / "project", [tmp_path / "videos"], Settings(phase=phase)) as engine:
        token = engine.new_token("ann")
        with running("data-engine", "serve", str(engine.folder), *options) as (_, where):
            ann = Annotator(browser, f"http://{where}/", token, "ann", "light")
            assert ann.take() == "Annotate"
            ann.page.wait_for_selector('.objects li.chosen[data-object="1"]')
            work(ann)
            ann.shot(f"phase-{phase}")
            ann.hand_in()
            assert not [text for text in ann.complaints if "/frames/" not in text]
        (revision,) = engine.database.read(lambda s: list(s.scalars(select(Revision))))
        return revision


def test_phase_1_goes_from_annotated_frame_to_annotated_frame(browser: Any, clip: Clip, tmp_path: Path) -> None:
    frames = range(0, FRAMES, 2)

    def work(ann: Annotator) -> None:
        assert not ann.page.get_by_role("button", name="Track").count()
        for frame in frames:
            ann.click_on(clip, frame)
            ann.keys("t")  # which does nothing here
            ann.keys("ArrowRight")
        ann.at_frame(frames[-1])

    revision = worked(browser, clip, tmp_path, 1, work)
    assert (revision.phase, revision.edited, revision.clicks) == (1, len(frames), len(frames))


def test_phase_2_tracks_from_the_frame_that_was_annotated(browser: Any, clip: Clip, tmp_path: Path) -> None:
    def work(ann: Annotator) -> None:
        ann.click_on(clip, 0)
        ann.track("t")
        ann.go(4)
        ann.click_on(clip, 4)
        ann.track("t")

    revision = worked(browser, clip, tmp_path, 2, work)
    assert (revision.phase, revision.edited, revision.clicks) == (2, 2, 2)
