"""A real browser, if there is one: SAM2V_REQUIRE_BROWSER=1 makes its absence a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest


def chromium() -> str | None:
    """Where a Chromium is that the system has installed."""
    named = [os.environ.get("SAM2V_BROWSER"), "chromium", "chromium-browser", "google-chrome"]
    return next((found for name in named if name and (found := shutil.which(name))), None)


def browser_or_skip() -> Iterator[Any]:
    """A Chromium that playwright drives."""
    path, reason = chromium(), "no Chromium is installed (Debian: apt-get install chromium)"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path, reason = None, "playwright is not installed (pip install playwright)"
    if path is None:
        if os.environ.get("SAM2V_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Person:
    """Somebody who uses the page: everything goes through the mouse and the keyboard."""

    def __init__(self, page: Any, address: str, size: tuple[int, int]) -> None:
        self.page, self.address, self.size = page, address, size
        self.complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._only_here(request.url))

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} {message.location['url']}")

    def _only_here(self, url: str) -> None:
        if not url.startswith((self.address, self.address.replace("http", "ws"), "blob:", "data:")):
            self.complaints.append(f"a request to {url}")

    def open(self, name: str) -> None:
        self.page.goto(self.address)
        self.page.get_by_role("link", name=name).click()
        self.at_frame(0)

    def at_frame(self, frame: int) -> None:
        """Until a frame is shown with its masks."""
        self.page.wait_for_selector(f'.stage-canvas[data-frame="{frame}"]', timeout=30_000)

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the video is seen, while the whole picture is."""
        box = self.page.locator(".stage-canvas").bounding_box()
        height, width = self.size
        scale = min((box["width"] - 16) / width, (box["height"] - 16) / height)
        left, top = box["x"] + (box["width"] - width * scale) / 2, box["y"] + (box["height"] - height * scale) / 2
        return left + x * scale, top + y * scale

    def in_video(self, x: float, y: float) -> list[float]:
        """What pixel of the video the page makes of a place on the screen, as it rounds."""
        box = self.page.locator(".stage-canvas").bounding_box()
        height, width = self.size
        scale = min((box["width"] - 16) / width, (box["height"] - 16) / height)
        left, top = box["x"] + (box["width"] - width * scale) / 2, box["y"] + (box["height"] - height * scale) / 2
        return [round((x - left) / scale, 2), round((y - top) / scale, 2)]

    def click(self, x: float, y: float, button: str = "left") -> None:
        self.page.mouse.click(*self.on_screen(x, y), button=button)

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def row(self, number: int) -> Any:
        """The row of an object in the list."""
        return self.page.locator(f'.objects li[data-object="{number}"]')

    def until_tracked(self) -> None:
        self.page.wait_for_selector(".sam2v:not(.tracking)", timeout=120_000)

    def track(self, key: str) -> None:
        self.keys(key)
        self.page.wait_for_selector(".sam2v.tracking", timeout=10_000)
        self.until_tracked()
