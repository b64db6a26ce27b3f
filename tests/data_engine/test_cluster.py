"""A cluster of two nodes, a worker that is killed and a database server that is restarted: every clip is done once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cli.conftest import nano_arguments
from data_engine.made import Dying, squares
from data_engine.postgres import Server
from data_engine.test_runs import OPTIONS, digests
from jobs.test_ray import cluster  # noqa: F401  # the fixture
from sqlalchemy import func, select

from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.runs import run_auto
from sam2v.data_engine.schema import JobRow, Masklet, Revision
from sam2v.data_engine.tools import ModelSpec
from sam2v.jobs.local import local_crew
from sam2v.jobs.on_ray import RayCrew

pytest.importorskip("ray")
pytest.importorskip("psycopg")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.mark.full
@pytest.mark.parametrize("count", [8, 40])
def test_every_clip_is_done_once(
    cluster: str,  # noqa: F811
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    nano_arguments(tmp_path / "nano.pt", "nano-")
    model = ModelSpec("sam2v_nano", str(tmp_path / "nano.pt"), "cpu", None, ("model.image_size=96",), threads=1)
    squares(tmp_path / "videos", count)
    settings, url = Settings(3, 6.0, 0), server.database()
    with Project.create(tmp_path / "one", [tmp_path / "videos"], settings) as alone:
        run_auto(alone, model, OPTIONS, local_crew)
    done: list[int] = []

    def step() -> None:
        done.append(1)
        if len(done) == count // 2:
            server.stop()
            threading.Timer(0.5, server.start).start()

    monkeypatch.setattr("sam2v.data_engine.runs.AutoWork", partial(Dying, marker=tmp_path / "died"))
    with Project.create(tmp_path / "two", [tmp_path / "videos"], settings, url) as project:
        report = run_auto(project, model, OPTIONS, partial(RayCrew, workers=2), step)
        assert report.done == count and report.failed == {} and len(done) == count

        def look(session) -> None:  # type: ignore[no-untyped-def]
            jobs = session.scalars(select(JobRow)).all()
            assert len(jobs) == len({job.video_id for job in jobs}) == count
            assert all(job.status == "done" for job in jobs) and max(job.attempts for job in jobs) == 2
            masklets = session.scalar(select(func.count()).select_from(Masklet))
            assert masklets == session.scalar(select(func.count()).select_from(Revision)) == report.masklets

        project.database.read(look)
        assert (tmp_path / "died").exists()
    one, two = digests(tmp_path / "one" / "runs"), digests(tmp_path / "two" / "runs")
    assert one == two and len(one) >= 2 * count
