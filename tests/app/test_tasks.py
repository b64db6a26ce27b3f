"""People's tasks, without a browser: tokens, two people, handing in, and what was taken back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("sqlalchemy")
from app.opened import FRAMES, a_click, write_clip
from app.test_two import ask, until
from sqlalchemy import select
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import sam2v
from sam2v.app.desk import Desk
from sam2v.app.launch import hosts_of
from sam2v.app.projects import Projects
from sam2v.app.task_server import TaskProjects, make_task_app
from sam2v.app.worker import Worker
from sam2v.data.clips import Clip
from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.refining import tracked_anew
from sam2v.data_engine.schema import ActRow, Event, Masklet, Revision, Video
from sam2v.masks.rle import decode_rle
from sam2v.output.lock import FolderLock

HERE = "http://127.0.0.1:8000"


@pytest.fixture
def engine(clip: Clip, tmp_path: Path) -> Iterator[Project]:
    """A project of two videos."""
    for name in ("a.mp4", "b.mp4"):
        write_clip(clip, tmp_path / "videos" / name)
    with Project.create(tmp_path / "project", [tmp_path / "videos"], Settings(rate=6.0)) as project:
        yield project


Enter = Callable[[str], TestClient]


@pytest.fixture
def served(engine: Project, predictor: sam2v.VideoPredictor) -> Iterator[Any]:
    with TestClient(app_of(engine, predictor), base_url=HERE, follow_redirects=False) as client:
        yield client.app


def app_of(engine: Project, predictor: sam2v.VideoPredictor) -> Any:
    about = {"model": "nano", "device": "cpu"}
    return make_task_app(Desk(engine), predictor, Worker(), about, "nano by rule", hosts_of("127.0.0.1"))


@pytest.fixture
def enter(served: Any, engine: Project) -> Enter:
    """A browser of somebody who has opened the address with their token."""

    def entered(name: str) -> TestClient:
        client = TestClient(served, base_url=HERE, follow_redirects=False)
        assert client.get("/", params={"token": engine.new_token(name)}).status_code == 303
        return client

    return entered


def take(client: TestClient, kind: str = "annotate") -> Any:
    answer = client.post(f"/api/take/{kind}")
    assert answer.status_code == 200, answer.text
    return answer.json()["task"]


def socket_of(client: TestClient, task: dict[str, Any]) -> Any:
    return client.websocket_connect(f"ws://127.0.0.1:8000/api/projects/{task['id']}/socket")


def end(client: TestClient, task: dict[str, Any], do: str, **about: Any) -> Any:
    return client.post(f"/api/tasks/{task['id']}/end", json={"do": do, "seconds": 0, **about})


def annotate(client: TestClient, task: dict[str, Any], clip: Clip) -> None:
    with socket_of(client, task) as socket:
        objects = ask(socket, "describe")[0]["value"]["objects"]
        assert [one["id"] for one in objects] == [1]
        ask(socket, "prompt", frame=1, object=1, prompt={"points": [a_click(clip, 0, 1)]})
        ask(socket, "track", frame=1, direction="both")
        until(socket, "tracked", left=0)
        while ask(socket, "describe")[0]["value"]["tracking"]["running"]:
            pass


def rows(project: Project, what: Any) -> list[Any]:
    return project.database.read(lambda session: list(session.scalars(select(what).order_by(what.id))))


def test_without_a_token_of_their_own_nobody_sees_anything(served: Any, enter: Enter, engine: Project) -> None:
    stranger = TestClient(served, base_url=HERE, follow_redirects=False)
    task = take(enter("ann"))
    frame = f"/api/projects/{task['id']}/frames/0.jpg"
    for address in (
        "/",
        "/static/main.js",
        "/api/library",
        "/?token=wrong",
        "/?token=",
        "/?token=" + "x" * 10_000,
        frame,
    ):
        answer = stranger.get(address)
        assert answer.status_code == 403 and "token" in answer.text
    assert stranger.post("/api/take/annotate").status_code == 403
    with pytest.raises(WebSocketDisconnect), socket_of(stranger, task):
        pass
    stranger.cookies.set("sam2v-token-8000", "wrong")
    assert stranger.get("/api/library").status_code == 403
    older = enter("ben")
    enter("ben")  # another token, in place of the older
    assert older.get("/api/library").status_code == 403
    assert enter("cid").get("/api/library", headers={"origin": "https://evil.example"}).status_code == 403
    assert engine.annotator("ann", "person")


def test_a_task_that_is_over_while_it_is_opened_leaves_no_lock(
    engine: Project, predictor: sam2v.VideoPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, worker = Desk(engine), Worker()
    projects = TaskProjects(desk, predictor, worker)
    task = desk.queue.take(engine.annotator("ann"), "annotate")
    assert task is not None
    opened = Projects._opened

    def finishing(self: Projects, video: Any) -> Any:
        projects.finish(video.id)
        return opened(self, video)

    monkeypatch.setattr(Projects, "_opened", finishing)
    name = projects.know(task)
    with projects.pinned(name):
        projects.get(name).exception(60)
    worker.submit(bool).result(60)  # behind what the last one to leave has asked for
    assert not desk.folder(task).exists()
    with pytest.raises(KeyError, match=f"the task {name} is over"):
        projects.get(name)
    worker.close()
    projects.close()


def test_two_people_get_different_tasks_and_see_only_their_own(enter: Enter) -> None:
    ann, ben = enter("ann"), enter("ben")
    assert ann.get("/api/library").json()["tasks"] == {
        "person": "ann",
        "waiting": {"annotate": 2, "verify": 0},
        "task": None,
    }
    ours, theirs = take(ann), take(ben)
    assert ours["video"] != theirs["video"]
    assert take(ann) == ours == ann.get("/api/library").json()["tasks"]["task"]  # who comes back gets their own
    assert ann.get(f"/api/projects/{ours['id']}/frames/0.jpg").status_code == 200
    assert ann.get(f"/api/projects/{theirs['id']}/frames/0.jpg").status_code == 404
    with socket_of(ann, theirs) as socket:
        refused = socket.receive_json()
        assert refused["type"] == "refused" and "not yours" in refused["text"]
    answer = end(ann, theirs, "release")
    assert answer.status_code == 409 and "not yours" in answer.json()["error"]
    assert take(enter("cid")) is None


def test_from_a_click_to_a_verified_masklet(
    enter: Enter, engine: Project, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("sam2v.app.desk.time.time", lambda: now)
    ann, ben = enter("ann"), enter("ben")
    task = take(ann)
    annotate(ann, task, clip)
    now += 30
    assert ann.post(f"/api/tasks/{task['id']}/seconds", json={"seconds": 12.5}).json() == {"seconds": 12.5}
    now += 5
    assert end(ann, task, "submit", seconds=1e6).status_code == 200  # 12.5, and no more than 5 since then
    assert [row.active_seconds for row in rows(engine, Revision)] == [17.5]
    (revision,) = rows(engine, Revision)
    masks = MaskletMasks.load(engine.file(revision.masks))
    assert masks.frames == list(range(0, FRAMES, 2)) and any(masks.areas())
    assert (revision.model, revision.phase, revision.edited, revision.clicks) == ("nano by rule", 3, 1, 1)
    assert [(act.frame, act.kind) for act in rows(engine, ActRow)] == [(0, "click")]  # next to frame 1

    assert ann.get("/api/library").json()["tasks"]["waiting"] == {"annotate": 1, "verify": 0}  # not their own
    check = take(ben, "verify")
    with socket_of(ben, check) as socket:
        assert socket.receive_json()["stops"] == masks.frames
        shown = ask(socket, "masks", frames=masks.frames)[0]["value"]["masks"]
        for frame in masks.frames:
            assert shown[str(frame)].get("1", [""])[0] == (masks.rows[frame].counts if masks.mask(frame).any() else "")
    now += 8
    assert end(ben, check, "unsatisfactory", seconds=3.0, note="leaks").status_code == 200
    again = take(ann)
    assert again["note"] == "leaks" and again["id"] != task["id"]
    answer = end(ann, again, "submit")  # as it is
    assert answer.status_code == 200, answer.text
    assert MaskletMasks.load(engine.file(rows(engine, Revision)[1].masks)) == masks  # scores too
    assert end(ben, take(ben, "verify"), "satisfactory", seconds=0).status_code == 200
    assert [row.state for row in rows(engine, Masklet)].count("verified") == 1
    judged = [(e.after, e.seconds, e.note) for e in rows(engine, Event) if e.task == "verify" and e.after != "assigned"]
    assert judged == [("proposed", 3.0, "leaks"), ("verified", 0.0, "")]


def test_what_was_taken_back_cannot_be_handed_in(enter: Enter, engine: Project, clip: Clip) -> None:
    ann, ben = enter("ann"), enter("ben")
    task = take(ann)
    annotate(ann, task, clip)
    assert Desk(engine).queue.release(0.0) == 1
    before = [(row.state, row.version) for row in rows(engine, Masklet)]
    for answer in (
        end(ann, task, "submit"),
        end(ann, task, "release"),
        ann.post(f"/api/tasks/{task['id']}/seconds", json={"seconds": 1}),
    ):
        assert answer.status_code == 409
        assert answer.json()["error"].startswith("this task is not yours any more")
    assert [(row.state, row.version) for row in rows(engine, Masklet)] == before
    assert not rows(engine, Revision) and not list((engine.folder).glob("masks/*/*/*"))
    theirs = take(ben)
    with socket_of(ben, theirs) as socket:  # nothing of what ann did
        assert not ask(socket, "describe")[0]["value"]["prompts"]


def test_a_server_that_ended_loses_nothing(
    engine: Project, predictor: sam2v.VideoPredictor, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, token = 1000.0, engine.new_token("ann")
    monkeypatch.setattr("sam2v.app.desk.time.time", lambda: now)
    with TestClient(app_of(engine, predictor), base_url=HERE, follow_redirects=False) as client:
        client.get("/", params={"token": token})
        task = take(client)
        annotate(client, task, clip)
        now += 10
        client.post(f"/api/tasks/{task['id']}/seconds", json={"seconds": 4})
    with TestClient(app_of(engine, predictor), base_url=HERE, follow_redirects=False) as client:
        client.get("/", params={"token": token})
        found = client.get("/api/library").json()["tasks"]["task"]
        assert (found["id"], found["seconds"]) == (task["id"], 4)
        with socket_of(client, task) as socket:
            assert ask(socket, "describe")[0]["value"]["prompts"]["1"]["1"]["points"]
        assert end(client, task, "submit").status_code == 200


def test_what_is_not_done_is_not_handed_in(enter: Enter, engine: Project, clip: Clip) -> None:
    ann = enter("ann")
    task = take(ann)
    for said, text in (
        ({"do": "submit"}, "6 of 6 annotated frames have no mask yet, the first is 0"),
        ({"do": "satisfactory"}, "was handed out to annotate, not to verify"),
        ({"do": "x"}, "do must be one of"),
        ({"do": 1}, "must be texts"),
        ({"do": "submit", "seconds": -1}, "seconds must be a number"),
        ({"do": "submit", "seconds": "1"}, "seconds must be a number"),
    ):
        answer = ann.post(f"/api/tasks/{task['id']}/end", json=said)
        assert answer.status_code == 400 and text in answer.json()["error"], answer.text
    for body in (b"", b"[", b"[" * 9000, b"[]", b"x" * 20_000, b'{"do": "submit", "seconds": NaN}'):
        answer = ann.post(f"/api/tasks/{task['id']}/end", content=body)
        assert answer.status_code == 400 and "\n" not in answer.json()["error"]
    assert ann.post("/api/take/other").status_code == 200  # they have a task
    with socket_of(ann, task) as socket:
        for frame in range(0, FRAMES, 2):
            ask(socket, "prompt", frame=frame, object=1, prompt={})
        assert "no annotated frame" in end(ann, task, "submit").json()["error"]
        ask(socket, "prompt", frame=0, prompt={"points": [a_click(clip, 1)]})
        assert "here are 2" in end(ann, task, "submit").json()["error"]
    assert end(ann, task, "reject", note="no boundary").status_code == 200
    assert [row.state for row in rows(engine, Masklet)].count("rejected") == 1
    assert ann.post("/api/take/other").status_code == 400


def full_disk(*_: Any) -> None:
    raise OSError("the disk is full")


def gone(folder: Path) -> bool:
    """Whether a folder goes within a few seconds: the worker's thread deletes it."""
    deadline = time.monotonic() + 20
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not folder.exists()


def test_folders_of_tasks_that_are_over_are_deleted(
    enter: Enter, engine: Project, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, ben = enter("ann"), enter("ben")
    task, other = take(ann), take(ben)
    mine, theirs = (engine.folder / "tasks" / one["id"] for one in (task, other))
    annotate(ann, task, clip)
    annotate(ben, other, clip)
    with monkeypatch.context() as broken:
        broken.setattr(Desk, "submit", full_disk)
        assert end(ann, task, "submit").status_code == 503
    with socket_of(ann, task) as socket:  # nothing was lost, and a page that is connected keeps it
        assert ask(socket, "describe")[0]["value"]["prompts"]
        assert end(ann, task, "submit").status_code == 200
        ask(socket, "describe")
        assert (mine / "events.jsonl").exists()
    assert gone(mine)
    with FolderLock(theirs.parent / "another"):  # folders that are no task's stay
        assert Desk(engine).queue.release(0.0) == 1
        assert end(ben, other, "submit").status_code == 409
        assert end(ann, check := take(ben, "verify"), "satisfactory").status_code == 409
        assert end(ben, check, "satisfactory").status_code == 200
        assert gone(engine.folder / "tasks" / check["id"])
        assert (theirs / "events.jsonl").exists()  # taken back, not handed in
        assert (theirs.parent / "another").exists()


def test_a_folder_that_another_server_has_open_stays(enter: Enter, engine: Project) -> None:
    ann = enter("ann")
    task = take(ann)
    folder = engine.folder / "tasks" / task["id"]
    with FolderLock(folder):
        assert end(ann, task, "release").status_code == 200
        again = take(ann)
        annotated = engine.folder / "tasks" / again["id"]
        assert end(ann, again, "release").status_code == 200
        assert gone(annotated)  # which comes after the other in the worker's thread
        assert folder.exists()


@contextmanager
def served_by(phase: int, clip: Clip, predictor: sam2v.VideoPredictor, folder: Path) -> Iterator[tuple[Project, Any]]:
    """A project of one video, by a phase, and somebody in it."""
    write_clip(clip, folder / "videos" / "a.mp4")
    with (
        Project.create(folder / "project", [folder / "videos"], Settings(phase=phase)) as engine,
        TestClient(app_of(engine, predictor), base_url=HERE, follow_redirects=False) as client,
    ):
        client.get("/", params={"token": engine.new_token("ann")})
        yield engine, client


def shown(socket: Any, frame: int) -> str:
    """The mask of object 1 on a frame."""
    masks = ask(socket, "masks", frames=[frame])[0]["value"]["masks"]
    return str(masks[str(frame)]["1"][0])


def click(socket: Any, clip: Clip, frame: int) -> str:
    """Click on the object; its mask."""
    ask(socket, "prompt", frame=frame, object=1, prompt={"points": [a_click(clip, 0, frame)]})
    return shown(socket, frame)


def track(socket: Any, frame: int) -> None:
    ask(socket, "track", frame=frame, direction="forward")
    until(socket, "tracked", left=0)
    while ask(socket, "describe")[0]["value"]["tracking"]["running"]:
        pass


def test_in_phase_1_every_frame_is_annotated_by_itself(
    clip: Clip, predictor: sam2v.VideoPredictor, tmp_path: Path
) -> None:
    with served_by(1, clip, predictor, tmp_path) as (engine, client):
        task = take(client)
        assert task["phase"] == 1
        with socket_of(client, task) as socket:
            later = click(socket, clip, 4)
            click(socket, clip, 0)
            refused = ask(socket, "track", frame=0, direction="forward")[0]
            assert "nothing is tracked" in refused["error"]
            for frame in (2, 6, 8, 10):
                click(socket, clip, frame)
            assert shown(socket, 4) == later
        assert end(client, task, "submit").status_code == 200
        (revision,) = rows(engine, Revision)
        assert (revision.phase, revision.edited, revision.clicks) == (1, 6, 6)


def test_in_phase_2_tracking_knows_one_mask_and_nothing_else(
    clip: Clip, predictor: sam2v.VideoPredictor, tmp_path: Path
) -> None:
    with served_by(2, clip, predictor, tmp_path) as (engine, client):
        task = take(client)
        with socket_of(client, task) as socket:
            refused = ask(socket, "track", frame=0, direction="forward")[0]
            assert "nothing to track" in refused["error"]
            first = click(socket, clip, 0)
            track(socket, 0)
            tracked = {frame: shown(socket, frame) for frame in range(1, FRAMES)}
            again = click(socket, clip, 4)
            track(socket, 4)
            assert shown(socket, 0) == first and shown(socket, 4) == again
            assert {f: shown(socket, f) for f in (1, 2, 3)} == {f: tracked[f] for f in (1, 2, 3)}
            proposed = {frame: shown(socket, frame) for frame in range(5, FRAMES)}
        assert end(client, task, "submit").status_code == 200
        (revision,) = rows(engine, Revision)
        assert (revision.phase, revision.edited) == (2, 2)
        source = engine.database.read(lambda s: s.scalars(select(Video)).one().path)
    with predictor.init_state(source) as alone:  # as if nothing had been there before frame 4
        predictor.add_points(alone, 4, 1, [a_click(clip, 0, 4)[:2]])
        size = list(alone.size)
        from_click = predictor.result(alone, 4).to_coco_rle()[0]["counts"]
        assert again == from_click
        predictor.reset_state(alone)
        predictor.add_mask(alone, 4, 1, decode_rle({"size": size, "counts": again}))
        for result in predictor.propagate_in_video(alone, start_frame_idx=4):
            if result.frame_idx > 4:
                counts = result.to_coco_rle()[0]["counts"]
                assert proposed[result.frame_idx] in (counts, "")


def test_in_phase_3_memories_follow_from_the_correction(
    clip: Clip, predictor: sam2v.VideoPredictor, tmp_path: Path
) -> None:
    with served_by(3, clip, predictor, tmp_path) as (engine, client):
        task = take(client)
        with socket_of(client, task) as socket:
            click(socket, clip, 0)
            track(socket, 0)
            corrected = click(socket, clip, 4)
            track(socket, 4)
            found = {frame: shown(socket, frame) for frame in range(5, FRAMES)}
        source = engine.database.read(lambda s: s.scalars(select(Video)).one().path)
    with predictor.init_state(source) as state:
        predictor.add_points(state, 0, 1, [a_click(clip, 0, 0)[:2]])
        list(predictor.propagate_in_video(state))
        there = predictor.add_points(state, 4, 1, [a_click(clip, 0, 4)[:2]])
        assert corrected in (there.to_coco_rle()[0]["counts"], "")
        predictor.engine.remember_prompts(state)
        beside = tracked_anew(state.tracks[1], 4)
        assert list(beside) == [3, 2, 1]
        list(predictor.track_frames(state, beside, reverse=True))
        for result in predictor.propagate_in_video(state, start_frame_idx=4):
            if result.frame_idx > 4:
                assert found[result.frame_idx] in (result.to_coco_rle()[0]["counts"], "")
