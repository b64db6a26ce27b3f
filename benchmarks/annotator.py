"""How quickly the annotator answers in a real browser, and how fast it tracks beside `sam2v track`.

    python -m benchmarks.annotator --frames 120 --rounds 3

A clip of 1280 x 720 is drawn and encoded once. A person is scripted in Chromium (playwright; `SAM2V_BROWSER` names
another browser), on a server of its own. Every row is a median of all rounds:

    click, encoded frame    milliseconds from a click until its mask is shown, on a frame that was clicked on before
    click, new frame        the same on a frame that nobody has been to
    correction              the same for an object that was tracked there, two seconds after coming to the frame
    tracking, page          frames per second from the key that starts tracking until the page says that it has ended
    tracking, command       frames per second of `sam2v track` with the same prompt, its start taken off: that is what
                            a clip with a quarter of the frames needs as well
    page / command          the quotient of both, round by round
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import machine, table
from sam2v.data.synthetic import demo_clip
from sam2v.masks.clicks import central_click
from sam2v.output.encode import encode_all

_SIZE, _FPS = (720, 1280), 25
_DRAWN = 24  # frames; longer clips go through them to and fro
_CLICKS = 9
_LOOK = 2.0  # seconds that somebody looks at a frame


def main() -> None:
    """Let a person work and a command run, in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=120, help="length of the clip (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs (default: %(default)s)")
    parser.add_argument("--model", default="sam2v_nano", help="(default: %(default)s)")
    args = parser.parse_args()
    options = ["--model", args.model]
    known: list[float] = []
    new: list[float] = []
    corrected: list[float] = []
    page: list[float] = []
    command: list[float] = []
    with tempfile.TemporaryDirectory() as folder, _chromium() as browser:
        long, short = Path(folder) / "long.mp4", Path(folder) / "short.mp4"
        x, y = _draw(long, args.frames)
        _draw(short, args.frames // 4)
        for number in range(args.rounds):
            with _served(long, Path(folder) / f"out{number}", options) as address:
                person = _Person(browser, address)
                person.click(x, y)  # the frame is encoded, the object is there
                known += [person.click(x + step, y) for step in range(1, _CLICKS)]
                page.append(args.frames / person.track())
                places = [step * (args.frames - 1) // _CLICKS for step in range(1, _CLICKS)]
                person.keys("n")  # a new object
                for place in places:
                    person.go_to(place)
                    new.append(person.click(x, y))
                person.page.locator('.objects li[data-object="1"]').click(position={"x": 4, "y": 4})
                for place in places:
                    person.go_to(place + 2)
                    time.sleep(_LOOK)
                    corrected.append(person.click(x, y))
                person.page.close()
            prompts = [f"--point=0:1:{x:.0f},{y:.0f}", *options]
            seconds = [_track(clip, prompts) for clip in (long, short)]
            command.append((args.frames - args.frames // 4) / (seconds[0] - seconds[1]))
    rows = [
        ["click, encoded frame", f"{statistics.median(known):.0f} ms"],
        ["click, new frame", f"{statistics.median(new):.0f} ms"],
        ["correction, tracked frame", f"{statistics.median(corrected):.0f} ms"],
        ["tracking, page", f"{statistics.median(page):.1f} frames/s"],
        ["tracking, command", f"{statistics.median(command):.1f} frames/s"],
        ["page / command", f"{statistics.median(a / b for a, b in zip(page, command, strict=True)):.2f}"],
    ]
    print(table(["", "median"], rows, words=1))
    print(f"\n{args.frames} frames of {_SIZE[1]} x {_SIZE[0]}, {args.rounds} rounds; {machine()}")


class _Person:
    """Somebody at the page of a video."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.page.goto(address)
        self.shown(0)

    def shown(self, frame: int) -> None:
        self.page.wait_for_selector(f'.stage-canvas[data-frame="{frame}"]', timeout=60_000)

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def go_to(self, frame: int) -> None:
        """Type the number of a frame."""
        box = self.page.locator("input.frame-number")
        box.fill(str(frame))
        box.press("Enter")
        self.shown(frame)
        self.page.locator(".stage-canvas").focus()

    def click(self, x: float, y: float) -> float:
        """Click on a pixel of the video; milliseconds until the mask is shown."""
        box = self.page.locator(".stage-canvas").bounding_box()
        scale = min((box["width"] - 16) / _SIZE[1], (box["height"] - 16) / _SIZE[0])
        left = box["x"] + (box["width"] - _SIZE[1] * scale) / 2
        top = box["y"] + (box["height"] - _SIZE[0] * scale) / 2
        self.page.evaluate("() => { delete document.querySelector('.sam2v').dataset.answered; }")
        self.page.mouse.click(left + x * scale, top + y * scale)
        element = self.page.wait_for_selector(".sam2v[data-answered]", timeout=60_000)
        return float(element.get_attribute("data-answered"))

    def track(self) -> float:
        """Track forwards; seconds."""
        began = time.perf_counter()
        self.keys("t")
        self.page.wait_for_selector(".sam2v.tracking", timeout=30_000)
        self.page.wait_for_selector(".sam2v:not(.tracking)", timeout=600_000)
        return time.perf_counter() - began


def _draw(path: Path, count: int) -> tuple[float, float]:
    """Write the clip; a pixel (x, y) in the middle of its first object."""
    clip = demo_clip(_SIZE, frames=_DRAWN)
    frames = clip.frames.permute(0, 2, 3, 1).numpy()
    way = [*range(_DRAWN), *range(_DRAWN - 2, 0, -1)]
    encode_all((frames[way[t % len(way)]] for t in range(count)), path, "mp4", _SIZE, _FPS)
    found = central_click(clip.masks[0, 0].numpy())
    assert found is not None
    return float(found[0]), float(found[1])


@contextlib.contextmanager
def _chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    names = (os.environ.get("SAM2V_BROWSER"), "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        raise SystemExit("no Chromium is installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def _served(clip: Path, out: Path, options: list[str]) -> Iterator[str]:
    """The command, running; its address."""
    command = ["annotate", str(clip), "--out", str(out), "--no-browser", *options]
    process = subprocess.Popen([sys.executable, "-m", "sam2v.cli", *command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/\S*", process.stdout.readline())
        assert found is not None
        yield found[0]
    finally:
        process.kill()
        process.wait()


def _track(clip: Path, arguments: list[str]) -> float:
    """Run `sam2v track`; seconds."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        command = [sys.executable, "-m", "sam2v.cli", "track", str(clip), "--out", out, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
