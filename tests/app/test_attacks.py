"""What others may try: each is refused, and the server goes on."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import sam2v
from sam2v.app.launch import hosts_of
from sam2v.app.library import Library
from sam2v.app.projects import Projects
from sam2v.app.server import make_app
from sam2v.app.sockets import BURST, MOST_BYTES, UNANSWERED
from sam2v.app.worker import Worker

HERE = "http://127.0.0.1:8000"
SOCKET = "ws://127.0.0.1:8000/api/projects/meadow.mp4/socket"


@pytest.fixture(scope="module")
def projects(videos: Path, predictor: sam2v.VideoPredictor, tmp_path_factory: pytest.TempPathFactory) -> Projects:
    return Projects(Library(videos, tmp_path_factory.mktemp("out")), predictor, Worker())


@pytest.fixture(scope="module")
def client(projects: Projects) -> Iterator[TestClient]:
    """A browser on this machine; the server is asked once more at the end, and must be well."""
    app = make_app(projects, {"model": "nano", "device": "cpu"}, hosts_of("127.0.0.1"), None, most_bytes=300_000)
    with TestClient(app, base_url=HERE, follow_redirects=False) as client:
        yield client
        assert client.get("/api/library").status_code == 200
        with client.websocket_connect(SOCKET) as socket:
            assert socket.receive_json()["type"] == "hello"


def test_what_is_served_is_served_safely(client: TestClient) -> None:
    for address, kind in (
        ("/", "text/html"),
        ("/static/main.js", "text/javascript"),
        ("/static/annotator.css", "text/css"),
        ("/api/projects/meadow.mp4/frames/0.jpg", "image/jpeg"),
    ):
        answer = client.get(address)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"


def test_frames_may_be_kept_for_good(client: TestClient) -> None:
    with client.websocket_connect(SOCKET) as socket:
        version = socket.receive_json()["version"]
    kept = client.get(f"/api/projects/meadow.mp4/frames/3.jpg?v={version}")
    assert "immutable" in kept.headers["cache-control"]
    assert client.get("/api/projects/meadow.mp4/frames/3.jpg?v=old").headers["cache-control"] == "no-cache"
    assert client.get("/api/projects/meadow.mp4/frames/99999.jpg").status_code == 404
    assert client.get("/api/projects/meadow.mp4/frames/-1.jpg").status_code == 404
    for number in ("1" + 20 * "0", 5000 * "9", "٣", "1.5"):
        for address in (f"frames/{number}.jpg", f"preview/{number}"):
            answer = client.get(f"/api/projects/meadow.mp4/{address}")
            assert answer.status_code in (400, 404) and "unexpected" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_others_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    for answer in (
        client.get("/api/library", headers=headers),
        client.post("/api/uploads?name=a.mp4", headers=headers),
    ):
        assert answer.status_code == 403
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(SOCKET, headers=headers):
        pass


def test_a_name_that_somebody_lets_point_here_is_refused(client: TestClient) -> None:
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""):
        headers = {"host": host, "origin": f"http://{host}"}
        assert client.get("/", headers=headers).status_code == 403
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(SOCKET, headers=headers):
            pass
    for host, origin in (("[", None), ("127.0.0.1:8000", "http://["), ("[::1", "http://[::1")):
        odd = {"host": host} | ({} if origin is None else {"origin": origin})
        answer = client.get("/", headers=odd)
        assert answer.status_code == 403 and "cannot be read" in answer.text
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(SOCKET, headers=odd):
            pass
    assert client.get("/", headers={"host": "localhost:8000"}).status_code == 200
    assert client.get("/", headers={"host": "[::1]:8000"}).status_code == 200


WAYS_OUT = [
    "../secret.txt",
    "..%2fsecret.txt",
    "%2e%2e/secret.txt",
    "..\\secret.txt",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "a\0b",
]


@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize(
    "route",
    [
        "/static/{}",
        "/static/x/../{}",
        "/api/projects/{}/frames/0.jpg",
        "/api/projects/{}/preview/0",
        "/api/projects/meadow.mp4/exports/{}",
        "/api/projects/meadow.mp4/exports/png/../{}",
        "/api/projects/secret.txt/frames/0.jpg?{}",
    ],
)
def test_no_path_leads_out(client: TestClient, route: str, way: str) -> None:
    try:
        answer = client.get(route.format(way))
    except Exception as error:  # the client itself sends no such address
        assert "InvalidURL" in type(error).__name__
        return
    assert answer.status_code in (400, 404, 405)
    assert "root:" not in answer.text and "not on offer" not in answer.text


@pytest.mark.parametrize(
    "effects",
    ["x", "{}", "[1]", '["background"]', '["7:blur"]', '["background:blur=1e99"]', json.dumps(["background:blur"] * 99)]
    + ['["background:' + "x" * 300 + '"]', "[" * 5000],
)
def test_effects_that_are_none_are_refused(client: TestClient, effects: str) -> None:
    answer = client.get("/api/projects/meadow.mp4/preview/0", params={"effects": effects})
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert "unexpected" not in answer.text and "\n" not in answer.text


def test_no_path_leads_out_of_the_sockets(client: TestClient) -> None:
    for way in ("..%2f..", "secret.txt", "%2e%2e", "below"):
        try:
            with client.websocket_connect(SOCKET.replace("meadow.mp4", way)) as socket:
                assert socket.receive_json()["type"] == "refused"
        except WebSocketDisconnect:
            pass


def test_links_are_not_followed(videos: Path, predictor: sam2v.VideoPredictor, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.mp4").symlink_to(videos / "meadow.mp4")
    (tmp_path / "root" / "folder").symlink_to(videos)
    assert Library(tmp_path / "root").videos() == []


def zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.mp4", bytes(20_000_000))
    return buffer.getvalue()


def png_bomb() -> bytes:
    """A picture of 40000 x 40000 pixels in a few bytes."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("page.mp4", b"<!doctype html><script>alert(1)</script>", "not a video"),
        ("page.html", b"<!doctype html>", "not a video file that can be uploaded"),
        ("bomb.zip", zip_bomb(), "not a video file that can be uploaded"),
        ("bomb.mp4", zip_bomb(), "not a video"),
        ("bomb.webp", png_bomb(), "larger than is accepted|pixels"),
        ("list.ts", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "not a video"),
        ("empty.mp4", b"", "empty"),
        ("large.mp4", bytes(300_001), "MiB, which is the most"),
        ("../../out.mp4", b"x", "not a video"),
        ("", b"x", "not a video file"),
    ],
)
def test_uploads_that_are_no_videos_leave_nothing(
    client: TestClient, projects: Projects, name: str, data: bytes, text: str
) -> None:
    import re

    answer = client.post("/api/uploads", params={"name": name}, content=data)
    assert answer.status_code == 400
    assert re.search(text, answer.json()["error"]), answer.json()
    assert "\n" not in answer.json()["error"]
    uploads = projects.library.out / "uploads"
    assert not uploads.exists() or not list(uploads.iterdir())


def test_an_upload_without_a_length_is_bounded_too(client: TestClient) -> None:
    answer = client.post("/api/uploads?name=a.mp4", content=(bytes(1000) for _ in range(1000)))
    assert answer.status_code == 400
    assert "the most that is accepted" in answer.json()["error"]


def test_a_video_is_taken_and_offered(client: TestClient, videos: Path, projects: Projects) -> None:
    data = (videos / "meadow.mp4").read_bytes()
    names = [
        client.post("/api/uploads", params={"name": "../my clip<b>.mp4"}, content=data).json()["id"] for _ in range(2)
    ]
    assert len(set(names)) == 2
    for name in names:
        assert client.get(f"/api/projects/{name}/frames/0.jpg").headers["content-type"] == "image/jpeg"
    for path in (projects.library.out / "uploads").iterdir():
        path.unlink()


def test_more_uploads_than_can_be_offered_are_refused(
    client: TestClient, videos: Path, projects: Projects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sam2v.app.library._MOST", 1)
    data = (videos / "meadow.mp4").read_bytes()
    answers = [client.post("/api/uploads?name=a.mp4", content=data) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 400]
    assert "1 videos have been uploaded, which is the most" in answers[1].json()["error"]
    (kept,) = (projects.library.out / "uploads").iterdir()
    kept.unlink()


def test_a_flood_is_cut_off(client: TestClient) -> None:
    def flood() -> None:
        with client.websocket_connect(SOCKET) as socket:
            for number in range(int(BURST) + 2000):
                socket.send_text(json.dumps({"do": "worst", "ask": number}))
            for _ in range(int(BURST) + 2000):
                socket.receive_text()

    with pytest.raises(WebSocketDisconnect) as closed:
        flood()
    assert closed.value.code == 1008


def test_what_waits_for_answers_does_not_pile_up(client: TestClient, projects: Projects) -> None:
    asked, held, submit = [], threading.Event(), projects.worker.submit
    with client.websocket_connect(SOCKET) as socket, pytest.MonkeyPatch.context() as patch:
        projects.worker.submit(held.wait)
        patch.setattr(projects.worker, "submit", lambda job: (asked.append(job), submit(job))[1])
        for number in range(3 * UNANSWERED):
            socket.send_text(json.dumps({"do": "worst", "ask": number}))
        time.sleep(0.5)
        assert len(asked) == UNANSWERED
        held.set()
        answers = (socket.receive_json() for _ in range(4 * UNANSWERED))
        replies = islice((answer["ask"] for answer in answers if answer["type"] == "reply"), 3 * UNANSWERED)
        assert list(replies) == list(range(3 * UNANSWERED))


def test_long_and_strange_messages_do_no_harm(client: TestClient) -> None:
    with client.websocket_connect(SOCKET) as socket:
        socket.receive_json()
        for text in (
            "",
            "[",
            "[" * 100_000,
            "null",
            '"x"',
            "{}",
            '{"do": "prompt", "ask": {}}',
            '{"do": 1e999, "ask": 1}',
        ):
            socket.send_text(text)
            answer = socket.receive_json()
            assert answer["type"] == "error" or "error" in answer
        socket.send_text("x" * (MOST_BYTES + 1))
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1009


def test_another_host_needs_the_token(videos: Path, predictor: sam2v.VideoPredictor, tmp_path: Path) -> None:
    projects = Projects(Library(videos, tmp_path), predictor, Worker())
    app = make_app(projects, {}, hosts_of("0.0.0.0"), "right")
    with TestClient(app, base_url="http://192.168.1.5:8000", follow_redirects=False) as client:
        for address in ("/", "/static/main.js", "/api/library", "/?token=wrong", "/?token="):
            assert client.get(address).status_code == 403
        other = SOCKET.replace("127.0.0.1", "192.168.1.5")
        for socket in (other, other + "?token=wrong"):
            with pytest.raises(WebSocketDisconnect), client.websocket_connect(socket):
                pass
        assert client.post("/api/uploads?name=a.mp4", content=b"x").status_code == 403
        moved = client.get("/?token=right")
        assert moved.status_code == 303
        assert moved.headers["location"] == "/"
        assert "HttpOnly" in moved.headers["set-cookie"] and "SameSite=Strict" in moved.headers["set-cookie"]
        assert client.get("http://192.168.1.5:8000//evil/?token=right").headers["location"] == "/evil/"
        assert client.get("/").status_code == 200
        (name, value), *_ = client.cookies.items()
        strange = f'prefs={{"a": "b"}}; {name}={value}'  # of other servers on that host, on other ports
        assert client.get("/", headers={"cookie": strange}).status_code == 200
        client.get("http://192.168.1.5:9000/?token=right")
        assert len(client.cookies) == 2
        with client.websocket_connect(other) as socket:
            assert socket.receive_json()["type"] == "hello"


def test_hosts() -> None:
    assert "127.0.0.1" in hosts_of("localhost")
    assert hosts_of("0.0.0.0") == frozenset()
    assert hosts_of("Annotator.local") == {"annotator.local"}


@pytest.mark.parametrize("path", ["/api/uploads?name=a.mp4"])
def test_an_upload_that_is_cut_short_is_no_error_of_the_server(
    client: TestClient, projects: Projects, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    received = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return received.pop(0)

    async def send(message: Any) -> None:
        pass

    address, _, query = path.partition("?")
    scope = {"type": "http", "method": "POST", "path": address, "query_string": query.encode(), "root_path": ""}
    asyncio.run(client.app({**scope, "headers": [(b"host", b"127.0.0.1:8000")]}, receive, send))  # type: ignore[arg-type]
    assert not capsys.readouterr().err
    uploads = projects.library.out / "uploads"
    assert not uploads.exists() or not list(uploads.iterdir())


@pytest.mark.parametrize("id", ["meadow.mp4", "nothing"])
def test_a_page_that_goes_while_it_is_connected_is_no_error_of_the_server(client: TestClient, id: str) -> None:
    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        if message["type"] != "websocket.accept":
            raise OSError("the page has gone")

    path = f"/api/projects/{id}/socket"
    scope = {"type": "websocket", "path": path, "query_string": b"", "root_path": "", "subprotocols": []}
    asyncio.run(client.app({**scope, "headers": [(b"host", b"127.0.0.1:8000")]}, receive, send))  # type: ignore[arg-type]


def test_too_many_pages_are_told_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sam2v.app.server._MOST_SOCKETS", 0)
    with client.websocket_connect(SOCKET) as socket:
        refused = socket.receive_json()
    assert refused["type"] == "refused" and "too many pages" in refused["text"]


def test_bytes_are_no_message(client: TestClient) -> None:
    with client.websocket_connect(SOCKET) as socket:
        socket.receive_json()
        socket.send_bytes(b"{}")
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1003
