"""The projects that are open: a few, the others saved and closed."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from sam2v.app.annotation import Annotation
from sam2v.app.editor import Editor
from sam2v.app.library import Library, Video
from sam2v.app.pictures import encoded
from sam2v.app.segmenter import Segmenter
from sam2v.app.worker import Worker
from sam2v.predict.video import VideoPredictor
from sam2v.video.base import FrameSource


class Project:
    """A project that pages are connected to: the annotation, and the frames that pages look at.

    Pages have sources of their own, so that looking around does not disturb the decoder that tracking reads from.

    Args:
        id: what addresses call it. annotation: the project.

    Attributes:
        editor: shows and renders effects.
        version: changes with the video, so that pages may keep its frames for good.
    """

    def __init__(self, id: str, annotation: Annotation) -> None:
        self.id, self.annotation = id, annotation
        self._shown: FrameSource = copy.deepcopy(annotation.source)
        self.editor = Editor(annotation)
        about = "" if annotation.source.path is None else _about(annotation.source.path)
        self.version = hashlib.sha256(about.encode()).hexdigest()[:12]

    @property
    def is_busy(self) -> bool:
        """Whether closing it would disturb somebody, or something that is under way."""
        return self.annotation.is_busy or self.editor.is_rendering

    @property
    def is_writing(self) -> bool:
        """Whether an export or a rendering is under way."""
        return bool(self.annotation.exporting) or self.editor.is_rendering

    def jpeg(self, frame: int) -> bytes:
        """A frame as JPEG. EndOfVideo, which is an IndexError, behind the last one."""
        return encoded(self._shown[frame])[0]

    def close(self) -> None:
        """Save everything and give it back."""
        self._shown.close()
        self.editor.close()
        self.annotation.close()


def open_project(
    id: str, folder: Path, source: FrameSource, name: str, worker: Worker, segmenter: Callable[..., Segmenter]
) -> Project:
    """A project in a folder, see `Annotation`; when it cannot be opened, nothing stays open, not even the source."""
    try:
        annotation = Annotation(folder, source, name, worker, segmenter)
    except BaseException:
        source.close()
        raise
    try:
        return Project(id, annotation)
    except BaseException:
        annotation.close()
        raise


class Projects:
    """Opens projects when they are asked for, and saves and closes those that nobody uses when there are many.

    Args:
        library: the videos. predictor: answers prompts and tracks. worker: the thread that has the device.
        most: how many stay open.

    Attributes:
        segmenter: the model's side of each.
    """

    segmenter: type[Segmenter] = Segmenter

    def __init__(self, library: Library, predictor: VideoPredictor, worker: Worker, most: int = 6) -> None:
        self.library, self.predictor, self.worker, self.most = library, predictor, worker, most
        self._open: OrderedDict[str, Future[Project]] = OrderedDict()
        self._pins: Counter[str] = Counter()
        self._lock = threading.Lock()

    def get(self, id: str) -> Future[Project]:
        """A project, opened if it is not; errors are in the future. KeyError: there is no such video."""
        with self._lock:
            future = self._usable(id)
        if future is None:
            video = self.library.video(id)  # looks through the folder: nobody else waits for that
            with self._lock:
                future = self._usable(id)
                if future is None:
                    future = self._open[id] = self.worker.submit(lambda: self._opened(video))
                    self._open.move_to_end(id)
        return future

    def _usable(self, id: str) -> Future[Project] | None:
        """A project that is open, or will be; used last."""
        future = self._open.get(id)
        if future is None or _has_failed(future):
            return None
        self._open.move_to_end(id)
        return future

    @contextlib.contextmanager
    def pinned(self, id: str) -> Iterator[None]:
        """Keep a project open, once it is, as long as the block lasts."""
        with self._lock:
            self._pins[id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._pins[id] -= 1
                self._pins += Counter()  # without those at 0

    def close(self) -> None:
        """Save and close all of them; called when the worker takes no more jobs."""
        for future in self._open.values():
            if future.done() and not _has_failed(future):
                _close(future.result())
        self._open.clear()

    def _opened(self, video: Video) -> Project:
        self._evict()
        folder = self.library.folder(video)
        source = self.library.open(video)
        segmenter = partial(self.segmenter, self.predictor)
        return open_project(video.id, folder, source, video.name, self.worker, segmenter)

    def _evict(self) -> None:
        """Close the projects that were not used for the longest time; runs in the worker's thread."""
        with self._lock:
            for id in [id for id, future in self._open.items() if _has_failed(future)]:
                del self._open[id]
            idle = [
                (id, future.result())
                for id, future in self._open.items()
                if future.done() and not future.result().is_busy
                if not self._pins[id]
            ]
            closing = idle[: max(0, len(self._open) - self.most)]
            for id, _ in closing:
                del self._open[id]
        for _, project in closing:
            _close(project)


def _has_failed(future: Future[Project]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)


def _close(project: Project) -> None:
    """Close a project; a full disk keeps its session from being saved, which follows from what is on it."""
    try:
        project.close()
    except OSError as error:
        print(f"sam2v: warning: {project.id}: {error}", file=sys.stderr)


def _about(path: Path) -> str:
    """When a file or folder was changed, and its size."""
    state = path.stat()
    return f"{state.st_mtime_ns} {state.st_size}"
