"""Who may talk to the server: only pages that it served itself, and with another host only those who have the token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.requests import cookie_parser

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
#: Says whose token it is, None if it is nobody's.
Who = Callable[[str], Awaitable[Any]]

_COOKIE = "sam2v-token"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Middleware that refuses what did not come from the server's own pages, and adds the headers that keep it so.

    Checked are the Host (so that a name that somebody lets point to this machine reaches nothing), the Origin (so that
    a page elsewhere cannot send anything), and where there is one, the token: in the address once, then in a cookie.

    Args:
        app: what is guarded. hosts: names that the server answers to; empty: any, which needs a token.
        token: what has to be shown, or who has which: that is in the scope as "person" then. None: nothing.
    """

    def __init__(self, app: Any, hosts: frozenset[str], token: str | Who | None) -> None:
        if not hosts and not token:
            raise ValueError("a server that answers to any name needs a token")
        self.app, self.hosts, self.token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        refusal = self._refusal(headers)
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if refusal is None and self.token is not None:
            person, cookie = await self._who(given), _cookie_of(headers.get("host", ""))
            if person is not None and scope["type"] == "http" and scope["method"] == "GET":
                await _redirect(send, scope["path"], f"{cookie}={given}")
                return
            shown = cookie_parser(headers.get("cookie", "")).get(cookie, "")
            scope["person"] = person if person is not None else await self._who(shown)
            if scope["person"] is None:
                refusal = "the token is missing or wrong: open the address that the server printed"
                if not isinstance(self.token, str):
                    refusal += ", with your own token behind ?token="
        if refusal is not None:
            await _refuse(scope, receive, send, refusal)
            return
        await self.app(scope, receive, _with_headers(send))

    def _refusal(self, headers: dict[str, str]) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            address = urlsplit(f"//{host}")
            name, _ = address.hostname or "", address.port
            from_here = origin is None or urlsplit(origin).netloc == host
        except ValueError:  # brackets that do not close, for one
            return "the name of the server or of the page cannot be read"
        if self.hosts and name not in self.hosts:
            return "this server does not answer to that name"
        if not from_here:
            return "pages of other sites may not talk to this server"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "pages of other sites may not talk to this server"
        return None

    async def _who(self, given: str) -> Any:
        """Who shows a token, None if it is wrong."""
        if self.token is None or not given:
            return None
        if isinstance(self.token, str):
            return True if hmac.compare_digest(given.encode(), self.token.encode()) else None
        return await self.token(given)


def _cookie_of(host: str) -> str:
    """The name of the cookie: browsers give the cookies of a host to all its ports, and several may serve at once."""
    return f"{_COOKIE}-{urlsplit(f'//{host}').port or 80}"


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS]
        await send(message)

    return sending


async def _redirect(send: Send, path: str, cookie: str) -> None:
    """To the same address without the token, which is in a cookie from now on."""
    where = "/" + path.lstrip("/\\")
    kept = f"{cookie}; HttpOnly; SameSite=Strict; Path=/"
    headers = [(b"location", where.encode("latin-1", "replace")), (b"set-cookie", kept.encode())]
    await send({"type": "http.response.start", "status": 303, "headers": [*headers, *_HEADERS]})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(scope: Scope, receive: Receive, send: Send, text: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
