"""Several people at once."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
from app.opened import FRAMES, a_click
from starlette.testclient import TestClient, WebSocketTestSession

import sam2v
from sam2v.app.exports import export_steps
from sam2v.app.launch import hosts_of
from sam2v.app.library import Library
from sam2v.app.projects import Projects
from sam2v.app.server import make_app
from sam2v.app.sockets import answer
from sam2v.app.worker import Worker
from sam2v.data.clips import Clip

Messages = list[dict[str, Any]]


def ask(socket: WebSocketTestSession, do: str, **message: Any) -> tuple[dict[str, Any], Messages]:
    """The answer, and what was told before it."""
    socket.send_json({"do": do, "ask": do, **message})
    told: Messages = []
    while True:
        got = socket.receive_json()
        if got.get("ask") == do:
            return got, told
        told.append(got)


def until(socket: WebSocketTestSession, kind: str, **values: Any) -> dict[str, Any]:
    while True:
        got = socket.receive_json()
        if got["type"] == kind and all(got.get(key) == value for key, value in values.items()):
            return got


def masks_of(socket: WebSocketTestSession) -> Any:
    return ask(socket, "masks", frames=list(range(FRAMES)))[0]["value"]["masks"]


def test_two_on_one_video_and_one_on_another(
    videos: Path, predictor: sam2v.VideoPredictor, clip: Clip, tmp_path: Path
) -> None:
    projects = Projects(Library(videos, tmp_path), predictor, Worker(), most=1)
    app = make_app(projects, {}, hosts_of("127.0.0.1"), None)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        other_id = next(v["id"] for v in client.get("/api/library").json()["videos"] if v["name"] == "below/other.mp4")
        sockets = [f"ws://127.0.0.1:8000/api/projects/{id}/socket" for id in ("meadow.mp4", "meadow.mp4", other_id)]
        with (
            client.websocket_connect(sockets[0]) as first,
            client.websocket_connect(sockets[1]) as second,
            client.websocket_connect(sockets[2]) as third,
        ):
            ask(first, "prompt", frame=0, prompt={"points": [a_click(clip, 0)]}, name="Fox")
            seen = until(second, "changed")
            assert seen["objects"][0]["name"] == "Fox"
            assert seen["masks"]["0"]["1"][0]
            ask(third, "prompt", frame=0, prompt={"points": [a_click(clip, 0)]})
            ask(second, "prompt", frame=0, prompt={"points": [a_click(clip, 1)]})
            assert ask(third, "describe")[0]["value"]["objects"][0]["name"] == "Object 1"

            ask(first, "track", frame=0, direction="forward")  # both videos are tracked side by side
            ask(third, "track", frame=0, direction="forward")
            assert ask(third, "worst")[0]["value"]["worst"] is not None
            until(third, "tracked", frame=FRAMES - 1)
            until(second, "tracked", frame=FRAMES - 1)
            ours, theirs, alone = masks_of(first), masks_of(second), masks_of(third)
            assert ours == theirs
            assert all(set(masks) == {"1", "2"} for masks in ours.values())
            assert {f: masks["1"] for f, masks in alone.items()} == {f: masks["1"] for f, masks in ours.items()}
            answer, _ = ask(second, "prompt", frame=99, prompt={})
            assert answer["error"].startswith("frame must be a whole number")
        assert len(projects._open) == 2
        with client.websocket_connect(sockets[0]) as again:
            assert masks_of(again) == ours


def test_projects_that_somebody_needs_stay_open(
    videos: Path, predictor: sam2v.VideoPredictor, clip: Clip, tmp_path: Path
) -> None:
    worker = Worker()
    projects = Projects(Library(videos, tmp_path), predictor, worker, most=1)
    other = next(video.id for video in projects.library.videos() if video.name == "below/other.mp4")

    def stays() -> bool:
        """Whether it does when another one is opened, which is forgotten again."""
        first = projects.get("meadow.mp4").result(60)
        projects.get(other).result(60)
        stayed = "meadow.mp4" in projects._open
        worker.submit(lambda: projects._open.pop(other).result().close()).result(60)
        return stayed and projects.get("meadow.mp4").result(60) is first

    project = projects.get("meadow.mp4").result(60)
    asked = {"do": "prompt", "frame": 0, "prompt": {"points": [a_click(clip, 0)]}}
    worker.submit(lambda: answer(project, asked)).result(60)
    with projects.pinned("meadow.mp4"):
        assert stays()
    assert not projects._pins
    steps = export_steps(project.annotation, "png")
    worker.submit(lambda: next(steps)).result(60)
    with pytest.raises(ValueError, match="png is being exported already"):
        worker.submit(lambda: answer(project, {"do": "export", "format": "png"})).result(60)
    assert stays()
    worker.run(steps).result(60)
    go_on = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(project.editor, "_render", lambda *_: go_on.wait())
        worker.submit(lambda: answer(project, {"do": "render", "effects": ["1:fill"], "format": "mp4"})).result(60)
        assert stays()
        go_on.set()
        project.editor._thread.join()
    assert not stays()
    count = project.annotation.log.count
    for message in (asked, {"do": "render", "effects": ["1:fill"], "format": "mp4"}, {"do": "export", "format": "png"}):
        with pytest.raises(ValueError, match="the project was closed"):
            worker.submit(partial(answer, project, message)).result(60)
    with pytest.raises(ValueError, match="the project was closed"):
        project.annotation.record("verify", frames=[0], verified=True)
    with pytest.raises(ValueError, match="nothing is written to it any more"):
        project.annotation.store.write(0, 0, {})
    assert project.annotation.log.count == count
    worker.close()
    projects.close()


def test_projects_that_nobody_uses_are_saved_and_closed(
    videos: Path, predictor: sam2v.VideoPredictor, clip: Clip, tmp_path: Path
) -> None:
    worker = Worker()
    projects = Projects(Library(videos, tmp_path), predictor, worker, most=1)
    first = projects.get("meadow.mp4").result(60)
    other = next(video.id for video in projects.library.videos() if video.name == "below/other.mp4")
    projects.get(other).result(60)
    assert list(projects._open) == [other]
    assert list(first.annotation.folder.glob("session-*.safetensors"))
    assert projects.get("meadow.mp4").result(60) is not first
    worker.close()
    projects.close()
