"""The page for people of a data engine's project: everyone sees the task that is theirs, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from sam2v.app.desk import TASKS, Desk, Person, seconds_of, task_name
from sam2v.app.handing_in import annotated_frames, begin_task, work_of
from sam2v.app.library import Library, Video
from sam2v.app.phases import SEGMENTERS
from sam2v.app.projects import Project, Projects
from sam2v.app.server import Server
from sam2v.app.sockets import error_text
from sam2v.app.worker import Worker
from sam2v.data_engine.queue import Task, TaskTaken
from sam2v.files import parse_json, remove_folder
from sam2v.output.lock import FolderLock
from sam2v.predict.video import VideoPredictor

_MOST_BYTES = 16384


class TaskLibrary(Library):
    """Tasks in the place of videos: what addresses call them is what the desk calls them.

    Args:
        desk: where tasks come from.
    """

    def __init__(self, desk: Desk) -> None:
        self.root = self.out = desk.project.file(TASKS)
        self.only = None
        self.tasks: dict[str, Task] = {}

    def videos(self) -> list[Video]:
        """None: people choose no video, they get a task."""
        return []

    def video(self, id: str) -> Video:
        """The video of a task that was handed out; KeyError once it is over."""
        task = self.task(id)
        return Video(id, task.video, task.path, True)

    def task(self, id: str) -> Task:
        """The task that is called so; KeyError once it is over."""
        task = self.tasks.get(id)
        if task is None:
            raise KeyError(f"the task {id[:80]} is over")
        return task


class TaskProjects(Projects):
    """A project of the annotator per task, which begins with the task's masks. When a task is over and no page is
    connected to its project any more, that is closed and its folder deleted.

    Args:
        desk: where tasks come from. predictor: answers prompts and tracks. worker: the thread that has the device.
    """

    def __init__(self, desk: Desk, predictor: VideoPredictor, worker: Worker) -> None:
        self.tasks = TaskLibrary(desk)
        self._over: set[str] = set()  # names of tasks
        self.segmenter = SEGMENTERS[desk.project.settings.phase]
        super().__init__(self.tasks, predictor, worker)

    def know(self, task: Task) -> str:
        """Have a task opened when its name is asked for; returns the name."""
        name = task_name(task)
        self.tasks.tasks[name] = task
        return name

    def finish(self, name: str) -> None:
        """A task is over, which is written down: its project is not opened again, and goes when nobody uses it."""
        self.tasks.tasks.pop(name, None)
        self._over.add(name)
        self.worker.submit(partial(self._delete, name))

    @contextlib.contextmanager
    def pinned(self, id: str) -> Iterator[None]:
        """See `Projects`; of a task that is over the last one to leave has the project deleted."""
        try:
            with super().pinned(id):
                yield
        finally:
            if id in self._over:
                self.worker.submit(partial(self._delete, id))

    def close(self) -> None:
        """Save and close all of them, and delete those of tasks that are over."""
        super().close()
        self._pins.clear()
        for name in list(self._over):
            self._delete(name)

    def _delete(self, name: str) -> None:
        """Close the project of a task that is over, and delete its folder, unless somebody uses either."""
        with self._lock:
            future = self._open.get(name)
            if name not in self._over or self._pins[name] or (future is not None and not future.done()):
                return
            project = future.result() if future is not None and future.exception() is None else None
            if project is not None and project.is_writing:
                return
            self._open.pop(name, None)
            self._over.discard(name)
        if project is not None:
            with contextlib.suppress(OSError):  # a full disk: what would be saved is not wanted any more
                project.close()
        folder = self.tasks.root / name
        with contextlib.suppress(OSError):  # another server has it open, or it cannot be moved: it stays
            if folder.is_dir():
                with FolderLock(folder):
                    remove_folder(folder)

    def _opened(self, video: Video) -> Project:
        task = self.tasks.task(video.id)  # which may be over since it was asked for
        project = super()._opened(video)
        try:
            begin_task(project.annotation, f"Object {task.number}", task.load(), task.masks, task.kind == "verify")
        except BaseException:
            project.close()
            raise
        return project


class TaskServer(Server):
    """Answers requests of people about their task.

    Args:
        desk: their tasks. projects: what they work in. about: what pages say about the model. model: its full name.
    """

    def __init__(self, desk: Desk, projects: TaskProjects, about: dict[str, str], model: str) -> None:
        super().__init__(projects, about)
        self.desk, self.tasks, self.model = desk, projects, model

    @property
    def routes(self) -> list[Route | WebSocketRoute]:
        """The page, its task, and what ends it."""
        task = "/api/tasks/{id}"
        return [
            Route("/", self.page),
            Route("/static/{name:path}", self.static),
            Route("/api/library", self.library),
            Route("/api/take/{kind}", self.take, methods=["POST"]),
            Route(task + "/seconds", self.seconds, methods=["POST"]),
            Route(task + "/end", self.end, methods=["POST"]),
            Route("/api/projects/{id}/frames/{frame}.jpg", self.frame),
            WebSocketRoute("/api/projects/{id}/socket", self.socket),
        ]

    async def library(self, request: Request) -> Response:
        """Who it is, what waits for them, the task they have."""
        found = await run_in_threadpool(self.desk.describe, person_of(request))
        return JSONResponse({"tasks": found, **self.about})

    async def take(self, request: Request) -> Response:
        """The next task."""
        return await self._answered(self._take, request)

    async def seconds(self, request: Request) -> Response:
        """Active seconds of the task that somebody has."""
        return await self._answered(self._seconds, request)

    async def end(self, request: Request) -> Response:
        """Hand in, judge, give up or give back."""
        return await self._answered(self._end, request)

    async def _take(self, request: Request) -> dict[str, Any]:
        task = await run_in_threadpool(self.desk.take, person_of(request), request.path_params["kind"])
        return {"task": None if task is None else await run_in_threadpool(self.desk.about, task)}

    async def _seconds(self, request: Request) -> dict[str, Any]:
        message = await _message(request)
        task = await self._current(request)
        return {"seconds": await run_in_threadpool(self.desk.work, task, seconds_of(message))}

    async def _end(self, request: Request) -> dict[str, Any]:
        message = await _message(request)
        do, note, seconds = message.get("do"), message.get("note", ""), seconds_of(message)
        if not isinstance(do, str) or not isinstance(note, str):
            raise ValueError("do and note must be texts")
        task = await self._current(request)
        total = await run_in_threadpool(self.desk.work, task, seconds)
        if do == "submit":
            await self._submit(request, task, total)
        else:
            await run_in_threadpool(self.desk.settle, task, do, total, note)
        self.tasks.finish(task_name(task))
        return await run_in_threadpool(self.desk.describe, person_of(request))

    async def _submit(self, request: Request, task: Task, seconds: float) -> None:
        if task.kind != "annotate":
            raise ValueError("this task is to verify: say whether the masks are satisfactory")
        async with self._project(request) as project:
            settings = self.desk.project.settings
            about = (settings.rate, task.load(), self.model, seconds, settings.phase)
            make = partial(work_of, project.annotation, *about)
            work = await asyncio.wrap_future(self.projects.worker.submit(make))
        await run_in_threadpool(self.desk.submit, task, work)

    async def _current(self, connection: HTTPConnection) -> Task:
        return await run_in_threadpool(self.desk.current, person_of(connection), connection.path_params["id"])

    async def _known(self, connection: HTTPConnection) -> str:
        """The task's name; KeyError if it is not the person's."""
        try:
            return self.tasks.know(await self._current(connection))
        except TaskTaken as error:
            raise KeyError(str(error)) from None

    def hello(self, project: Project) -> dict[str, Any]:
        """Also which frames are annotated."""
        rate = self.desk.project.settings.rate
        return {**super().hello(project), "stops": annotated_frames(project.annotation, rate)}

    async def _answered(self, handle: Callable[[Request], Awaitable[dict[str, Any]]], request: Request) -> Response:
        """An answer, or one line that says what is wrong: 409 if the task is not theirs any more."""
        try:
            return JSONResponse(await handle(request))
        except (TaskTaken, ValueError, KeyError, OSError) as error:
            status = 409 if isinstance(error, TaskTaken) else 503 if isinstance(error, OSError) else 400
            return JSONResponse({"error": error_text(error)}, status)


def person_of(connection: HTTPConnection) -> Person:
    """Who the guard let in."""
    person: Person = connection.scope["person"]
    return person


async def _message(request: Request) -> dict[str, Any]:
    """The JSON object that a request sends, if it is of a sensible size."""
    text = b""
    async for chunk in request.stream():
        text += chunk
        if len(text) > _MOST_BYTES:
            raise ValueError("the request is too long")
    try:
        message = parse_json(text, "a request")
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise ValueError("a request is a JSON object")
    return message


def make_task_app(
    desk: Desk, predictor: VideoPredictor, worker: Worker, about: dict[str, str], model: str, hosts: frozenset[str]
) -> Any:
    """The page for people of a project as an ASGI application; arguments as for `TaskServer` and `Guard`."""
    server = TaskServer(desk, TaskProjects(desk, predictor, worker), about, model)

    async def who(token: str) -> Person | None:
        return await run_in_threadpool(desk.person, token)

    return server.app(hosts, who)
