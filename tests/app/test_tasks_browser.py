"""Two people in two real browsers work a queue to its end."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("sqlalchemy")
from app.browser import Person
from app.opened import a_click, running, write_clip
from cli.conftest import nano_arguments
from sqlalchemy import select

from sam2v.data.clips import Clip
from sam2v.data_engine.project import Project
from sam2v.data_engine.queue import Queue
from sam2v.data_engine.schema import Annotator, Event, Masklet
from sam2v.data_engine.status import status_of

VIDEOS, SIZE = 2, (96, 160)


@pytest.fixture
def engine(clip: Clip, tmp_path: Path) -> Iterator[Project]:
    for number in range(VIDEOS):
        write_clip(clip, tmp_path / "videos" / f"clip{number}.mp4")
    with Project.create(tmp_path / "project", [tmp_path / "videos"]) as project:
        yield project


class Worker(Person):
    """Somebody with a token, in a browser of their own."""

    def __init__(self, browser: Any, address: str, token: str, name: str, scheme: str) -> None:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
        super().__init__(context.new_page(), address, SIZE)
        self.name = name
        self.page.goto(f"{address}?token={token}")
        self.page.get_by_role("heading", name=f"Tasks of {name}").wait_for()

    def take(self) -> str | None:
        """With the key of the button that has the focus; None if nothing waits."""
        self.page.reload()  # what waits now
        self.page.wait_for_selector(".next-task")
        if not self.page.locator(".next-task button:enabled").count():
            return None
        self.page.wait_for_selector(".next-task button.primary:focus")
        self.keys("Enter")
        self.at_task()
        return str(self.page.locator(".task-bar").get_attribute("aria-label"))

    def at_task(self) -> None:
        self.page.wait_for_selector(".task-bar")
        self.page.wait_for_selector('.title:has-text("object 1 of clip")')

    def annotate(self, clip: Clip) -> None:
        self.at_frame(0)
        self.page.wait_for_selector('.objects li.chosen[data-object="1"]')
        self.click(*a_click(clip, 0)[:2])
        self.page.wait_for_selector('button[aria-label^="Undo: prompt of Object 1"]')
        self.track("t")

    def hand_in(self, key: str = "Control+Enter") -> None:
        self.keys(key)
        self.page.wait_for_selector(".next-task")

    def shot(self, name: str) -> None:
        """Keep a picture of the page where SAM2V_SCREENSHOTS says."""
        folder = os.environ.get("SAM2V_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png")


def test_two_people_work_a_queue_to_its_end(browser: Any, engine: Project, clip: Clip, tmp_path: Path) -> None:
    options = nano_arguments(tmp_path / "nano.pt", "nano-")
    tokens = {name: engine.new_token(name) for name in ("ann", "ben")}
    with running("data-engine", "serve", str(engine.folder), *options) as (_, where):
        looks = zip(tokens.items(), ("light", "dark"), strict=True)
        people = [Worker(browser, f"http://{where}/", token, name, look) for (name, token), look in looks]
        ann = people[0]
        ann.shot("tasks")
        sent_back = False
        while any(kinds := [person.take() for person in people]):
            for person, kind in zip(people, kinds, strict=True):
                if kind == "Annotate":
                    person.annotate(clip)
                person.shot(f"{person.name}-{kind}")
            ann.page.reload()  # loses nothing
            if kinds[0] is not None:
                ann.at_task()
            for person, kind in zip(people, kinds, strict=True):
                if kind == "Annotate":
                    person.hand_in()
                elif kind == "Verify" and not sent_back:
                    sent_back = True
                    person.keys("n")
                    person.page.get_by_label("It goes back to be refined. What is wrong?").fill("leaks")
                    person.hand_in("Enter")
                elif kind == "Verify":
                    person.hand_in("y")
        assert sent_back
        check_done(engine)
        check_taken_back(ann, engine)
        complaints = [text for person in people for text in person.complaints]
        assert not [text for text in complaints if "/frames/" not in text]  # of pictures that were on their way


def check_done(engine: Project) -> None:
    """Every masklet verified by somebody else, no task done twice, seconds known."""
    assert status_of(engine).masklets["manual"] == {"verified": VIDEOS}
    events = engine.database.read(lambda s: list(s.scalars(select(Event).where(Event.before == "assigned"))))
    done = Counter((event.masklet_id, event.task, event.after) for event in events)
    assert sorted(done.values()) == [1] * (2 * VIDEOS) + [2]  # one was sent back, and annotated twice
    assert len(events) == 2 * VIDEOS + 2
    names = engine.database.read(lambda s: {person.id: person.name for person in s.scalars(select(Annotator))})
    for masklet in {event.masklet_id for event in events}:
        by = {event.task: names[event.annotator_id] for event in events if event.masklet_id == masklet}
        assert set(by.values()) == {"ann", "ben"}
    assert all(0 < event.seconds < 60 for event in events)


def check_taken_back(ann: Worker, engine: Project) -> None:
    """Whoever hands in what was taken back is told so, once."""

    def reopen(session: Any) -> None:
        row = session.scalars(select(Masklet).limit(1)).one()
        row.state, row.version = "proposed", row.version + 1

    engine.database.write(reopen)
    assert ann.take() == "Annotate"
    assert Queue(engine).release(0.0) == 1
    ann.hand_in()
    assert "not yours any more" in ann.page.get_by_role("alert").inner_text()
    assert status_of(engine).masklets["manual"]["proposed"] == 1
    told = [complaint for complaint in ann.complaints if "/frames/" not in complaint]  # those on their way are lost too
    assert told and all("409" in complaint for complaint in told), ann.complaints
    ann.complaints.clear()
