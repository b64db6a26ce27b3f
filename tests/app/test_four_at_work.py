"""Two people in real browsers and two simulated ones work a queue of a hundred tasks at once, on PostgreSQL."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("sqlalchemy")
pytest.importorskip("psycopg")
from app.opened import FRAMES, running, write_clip
from app.test_tasks_browser import Worker
from cli.conftest import nano_arguments
from data_engine.postgres import Server
from models import nano_by_rule
from sqlalchemy import select

from sam2v.data.clips import Clip
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.queue import Queue
from sam2v.data_engine.schema import Annotator, Event, Revision
from sam2v.data_engine.simulated import Manner, SimulatedAnnotator, SimulatedVerifier
from sam2v.data_engine.status import status_of
from sam2v.data_engine.tools import Tools

VIDEOS = 50  # each is annotated and verified


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@dataclass(frozen=True)
class FirstObject:
    """What is known of every video: the first object of the drawn clip."""

    clip: Clip

    @property
    def annotated(self) -> tuple[int, ...]:
        return tuple(range(FRAMES))

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        return {1: self.clip.masks[frame_idx, 0].numpy()} if objects is None or 1 in objects else {}


def simulated(folder: Path, name: str, clip: Clip, over: threading.Event, wrong: list[BaseException]) -> None:
    """Somebody without a browser, who takes a breath after every task."""
    truths = {f"clip{number}": FirstObject(clip) for number in range(VIDEOS)}
    try:
        with Project.open(folder) as project:
            queue = Queue(project)
            work = (
                SimulatedAnnotator(queue, name, Tools(nano_by_rule()), truths, Manner(clicks=1, strokes=0)),
                SimulatedVerifier(queue, name, truths, threshold=0.0),
            )
            while not over.is_set():
                for one in work:
                    one.work_once()
                    over.wait(1.0)
    except BaseException as error:
        wrong.append(error)


@pytest.mark.full
def test_a_hundred_tasks(browser: Any, clip: Clip, server: Server, tmp_path: Path) -> None:
    """No task is done twice, none is lost, and the time of each is known."""
    for number in range(VIDEOS):
        write_clip(clip, tmp_path / "videos" / f"clip{number}.mp4")
    over, wrong = threading.Event(), []
    options = nano_arguments(tmp_path / "nano.pt", "nano-")
    with Project.create(tmp_path / "project", [tmp_path / "videos"], Settings(), server.database()) as project:
        tokens = {name: project.new_token(name) for name in ("ann", "ben")}
        others = [
            threading.Thread(target=simulated, args=(project.folder, name, clip, over, wrong)) for name in ("cy", "dee")
        ]
        with running("data-engine", "serve", str(project.folder), *options) as (_, where):
            people = [Worker(browser, f"http://{where}/", token, name, "light") for name, token in tokens.items()]
            for other in others:
                other.start()
            try:
                while status_of(project).masklets["manual"] != {"verified": VIDEOS} and not wrong:
                    for person in people:
                        kind = person.take()
                        if kind == "Annotate":
                            person.annotate(clip)
                            person.hand_in()
                        elif kind == "Verify":
                            person.hand_in("y")
            finally:
                over.set()
                for other in others:
                    other.join()
            # but for pictures that were on their way when a task was handed in
            complaints = [text for person in people for text in person.complaints if "/frames/" not in text]
        assert not wrong and not complaints

        def look(session: Any) -> None:
            events = session.scalars(select(Event).where(Event.before == "assigned")).all()
            done = Counter((event.masklet_id, event.task, event.after) for event in events)
            assert len(done) == 2 * VIDEOS and set(done.values()) == {1}
            assert session.query(Revision).count() == VIDEOS
            names = {person.id: person.name for person in session.scalars(select(Annotator))}
            assert set(Counter(names[event.annotator_id] for event in events)) == {"ann", "ben", "cy", "dee"}
            assert all(event.seconds > 0 for event in events)
            assert all(event.at for event in events)

        project.database.read(look)
