"""Starting the annotator: its address, its token, a browser."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from sam2v.app.guard import is_loopback
from sam2v.app.importing import import_masks
from sam2v.app.projects import Projects
from sam2v.app.server import make_app
from sam2v.app.sockets import MOST_BYTES
from sam2v.data.results import open_masks


@dataclass(frozen=True)
class Place:
    """Where to serve: a host name or address, and a port, 0 for one that is free."""

    host: str = "127.0.0.1"
    port: int = 0


def begin_with(projects: Projects, masks: Path) -> None:
    """Import masks into the project of the only video, and print what came of it.

    Raises:
        FileNotFoundError, ValueError, OSError: they cannot be read, or are of another video.
    """
    (video,) = [video for video in projects.library.videos() if video.path == projects.library.only]
    annotation = projects.get(video.id).result().annotation
    found = open_masks(masks, annotation.source)
    done = projects.worker.submit(lambda: import_masks(annotation, found)).result()
    print(f"{masks}: {done}", flush=True)


def launch(projects: Projects, about: dict[str, str], place: Place, listener: socket.socket, browser: bool) -> None:
    """Serve until interrupted, at the place where `listener` is."""
    token = None if is_loopback(place.host) else secrets.token_urlsafe(24)
    app = make_app(projects, about, hosts_of(place.host), token)
    said = f"Projects are in {projects.library.out}. Ctrl-C ends; everything is saved as you go."
    run_app(app, place, listener, "" if token is None else f"?token={token}", said, browser)


def run_app(app: Any, place: Place, listener: socket.socket, query: str, said: str, browser: bool) -> None:
    """Serve an application until interrupted.

    Args:
        listener: what `listen` gave for the place. query: behind the address that is printed. said: printed below it.
    """
    port = listener.getsockname()[1]
    host = f"[{place.host}]" if ":" in place.host else place.host
    shown = socket.gethostname() if place.host in ("0.0.0.0", "::") else host
    address = f"http://{shown}:{port}/"
    print(f"Annotate at {address}{query}\n{said}", flush=True)
    server = uvicorn.Server(config(app))
    if browser:
        threading.Thread(target=_open_browser, args=(server, address + query), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):  # the usual end; everything has been saved by then
        server.run(sockets=[listener])


def config(app: Any) -> uvicorn.Config:
    """How the application is served: small messages only, few connections, nothing logged but errors."""
    return uvicorn.Config(
        app,
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=MOST_BYTES,
        ws_ping_interval=20,
        limit_concurrency=256,
        timeout_graceful_shutdown=2,
        server_header=False,
    )


def hosts_of(host: str) -> frozenset[str]:
    """Names that a server at an address answers to; empty: any."""
    if is_loopback(host):
        return frozenset({"127.0.0.1", "localhost", "::1", host})
    return frozenset() if host in ("0.0.0.0", "::") else frozenset({host.lower()})


def listen(place: Place) -> socket.socket:
    """Take a place, before anything slow is done for it.

    Raises:
        OSError: the address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(64)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise OSError(f"cannot serve at {place.host}, port {place.port}: {error.strerror}") from None
    return listener


def _open_browser(server: uvicorn.Server, address: str) -> None:
    while not server.started:
        time.sleep(0.05)
    webbrowser.open(address)
