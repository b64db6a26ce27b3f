"""Projects in PostgreSQL: several annotators at once, and a server that is restarted under them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from data_engine.made import empty_videos, handed_in, squares, work
from data_engine.postgres import Server
from sqlalchemy import func, select

from sam2v.cli.main import main
from sam2v.data import open_dataset
from sam2v.data_engine.database import DatabaseAway
from sam2v.data_engine.export_plan import plan_export
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.queue import Queue, Task
from sam2v.data_engine.schema import Annotator, Event, Masklet, Revision
from sam2v.data_engine.simulated import Manner, SimulatedAnnotator, SimulatedVerifier
from sam2v.data_engine.status import status_of
from sam2v.data_engine.tools import Tools


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg")
    made = Server()
    yield made
    made.close()


def annotate_all(
    folder: Path, url: str, names: list[str], done: Counter[int], each: float = 0.0
) -> list[threading.Thread]:
    """Threads that annotate until there is nothing left, each with connections of its own."""

    def go(name: str) -> None:
        with Project.open(folder, url) as project:
            queue, who = Queue(project), project.annotator(name)
            while (task := queue.take(who, "annotate")) is not None:
                queue.submit(task, work())
                done[task.masklet_id] += 1
                time.sleep(each)

    threads = [threading.Thread(target=go, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    return threads


def check_done_once(project: Project, count: int) -> None:
    def look(session) -> None:  # type: ignore[no-untyped-def]
        assert session.scalars(select(Masklet.state)).all() == ["annotated"] * count
        assert session.scalar(select(func.count()).select_from(Revision)) == count
        events = session.scalars(select(Event).where(Event.after == "annotated")).all()
        assert len({event.masklet_id for event in events}) == len(events) == count
        assert all(event.seconds == 2.5 and event.annotator_id for event in events)

    project.database.read(look)
    assert sum(tasks for tasks, _ in status_of(project).people.values()) == count


def test_who_asks_twice_at_once_gets_one_task(server: Server, tmp_path: Path) -> None:
    url = server.database()
    with Project.create(tmp_path / "p", [empty_videos(tmp_path / "videos", 40)], database=url) as project:
        who, asked = project.annotator("ann"), threading.Barrier(4)

        def ask(_: int) -> Task | None:
            asked.wait()
            return Queue(project).take(who, "annotate")

        with ThreadPoolExecutor(4) as pool:
            for _ in range(5):
                taken = [task for task in pool.map(ask, range(4)) if task is not None]
                assert len(taken) == 4 and len({task.masklet_id for task in taken}) == 1
                Queue(project).submit(taken[0], work())


def test_a_look_is_of_one_moment(server: Server, tmp_path: Path) -> None:
    url = server.database()
    with Project.create(tmp_path / "p", [empty_videos(tmp_path / "videos", 2)], database=url) as project:
        who = project.annotator("ann")
        count = select(func.count()).select_from(Event)

        def look(session) -> tuple[int, int]:  # type: ignore[no-untyped-def]
            before = session.scalar(count)
            Queue(project).take(who, "annotate")
            return before, session.scalar(count)

        assert project.database.read(look) == (0, 0) and project.database.read(lambda s: s.scalar(count)) == 1
        with pytest.raises(ValueError, match="the database refuses"):
            project.database.write(lambda session: session.add(Annotator(name="a\0", kind="person", created=0.0)))


def test_a_project_goes_its_way(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = server.database()
    videos = empty_videos(tmp_path / "videos", 3)
    assert main(["data-engine", "init", str(tmp_path / "p"), "--videos", str(videos), "--database", url]) == 0
    record = (tmp_path / "p" / "project.json").read_text()
    assert "secret" not in record and "***" not in record and "sam2v@127.0.0.1" in record
    with pytest.MonkeyPatch.context() as patch:  # somebody else, or another machine: once is enough
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
        assert main(["data-engine", "status", str(tmp_path / "p")]) == 2
        assert "open the project once with --database postgresql" in capsys.readouterr().err
        with pytest.raises(ValueError, match="open the project once with"):
            open_dataset("project", tmp_path / "p")
        assert main(["data-engine", "status", str(tmp_path / "p"), "--database", url]) == 0
        assert "secret" not in (tmp_path / "settings" / "sam2v" / "databases.txt").read_text()
        assert main(["data-engine", "status", str(tmp_path / "p")]) == 0
        with pytest.raises(ValueError, match="no masklet was verified yet"):
            open_dataset("project", tmp_path / "p")
    assert main(["data-engine", "status", str(tmp_path / "p"), "--database", url]) == 0
    assert main(["data-engine", "status", str(tmp_path / "p")]) == 0
    assert "3 new" in capsys.readouterr().out
    assert main(["data-engine", "init", str(tmp_path / "q"), "--videos", str(videos), "--database", url]) == 2
    assert "holds another project" in capsys.readouterr().err
    with Project.open(tmp_path / "p", url) as project:
        queue, ann, ver = Queue(project), project.annotator("ann"), project.annotator("ver")
        queue.judge(handed_in(queue, ann, ver)[1], True)
        assert [len(v) for v in plan_export(project, {"train": 1.0}).videos.values()] == [1]


def test_two_annotators_share_a_queue_of_100_tasks(server: Server, tmp_path: Path) -> None:
    url = server.database()
    videos, done = empty_videos(tmp_path / "videos", 50), Counter[int]()
    with Project.create(tmp_path / "p", [videos], Settings(objects=2), url) as project:
        for thread in annotate_all(tmp_path / "p", url, ["ann", "ben"], done):
            thread.join()
        assert len(done) == 100 and set(done.values()) == {1}
        check_done_once(project, 100)
        assert set(status_of(project).people) == {"ann", "ben"}


def test_a_server_that_is_restarted_loses_nothing(server: Server, tmp_path: Path) -> None:
    url = server.database()
    videos, done = empty_videos(tmp_path / "videos", 30), Counter[int]()
    with Project.create(tmp_path / "p", [videos], database=url) as project:
        threads = annotate_all(tmp_path / "p", url, ["ann", "ben"], done, 0.05)
        while len(done) < 5:
            time.sleep(0.02)
        server.stop()
        time.sleep(0.3)
        server.start()
        for thread in threads:
            thread.join()
        assert len(done) == 30
        check_done_once(project, 30)


def test_a_server_that_stays_away_is_a_clear_error(server: Server, tmp_path: Path) -> None:
    url = server.database()
    with Project.create(tmp_path / "p", [empty_videos(tmp_path / "videos", 1)], None, url, patience=0.3) as project:
        queue, ann = Queue(project), project.annotator("ann")
        task = queue.take(ann, "annotate")
        assert task is not None
        server.stop()
        try:
            with pytest.raises(DatabaseAway, match="does not answer") as caught:
                queue.submit(task, work())
        finally:
            server.start()
        assert "secret" not in str(caught.value)
        queue.submit(task, work())  # the task is still theirs
        check_done_once(project, 1)


@pytest.mark.slow
def test_simulated_annotators_at_one_queue(server: Server, tools: Tools, tmp_path: Path) -> None:
    """Two of them with models, and a verifier, in threads of their own."""
    url, videos = server.database(), squares(tmp_path / "videos", 4)
    truths = {name: truth for name, (_, truth) in videos.items()}
    Project.create(tmp_path / "p", [tmp_path / "videos"], Settings(2, 6.0, 2), url).close()

    def go(name: str) -> None:
        with Project.open(tmp_path / "p", url) as project:
            annotator = SimulatedAnnotator(Queue(project), name, Tools(tools.network), truths, Manner(clicks=1))
            while annotator.work_once():
                pass

    threads = [threading.Thread(target=go, args=(name,)) for name in ("ann", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    go("last")  # of a video that somebody else was in
    with Project.open(tmp_path / "p", url) as project:
        verifier = SimulatedVerifier(Queue(project), "ver", truths, 0.3)
        while verifier.work_once():
            pass
        status = status_of(project)
        assert sum(status.masklets["manual"].values()) == 8 and status.masklets["manual"].get("verified", 0) >= 4
        assert status.to_annotate + status.to_verify + status.masklets["manual"].get("assigned", 0) <= 4
