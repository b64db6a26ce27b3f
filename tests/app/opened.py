"""A project that a test works with, and what it is made of."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import sam2v
from sam2v.app.annotation import Annotation
from sam2v.app.library import Library
from sam2v.app.projects import Projects
from sam2v.app.sockets import answer
from sam2v.app.worker import Worker
from sam2v.data.clips import Clip
from sam2v.masks.clicks import central_click
from sam2v.output.encode import VideoEncoder

FRAMES = 12


def write_clip(clip: Clip, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    encoder = VideoEncoder(path, "mp4", clip.size, 12.0)
    for frame in clip.frames.permute(0, 2, 3, 1).numpy():
        encoder.add(frame)
    encoder.close()


class Opened:
    """A project that a test works with: everything runs in the worker's thread, as in the server."""

    def __init__(self, library: Library, predictor: sam2v.VideoPredictor) -> None:
        self.worker = Worker()
        self.projects = Projects(library, predictor, self.worker)
        self.project = self.projects.get("meadow.mp4").result(60)
        self.told: list[dict[str, Any]] = []
        self.annotation.listen(self.told.append)

    @property
    def annotation(self) -> Annotation:
        return self.project.annotation

    def ask(self, do: str, **message: Any) -> Any:
        return self.worker.submit(lambda: answer(self.project, {"do": do, **message})).result(60)

    def wait(self) -> None:
        """Until tracking has ended."""
        for _ in range(600):
            if not self.worker.submit(lambda: self.annotation.run.is_running).result(60):
                return
            threading.Event().wait(0.05)
        raise AssertionError("tracking does not end")

    def masks(self) -> dict[int, dict[int, Any]]:
        """Everything that is kept."""
        return {f: self.annotation.store.frame(f, self.annotation.state.objects) for f in range(FRAMES)}

    def close(self) -> None:
        self.worker.close()
        self.projects.close()


def a_click(clip: Clip, obj: int, frame: int = 0) -> list[float]:
    """[x, y, 1] in the middle of a drawn object."""
    found = central_click(np.asarray(clip.masks[frame, obj]))
    assert found is not None
    return [float(found[0]), float(found[1]), 1]


@contextlib.contextmanager
def served(videos: Path, out: Path, options: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The annotator, running; and where it is."""
    with running("annotate", str(videos), "--out", str(out), *options) as found:
        yield found


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command that serves, and where."""
    command = [sys.executable, "-m", "sam2v.cli", *arguments, "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        assert process.stdout is not None
        found = re.search(r"http://(127\.0\.0\.1:\d+)/", process.stdout.readline())
        assert found is not None
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
