"""The annotator's addresses: the page, frames, uploads, downloads, and a socket per page."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mimetypes
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from sam2v.app.editor import RENDERED, describe_effects
from sam2v.app.exports import export_folder
from sam2v.app.guard import Guard, Who
from sam2v.app.projects import Project, Projects
from sam2v.app.sockets import error_text, serve
from sam2v.app.uploads import MOST_BYTES, receive
from sam2v.files import inside
from sam2v.output.writers import FORMATS

STATIC = Path(__file__).parent / "static"
#: Pages that may be connected at once.
_MOST_SOCKETS = 32
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


class Server:
    """Answers requests about projects.

    Args:
        projects: what it serves. about: what pages say about the model.
        most_bytes: how large an upload may be.
    """

    def __init__(self, projects: Projects, about: dict[str, str], most_bytes: int = MOST_BYTES) -> None:
        self.projects, self.about, self.most_bytes = projects, about, most_bytes
        self._files = {p.relative_to(STATIC).as_posix(): p for p in STATIC.rglob("*") if p.suffix in _TYPES}
        self._sockets = 0

    @property
    def routes(self) -> list[Route | WebSocketRoute]:
        """Its addresses."""
        project = "/api/projects/{id}"
        return [
            Route("/", self.page),
            Route("/static/{name:path}", self.static),
            Route("/api/library", self.library),
            Route("/api/uploads", self.upload, methods=["POST"]),
            Route(project + "/frames/{frame}.jpg", self.frame),
            Route(project + "/preview/{frame}", self.preview),
            Route(project + "/exports/{name}", self.export),
            WebSocketRoute(project + "/socket", self.socket),
        ]

    def app(self, hosts: frozenset[str], token: str | Who | None) -> Starlette:
        """The application: see `Guard` for who may talk to it."""
        return Starlette(
            routes=self.routes,
            middleware=[Middleware(Guard, hosts=hosts, token=token)],
            exception_handlers={Exception: self.failed, ClientDisconnect: self.cut, WebSocketDisconnect: self.gone},
            lifespan=self.lifespan,
        )

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """At the end everything is saved."""
        yield
        await run_in_threadpool(self.projects.worker.close)
        await run_in_threadpool(self.projects.close)

    async def page(self, request: Request) -> Response:
        """The page."""
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"}, media_type="text/html")

    async def static(self, request: Request) -> Response:
        """A module or a style, of those that are there; no path is made from a name."""
        path = self._files.get(request.path_params["name"])
        if path is None:
            return PlainTextResponse("not found", 404)
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
        return FileResponse(path, media_type=kind, headers={"Cache-Control": "no-cache"})

    async def library(self, request: Request) -> Response:
        """The videos on offer, the formats, the model."""
        videos = await run_in_threadpool(self.projects.library.videos)
        single = self.projects.library.only
        offered = [
            {"id": video.id, "name": video.name, "project": video.has_project, "chosen": video.path == single}
            for video in videos
        ]
        return JSONResponse(
            {
                "videos": offered,
                "formats": FORMATS,
                "rendered": RENDERED,
                "effects": describe_effects(),
                "most_bytes": self.most_bytes,
                **self.about,
            }
        )

    async def upload(self, request: Request) -> Response:
        """Take a video; its name is in the query, its bytes are the body."""
        try:
            announced = int(request.headers.get("content-length", 0))
            if announced > self.most_bytes:
                raise ValueError(f"larger than {self.most_bytes / 2**20:g} MiB, which is the most that is accepted")
            with self.projects.library.upload(request.query_params.get("name", "")) as path:
                await receive(request.stream(), path, self.most_bytes)
        except (ValueError, OSError) as error:
            return JSONResponse({"error": error_text(error)}, 400)
        return JSONResponse({"id": self.projects.library.uploaded(path).id})

    async def frame(self, request: Request) -> Response:
        """A frame as JPEG, which never changes."""
        try:
            async with self._project(request) as project:
                picture = await run_in_threadpool(project.jpeg, _frame_of(request))
        except (KeyError, IndexError, ValueError, OSError) as error:
            return PlainTextResponse(error_text(error), 404)
        kept = (
            "private, max-age=31536000, immutable" if request.query_params.get("v") == project.version else "no-cache"
        )
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": kept})

    async def preview(self, request: Request) -> Response:
        """A frame with the effects that the query names."""
        try:
            effects = json.loads(request.query_params.get("effects", "[]"))
            frame = _frame_of(request)
            async with self._project(request) as project:
                picture, kind = await run_in_threadpool(project.editor.preview, frame, effects)
        except (KeyError, IndexError, ValueError, TypeError, OSError, RecursionError) as error:
            return PlainTextResponse(error_text(error), 400)
        return Response(picture, media_type=kind, headers={"Cache-Control": "no-store"})

    async def export(self, request: Request) -> Response:
        """A file that was exported, as a download."""
        try:
            async with self._project(request) as project:
                path = inside(export_folder(project.annotation, "").resolve(), request.path_params["name"])
        except (KeyError, ValueError, OSError) as error:
            return PlainTextResponse(error_text(error), 404)
        if not path.is_file() or path.is_symlink() or path.name.startswith("."):
            return PlainTextResponse("not found", 404)
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.name)}",
            "Cache-Control": "no-store",
        }
        return FileResponse(path, media_type="application/octet-stream", headers=headers)

    async def socket(self, socket: WebSocket) -> None:
        """A page's connection."""
        if self._sockets >= _MOST_SOCKETS:
            await _refuse(socket, "too many pages are open: close one, then load this page again")
            return
        self._sockets += 1
        try:
            async with contextlib.AsyncExitStack() as stack:
                try:
                    project = await stack.enter_async_context(self._project(socket))
                except Exception as error:
                    await _refuse(socket, error_text(error))
                else:
                    await serve(socket, project, self.hello(project))
        finally:
            self._sockets -= 1

    async def cut(self, request: Request, error: Exception) -> Response:
        """A request that did not come to its end, such as an upload; nobody reads the answer."""
        return PlainTextResponse("the connection was lost", 400)

    async def gone(self, socket: WebSocket, error: Exception) -> None:
        """A page that was closed before it was told something: that is all right."""

    async def failed(self, request: Request, error: Exception) -> Response:
        """Whatever else goes wrong."""
        return PlainTextResponse(error_text(error), 500)

    def hello(self, project: Project) -> dict[str, Any]:
        """What a page is told first."""
        return {"version": project.version, "id": project.id}

    async def _known(self, connection: HTTPConnection) -> str:
        """The id in an address."""
        return str(connection.path_params["id"])

    @contextlib.asynccontextmanager
    async def _project(self, connection: HTTPConnection) -> AsyncIterator[Project]:
        """The project that an address names, which stays open as long as the block lasts."""
        id = await self._known(connection)
        with self.projects.pinned(id):
            future = await run_in_threadpool(self.projects.get, id)
            yield await asyncio.wrap_future(future)


def _frame_of(request: Request) -> int:
    """The frame that an address names; ValueError if it is no number of one."""
    text = request.path_params["frame"]
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ValueError("there is no such frame")
    return int(text)


async def _refuse(socket: WebSocket, text: str) -> None:
    """Tell a page why it is not connected; it does not try again."""
    await socket.accept()
    await socket.send_json({"type": "refused", "text": text})
    await socket.close(1000)


def make_app(projects: Projects, about: dict[str, str], hosts: frozenset[str], token: str | None, **limits: Any) -> Any:
    """The annotator as an ASGI application; `limits` as for `Server`."""
    return Server(projects, about, **limits).app(hosts, token)
