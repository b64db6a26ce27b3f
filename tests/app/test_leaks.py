"""What cannot be opened leaves nothing open, and what is closed does nothing any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from app.opened import Opened

import sam2v
from sam2v.app.library import Library, Video
from sam2v.app.projects import Projects
from sam2v.app.worker import Worker
from sam2v.video.base import FrameSource

Open = Callable[[], Opened]


def is_closed(source: FrameSource) -> bool:
    try:
        source[0]
    except ValueError as error:
        return "closed" in str(error)
    return False


@pytest.mark.parametrize("broken", ["events.jsonl", "masks.jsonl"])
def test_a_project_that_is_none_leaves_nothing_open(
    videos: Path, predictor: sam2v.VideoPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    library, worker = Library(videos, tmp_path), Worker()
    (tmp_path / "meadow.mp4").mkdir()
    (tmp_path / "meadow.mp4" / broken).write_text('{"x": 1}\n')
    sources: list[FrameSource] = []

    def opening(video: Video) -> FrameSource:
        sources.append(Library.open(library, video))
        return sources[-1]

    monkeypatch.setattr(library, "open", opening)
    with pytest.raises(ValueError, match="is no record of"):
        Projects(library, predictor, worker).get("meadow.mp4").result(60)
    assert [is_closed(source) for source in sources] == [True]
    worker.close()


def test_a_worker_that_is_closed_says_so() -> None:
    worker, went = Worker(), threading.Event()

    def steps() -> Iterator[None]:
        try:
            while True:
                yield
        finally:
            went.set()

    long = worker.run(steps())
    worker.submit(lambda: None).result(10)
    worker.close()
    assert went.is_set()
    with pytest.raises(CancelledError):
        long.result(10)
    for future in (worker.submit(lambda: None), worker.run(steps())):
        with pytest.raises(RuntimeError, match="this is closed"):
            future.result(10)
    worker.close()


def test_a_widget_that_cannot_open_leaves_no_thread_and_no_folder(
    predictor: sam2v.VideoPredictor, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("anywidget")
    import sam2v.widget
    from sam2v.widget import Annotator

    workers: list[Worker] = []
    monkeypatch.setattr(sam2v.widget, "Worker", lambda: workers.append(Worker()) or workers[-1])
    (tmp_path / "events.jsonl").write_text('{"x": 1}\n')
    with pytest.raises(ValueError, match="is no record of"):
        Annotator(predictor, str(videos / "meadow.mp4"), tmp_path)
    assert not workers[0]._thread.is_alive()


def test_a_full_disk_keeps_no_project_from_closing(
    open_project: Open, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither is its folder in use any longer, nor does the next one fail because of it."""
    opened = open_project()
    opened.annotation._listeners.clear()
    opened.projects.most = 0
    source = opened.annotation.source

    def full(*_: Any, **__: Any) -> Any:
        raise OSError("no space left")

    for part, name in ((opened.annotation.segmenter, "save"), (opened.annotation.run, "halt")):
        monkeypatch.setattr(part, name, full)
    other = next(video.id for video in opened.projects.library.videos() if video.id != "meadow.mp4")
    assert opened.projects.get(other).result(60).id == other
    assert "warning: meadow.mp4: no space left" in capsys.readouterr().err
    assert is_closed(source)
    again = opened.projects.get("meadow.mp4").result(60)
    assert again.annotation is not opened.annotation


def test_projects_that_cannot_be_opened_take_nobodys_place(open_project: Open, videos: Path) -> None:
    opened = open_project()
    opened.annotation._listeners.clear()
    opened.projects.most = 2
    broken = videos / "broken.mp4"
    broken.write_bytes(b"x")
    try:
        for _ in range(3):
            with pytest.raises(ValueError, match="broken"):
                opened.projects.get("broken.mp4").result(60)
        other = next(v.id for v in opened.projects.library.videos() if v.id not in ("meadow.mp4", "broken.mp4"))
        opened.projects.get(other).result(60)
        assert opened.projects.get("meadow.mp4").result(60) is opened.project
    finally:
        broken.unlink()


def test_nobody_waits_while_a_folder_is_looked_through(open_project: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_project()
    began, goes_on = threading.Event(), threading.Event()
    video = opened.projects.library.video

    def slow(id: str) -> Video:
        began.set()
        goes_on.wait(60)
        return video(id)

    monkeypatch.setattr(opened.projects.library, "video", slow)
    other = next(v.id for v in opened.projects.library.videos() if v.id != "meadow.mp4")
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(opened.projects.get(other).result(60).id))
    thread.start()
    assert began.wait(60)
    assert opened.projects._lock.acquire(timeout=5)
    opened.projects._lock.release()
    assert opened.projects.get("meadow.mp4").result(60) is opened.project
    goes_on.set()
    thread.join(60)
    assert found == [other]
