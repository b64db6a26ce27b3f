"""A small web server on this machine that misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What a server holds and how it behaves.

    `breaks_after`: bytes sent before the connection is cut, for each of the next answers; then it behaves.
    `claims_more`: how many bytes it announces but never sends. `answers`: status codes of the next answers.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    etag: str = ""
    breaks_after: list[int] = field(default_factory=list)
    claims_more: int = 0
    says_length: bool = True
    answers: list[int] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    """Serve `site` on a free port of 127.0.0.1 while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            site.requests.append((self.path, self.headers.get("Range")))
            if site.answers:
                return self.send_error(site.answers.pop(0))
            if self.path not in site.files:
                return self.send_error(404)
            content = site.files[self.path]
            start = self._start()
            if start >= len(content) > 0:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                return self.end_headers()
            body = content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if site.says_length:
                self.send_header("Content-Length", str(len(body) + site.claims_more))
            if site.etag:
                self.send_header("ETag", site.etag)
            self.end_headers()
            self.wfile.write(body[: site.breaks_after.pop(0)] if site.breaks_after else body)

        def _start(self) -> int:
            """First byte that is asked for; the whole file when its version is not the one the client has a part of."""
            wanted = self.headers.get("Range")
            if not wanted or not site.ranges or self.headers.get("If-Range", site.etag) != site.etag:
                return 0
            return int(wanted.removeprefix("bytes=").removesuffix("-"))

    return Handler
