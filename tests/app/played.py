"""A server that a test plays, for pages in a real browser: it answers when the test wants it to, or never."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from app.browser import Person
from PIL import Image

from sam2v.app.bundle import STATIC
from sam2v.app.editor import RENDERED, describe_effects
from sam2v.masks.rle import encode_rle

SIZE, FRAMES = (90, 160), 12
ADDRESS = "http://page.test/"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Played(Person):
    """A page, and the server that it believes to talk to.

    Attributes:
        held: requests that are not answered at once. asked: those that came, but for looking around.
        chosen: whether it is about one video. posted: whether anything was sent but by the socket.
        online: whether the server takes connections. denied: why it answers nothing, if it does not.
    """

    def __init__(self, browser: Any, held: tuple[str, ...] = ("prompt",)) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 800})
        super().__init__(self.context.new_page(), ADDRESS, SIZE)
        self.held, self.online, self.denied, self.socket = set(held), True, "", None
        self.chosen, self.posted = True, False
        self.asked: list[dict[str, Any]] = []
        self.objects: dict[int, dict[str, Any]] = {}
        self.kept: dict[int, dict[int, Any]] = {}
        self.prompts: dict[int, dict[int, Any]] = {}
        self.effects: list[str] = []
        self.page.route(f"{ADDRESS}**", self._serve)
        self.page.route_web_socket("ws://page.test/**", self._connected)

    def _serve(self, route: Any) -> None:
        path = route.request.url.removeprefix(ADDRESS).split("?")[0]
        self.posted |= route.request.method == "POST"
        if self.denied:
            route.fulfill(status=403, body=self.denied)
        elif path == "api/library":
            video = {"id": "clip", "name": "clip.mp4", "project": False, "chosen": self.chosen}
            effects = {"effects": describe_effects(), "rendered": RENDERED, "formats": {"png": "pictures"}}
            route.fulfill(json={"videos": [video], "model": "played", "device": "none", "most_bytes": 2**20, **effects})
        elif path.startswith("api/"):
            picture = io.BytesIO()
            Image.new("RGB", SIZE[::-1], "#777").save(picture, "JPEG")
            route.fulfill(body=picture.getvalue(), content_type="image/jpeg")
        else:
            file = STATIC / (path.removeprefix("static/") or "index.html")
            route.fulfill(body=file.read_bytes(), content_type=KINDS.get(file.suffix, "text/html"))

    def _connected(self, socket: Any) -> None:
        if not self.online:
            socket.close()
            return
        self.socket = socket
        socket.on_message(lambda text: self._take(json.loads(text)))
        self.tell(type="hello", id="clip", version="1")

    def _take(self, message: dict[str, Any]) -> None:
        if message["do"] not in ("describe", "masks", "look", "hover"):
            self.asked.append(message)
        if message["do"] not in self.held:
            self.answer(message)

    def tell(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def answer(self, message: dict[str, Any]) -> None:
        """Do what was asked, as the server does."""
        self.tell(type="reply", ask=message["ask"], value=getattr(self, f"_{message['do']}", lambda _: {})(message))

    def about(self) -> dict[str, Any]:
        return {
            "objects": list(self.objects.values()),
            "prompts": self.prompts,
            "verified": [],
            "effects": self.effects,
            "tracking": {"running": False, "at": None, "left": []},
            "history": {"undo": None, "redo": None},
            "strips": dict.fromkeys(self.objects, "-" * FRAMES),
        }

    def _describe(self, _: Any) -> dict[str, Any]:
        return {"name": "clip.mp4", "size": SIZE, "frames": FRAMES, "fps": 12.0, **self.about()}

    def _masks(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"masks": {frame: self.kept.get(frame, {}) for frame in message["frames"]}}

    def _hover(self, _: Any) -> dict[str, Any]:
        return {"mask": None}

    def _effects(self, message: dict[str, Any]) -> dict[str, Any]:
        self.effects = message["effects"]
        self.tell(type="changed", reload=False, **self.about())
        return {}

    def _remove(self, message: dict[str, Any]) -> dict[str, Any]:
        self.gone = {id: self.objects.pop(id) for id in message["objects"]}
        self.tell(type="changed", reload=True, **self.about())
        return {}

    def _undo(self, _: Any) -> dict[str, Any]:
        self.objects = dict(sorted({**self.objects, **self.gone}.items()))
        self.tell(type="changed", reload=True, **self.about())
        return {}

    def _prompt(self, message: dict[str, Any]) -> dict[str, Any]:
        """Painted masks are kept, clicks give a dot."""
        id, frame, prompt = message["object"] or len(self.objects) + 1, message["frame"], message["prompt"]
        about = {"id": id, "name": f"Object {id}", "label": "", "colour": "#1f77b4", "visible": True, "locked": False}
        self.objects.setdefault(id, about)
        self.prompts.setdefault(frame, {})[id] = {**prompt, "mask": bool(prompt["mask"])}
        dot = np.zeros(SIZE, bool)
        dot[40:44, 40:44] = True
        mask = [prompt["mask"] or encode_rle(dot)["counts"], 0.9, 5.0, "drawn" if prompt["mask"] else "prompt"]
        self.kept.setdefault(frame, {})[id] = mask
        self.tell(type="changed", reload=False, masks={frame: {id: mask}}, **self.about())
        return {"id": id}

    def start(self) -> None:
        self.page.goto(ADDRESS)
        self.at_frame(0)
        self.page.locator(".stage-canvas").focus()

    def until(self, number: int) -> list[dict[str, Any]]:
        """What was asked, once that are so many requests."""
        for _ in range(100):
            if len(self.asked) >= number:
                break
            self.page.wait_for_timeout(20)
        self.page.wait_for_timeout(60)  # for more than that
        assert len(self.asked) == number, self.asked
        return self.asked

    def drag(self, *places: float) -> None:
        """Press, move and release."""
        pairs = list(zip(places[::2], places[1::2], strict=True))
        self.page.mouse.move(*self.on_screen(*pairs[0]))
        self.page.mouse.down()
        for pair in pairs[1:]:
            self.page.mouse.move(*self.on_screen(*pair), steps=4)
        self.page.mouse.up()
