"""A server that is killed in the middle of tracking loses nothing."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
from app.opened import FRAMES, a_click, served
from websockets.sync.client import connect

import sam2v
from sam2v.data.clips import Clip


class Page:
    """What a page does, without a browser."""

    def __init__(self, where: str) -> None:
        self._stack = contextlib.ExitStack()
        for _ in range(100):  # until the server answers
            with contextlib.suppress(OSError):
                address = f"ws://{where}/api/projects/meadow.mp4/socket"
                self.socket = self._stack.enter_context(connect(address, origin=f"http://{where}"))  # type: ignore[arg-type]
                return
            time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def receive(self) -> dict[str, Any]:
        return dict(json.loads(self.socket.recv(60)))

    def ask(self, do: str, **message: Any) -> Any:
        self.socket.send(json.dumps({"do": do, "ask": do, **message}))
        while True:
            got = self.receive()
            if got.get("ask") == do:
                assert "error" not in got, got
                return got["value"]

    def masks(self) -> Any:
        return self.ask("masks", frames=list(range(FRAMES)))["masks"]


@pytest.fixture(scope="module")
def checkpoint(predictor: sam2v.VideoPredictor, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("weights") / "nano.pt"
    sam2v.save_checkpoint(predictor.model, path, "official")
    return ["--checkpoint", str(path), "--override", "model.image_size=96", "--device", "cpu"]


def finished(page: Page) -> Any:
    """Everything, once tracking has ended."""
    while page.ask("describe")["tracking"]["running"]:
        time.sleep(0.05)
    return page.masks()


def test_killed_in_mid_tracking(videos: Path, clip: Clip, checkpoint: list[str], tmp_path: Path) -> None:
    with served(videos, tmp_path / "killed", checkpoint) as (process, where):
        page = Page(where)
        for obj in (0, 1):
            page.ask("prompt", frame=0, prompt={"points": [a_click(clip, obj)]})
        page.ask("object", id=1, name="Fox")
        time.sleep(1)
        page.socket.send(json.dumps({"do": "track", "ask": 1, "frame": 0, "direction": "forward"}))
        shown: dict[str, Any] = {}
        while len(shown) < 5:
            got = page.receive()
            if got["type"] == "tracked":
                shown |= got["masks"]
        process.send_signal(signal.SIGKILL)
        process.wait()
    with served(videos, tmp_path / "killed", checkpoint) as (_, where):
        page = Page(where)
        about, masks = page.ask("describe"), page.masks()
        assert [o["name"] for o in about["objects"]] == ["Fox", "Object 2"]
        assert set(about["prompts"]["0"]) == {"1", "2"}
        assert all(masks[frame] == several for frame, several in shown.items() if several)
        assert about["tracking"]["left"]
        page.ask("resume")
        after = finished(page)
    with served(videos, tmp_path / "whole", checkpoint) as (_, where):
        page = Page(where)
        for obj in (0, 1):
            page.ask("prompt", frame=0, prompt={"points": [a_click(clip, obj)]})
        page.ask("track", frame=0, direction="forward")
        assert after == finished(page)
