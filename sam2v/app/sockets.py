"""A page's connection: requests that are answered, and everything that changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from sam2v.app import editing
from sam2v.app.annotation import Annotation, Message
from sam2v.app.editor import check_effects
from sam2v.app.exports import export_steps
from sam2v.app.projects import Project
from sam2v.files import parse_json

#: Bytes of a message, messages a second over a while, and how many at once.
MOST_BYTES, RATE, BURST = 2**20, 100.0, 400.0
#: Messages that may wait to be sent to a page, their characters, and seconds that sending one may take.
WAITING, WAITING_CHARACTERS, SENDING = 4000, 2**26, 30.0
#: Messages of a page that may wait for their answers; before it has some, no more is read.
UNANSWERED = 64

_ASKED: dict[str, Callable[[Annotation, Message], Message]] = {
    "describe": Annotation.describe,
    "masks": Annotation.masks,
    "look": Annotation.look,
    "hover": Annotation.hover,
    "worst": Annotation.worst,
    "object": editing.change_object,
    "view": editing.view,
    "remove": editing.remove,
    "merge": editing.merge,
    "prompt": editing.prompt,
    "auto": editing.auto,
    "verify": editing.verify,
    "track": lambda project, message: project.run.track(message),
    "resume": lambda project, message: project.run.resume(),
    "stop": lambda project, message: project.run.stop(),
    "undo": lambda project, message: project.undo(),
    "redo": lambda project, message: project.redo(),
}


class Allowance:
    """How many messages somebody may still send: so many a second, and a few more at once."""

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self.rate, self.burst = rate, burst
        self._left, self._at = burst, time.monotonic()

    def take(self) -> bool:
        """Whether another one is allowed."""
        now = time.monotonic()
        self._left = min(self.burst, self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def answer(project: Project, message: Message) -> Message:
    """Do what a page asks, in the worker's thread.

    Raises:
        ValueError and others: it cannot be done; the text says why.
    """
    annotation = project.annotation
    annotation.check_open()
    if message.get("do") == "effects":
        annotation.record("effects", effects=check_effects(annotation, message.get("effects")))
        return {}
    if message.get("do") == "render":
        return project.editor.render(message)
    if message.get("do") == "stop_rendering":
        project.editor.stop()
        return {}
    if message.get("do") == "export":
        steps = export_steps(annotation, str(message.get("format")))
        next(steps)  # what is wrong is said at once
        annotation.worker.run(_telling(annotation, steps))
        return {}
    asked = _ASKED.get(str(message.get("do")))
    if asked is None:
        raise ValueError(f"do must be one of {', '.join([*_ASKED, 'export', 'effects', 'render', 'stop_rendering'])}")
    return asked(annotation, message)


class Outbox:
    """Messages that wait to be sent to a page, within bounds. Used in the loop's thread alone.

    Attributes:
        is_over: whether there were more than may wait; nothing is taken from then on.
    """

    def __init__(self) -> None:
        self.is_over = asyncio.Event()
        self._texts: asyncio.Queue[str] = asyncio.Queue()
        self._characters = 0

    def put(self, message: Message) -> None:
        """Add one, or drop everything if that were too much."""
        if self.is_over.is_set():
            return
        text = json.dumps(message, separators=(",", ":"))
        self._characters += len(text)
        if self._texts.qsize() < WAITING and self._characters <= WAITING_CHARACTERS:
            self._texts.put_nowait(text)
        else:
            self.is_over.set()
            self._texts = asyncio.Queue()

    async def get(self) -> str:
        """The next one, as soon as there is one."""
        text = await self._texts.get()
        self._characters -= len(text)
        return text


async def serve(socket: WebSocket, project: Project, about: Message) -> None:
    """Talk to a page until it goes, or does not keep up; the first thing that it is told is what the project is."""
    annotation, loop, outbox = project.annotation, asyncio.get_running_loop(), Outbox()

    def tell(message: Message) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(outbox.put, message)

    await socket.accept()
    stop_listening = annotation.listen(tell)
    tell({"type": "hello", **about})
    receiving = asyncio.create_task(_receive(socket, project, tell))
    others = [asyncio.create_task(_send(socket, outbox)), asyncio.create_task(outbox.is_over.wait())]
    try:
        await asyncio.wait([receiving, *others], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop_listening()
        if not receiving.done():
            others.append(asyncio.create_task(socket.close(1013, "the page does not keep up")))
            await asyncio.wait(others[-1:], timeout=1.0)
        await _end(receiving, *others)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for them; what went wrong in them is over with the connection."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()


async def _receive(socket: WebSocket, project: Project, tell: Callable[[Message], None]) -> None:
    allowance, room, loop = Allowance(), asyncio.Semaphore(UNANSWERED), asyncio.get_running_loop()

    def reply(number: Any, done: Any) -> None:
        tell(_reply(number, done))
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(room.release)

    while True:
        try:
            text = await socket.receive_text()
        except WebSocketDisconnect:
            return
        except KeyError:
            await socket.close(1003, "messages are texts")
            return
        if len(text) > MOST_BYTES:
            await socket.close(1009, "the message is too long")
            return
        if not allowance.take():
            await socket.close(1008, "too many messages")
            return
        try:
            message = parse_json(text, "a message")
            if not isinstance(message, dict):
                raise ValueError("a message is an object")
        except ValueError:
            tell({"type": "error", "text": "a message that is no JSON object was ignored"})
            continue
        await room.acquire()
        future = project.annotation.worker.submit(partial(answer, project, message))
        future.add_done_callback(partial(reply, message.get("ask")))


async def _send(socket: WebSocket, outbox: Outbox) -> None:
    while True:
        await asyncio.wait_for(socket.send_text(await outbox.get()), SENDING)


def _reply(number: Any, done: Any) -> Message:
    error = done.exception()
    if error is None:
        return {"type": "reply", "ask": number, "value": done.result()}
    return {"type": "reply", "ask": number, "error": error_text(error)}


def error_text(error: BaseException) -> str:
    """What a page says about an error: one line."""
    if isinstance(error, (ValueError, TypeError, KeyError, OSError, RuntimeError, ImportError)):
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        return " ".join(text.split()) or type(error).__name__
    print(f"sam2v: error: unexpected {type(error).__name__}: {error}", file=sys.stderr)
    return f"something unexpected went wrong ({type(error).__name__}); nothing was lost"


def _telling(annotation: Annotation, steps: Any) -> Any:
    """Steps whose errors all pages are told."""
    try:
        yield from steps
    except Exception as error:
        annotation.tell({"type": "error", "text": f"The export stopped: {error_text(error)}"})
