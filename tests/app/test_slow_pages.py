"""Pages that do not read what they are told."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("starlette")
from sam2v.app import sockets


class Page:
    """A page's connection on which nothing comes, and nothing that is sent arrives."""

    def __init__(self, closes: bool) -> None:
        self.closed: list[int] = []
        self.closes, self.forever = closes, asyncio.Event()

    async def accept(self) -> None:
        pass

    async def receive_text(self) -> str:
        await self.forever.wait()
        return ""

    async def send_text(self, text: str) -> None:
        await self.forever.wait()

    async def close(self, code: int, reason: str) -> None:
        self.closed.append(code)
        if not self.closes:
            await self.forever.wait()


async def until_it_ends(closes: bool, messages: int, message: dict[str, Any]) -> Page:
    """Serves a page, tells it something, and waits until it is given up."""
    page, listeners = Page(closes), []

    def listen(listener: Any) -> Any:
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    project: Any = SimpleNamespace(annotation=SimpleNamespace(listen=listen))
    serving = asyncio.create_task(sockets.serve(page, project, {}))  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    for _ in range(messages):
        listeners[0](message)
    await asyncio.wait_for(serving, 10)
    assert not listeners
    return page


@pytest.mark.parametrize("closes", [True, False])
def test_too_many_messages(closes: bool) -> None:
    assert asyncio.run(until_it_ends(closes, sockets.WAITING + 2, {"type": "tracked"})).closed == [1013]


def test_too_large_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "WAITING_CHARACTERS", 10_000)
    assert asyncio.run(until_it_ends(True, 11, {"masks": "x" * 1000})).closed == [1013]


def test_sending_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "SENDING", 0.1)
    assert asyncio.run(until_it_ends(True, 1, {"type": "tracked"})).closed == [1013]
