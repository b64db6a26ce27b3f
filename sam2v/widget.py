"""The annotator in a notebook: the page's own parts, with the kernel in the server's place."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sam2v.app.annotation import Annotation
from sam2v.app.bundle import STATIC, bundled
from sam2v.app.editor import RENDERED, describe_effects
from sam2v.app.library import remember_video
from sam2v.app.messages import about_object
from sam2v.app.projects import Project, open_project
from sam2v.app.segmenter import Segmenter
from sam2v.app.sockets import answer, error_text
from sam2v.app.worker import Worker
from sam2v.files import user_path
from sam2v.masks.result import MaskletFrame
from sam2v.masks.rle import decode_rle, encode_rle
from sam2v.output.writers import FORMATS
from sam2v.predict.video import VideoPredictor
from sam2v.tracking.prompts import Prompt, check_index, check_mask
from sam2v.tracking.session import Session
from sam2v.video.sources import open_source

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise ImportError("sam2v.widget needs more packages: pip install 'sam2v[notebook]'") from error

_HEIGHT = ".sam2v { height: 680px; border: 1px solid var(--line); border-radius: 10px; }"


class Annotator(anywidget.AnyWidget):
    """Point, see, track and correct in a notebook; what comes of it are Python values.

    Show it as the last value of a cell. It is the page of `sam2v annotate`, with the same keys.

    Args:
        video: the predictor that answers; a name makes one (`VideoPredictor.from_pretrained`).
        source: a video, as for `VideoPredictor.init_state`; it must be able to go back.
        out: the project's folder, where every change is kept and from where a later widget goes on; None: a temporary
            one, which is removed when the widget is closed.

    Raises:
        FileNotFoundError, ValueError, TypeError: the video cannot be read. OSError: the folder is in use or not
            writable.
    """

    _esm = bundled()
    _css = (STATIC / "annotator.css").read_text(encoding="utf-8") + _HEIGHT
    _project: Project | None = None
    _temporary: Any = None
    _worker: Any = None
    ready = traitlets.Bool(True).tag(sync=True)
    embedded = traitlets.Bool(True).tag(sync=True)
    about = traitlets.Unicode("").tag(sync=True)
    formats = traitlets.Dict().tag(sync=True)
    rendered = traitlets.Dict().tag(sync=True)
    effects: Any = traitlets.List().tag(sync=True)

    def __init__(self, video: VideoPredictor | str, source: Any, out: str | Path | None = None) -> None:
        predictor = VideoPredictor.from_pretrained(video) if isinstance(video, str) else video
        frames = open_source(source)
        if not frames.is_seekable:
            raise ValueError("the annotator needs a video that can go back: a file, a folder, an array or a list")
        self._temporary = tempfile.TemporaryDirectory(prefix="sam2v-") if out is None else None
        folder = Path(self._temporary.name) / "project" if self._temporary is not None else user_path(str(out))
        name = frames.path.name if frames.path is not None else "video"
        self._worker = Worker()

        def opened() -> Project:
            remember_video(folder, frames)
            return open_project(name, folder, frames, name, self._worker, partial(Segmenter, predictor))

        try:
            self._project = self._worker.submit(opened).result()
        except BaseException:
            self._worker.close()
            frames.close()
            if self._temporary is not None:
                self._temporary.cleanup()
            raise
        self._project.annotation.listen(lambda message: self.send(_plain(message)))
        super().__init__(
            about=str(predictor.model.device), formats=dict(FORMATS), rendered=RENDERED, effects=describe_effects()
        )
        self.on_msg(self._asked)

    # -- from Python ---------------------------------------------------------------------------------------------------

    def add_prompt(
        self, frame_idx: int, prompt: Prompt, obj_id: int | None = None, *, name: str = "", label: str = ""
    ) -> int:
        """Prompt an object from Python, in place of what it had on that frame; the page shows it. Returns its id.

        Args:
            obj_id: the object; None adds one. name, label: what it is called from now on, and its class; "": as it was.

        Raises:
            ValueError, TypeError: a wrong prompt, frame, object, name or label; nothing has changed then.
        """
        frame, known = check_index(frame_idx, "frame_idx"), None if obj_id is None else check_index(obj_id, "obj_id")
        points = np.asarray([] if prompt.points is None else prompt.points, float).reshape(-1, 2).tolist()
        labels = [1] * len(points) if prompt.labels is None else np.asarray(prompt.labels).ravel().tolist()
        if len(labels) != len(points):
            raise ValueError(f"{len(points)} points need as many labels, got {len(labels)}")
        given = {
            "points": [[*point, int(label)] for point, label in zip(points, labels, strict=True)],
            "box": None if prompt.box is None else np.asarray(prompt.box, float).ravel().tolist(),
            "mask": None if prompt.mask is None else encode_rle(self._checked(prompt.mask))["counts"],
        }
        about = about_object({key: text for key, text in (("name", name), ("label", label)) if text})
        asked = {
            "do": "prompt",
            "frame": frame,
            "object": known,
            "prompt": given,
            **({} if known is not None else about),
        }

        def prompted() -> int:
            id = int(answer(self._open, asked)["id"])
            if about and known is not None:
                answer(self._open, {"do": "object", "id": id, **about})
            return id

        return self._annotation.worker.submit(prompted).result()

    def track(self, frame_idx: int = 0, direction: Literal["forward", "backward", "both"] = "forward") -> None:
        """Track all objects from a frame, as the page's button does, and wait until that has ended.

        Raises:
            ValueError: there is nothing to track. RuntimeError: it did not come to its end.
        """
        asked = {"do": "track", "frame": check_index(frame_idx, "frame_idx"), "direction": direction}
        self._annotation.worker.submit(lambda: answer(self._open, asked)).result()
        annotation = self._annotation
        while annotation.worker.submit(lambda: annotation.run.is_running).result():
            time.sleep(0.02)
        if annotation.state.tracking is None or not annotation.state.tracking.done:
            raise RuntimeError("tracking was stopped before its end")

    # -- values --------------------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self._annotation.folder

    @property
    def session(self) -> Session:
        """The session behind it, with all prompts and results."""
        return self._annotation.segmenter.session

    @property
    def objects(self) -> dict[int, dict[str, Any]]:
        """Name, class (`label`), colour and whether it is visible and locked, by object id."""
        objects = self._annotation.state.objects
        return {obj_id: {k: v for k, v in vars(about).items() if k != "id"} for obj_id, about in objects.items()}

    @property
    def prompts(self) -> dict[int, dict[int, Prompt]]:
        """Every prompt by frame and object, as `sam2v.track` takes them."""
        return {
            frame: {
                obj_id: Prompt(
                    [point[:2] for point in given.points] or None,
                    [int(point[2]) for point in given.points] or None,
                    given.box,
                    None if given.mask is None else decode_rle(given.mask),
                )
                for obj_id, given in several.items()
            }
            for frame, several in sorted(self._annotation.state.prompts.items())
        }

    @property
    def verified(self) -> set[int]:
        """Frames that were marked as good."""
        return set(self._annotation.state.verified)

    def result(self, frame_idx: int) -> MaskletFrame:
        """The masks of all objects on a frame, as they are shown; empty where an object was not tracked."""
        frame_idx = check_index(frame_idx, "frame_idx")
        if not 0 <= frame_idx < self._annotation.length:
            raise ValueError(f"frame_idx {frame_idx} is outside the video of {self._annotation.length} frames")
        return self._annotation.worker.submit(lambda: self._annotation.result(frame_idx)).result()

    def results(self) -> Iterator[MaskletFrame]:
        """The masks of all frames, for a writer of `sam2v.open_writer`, say."""
        return (self.result(frame_idx) for frame_idx in range(self._annotation.length))

    def close(self) -> None:
        """Save everything, and give back the video and the folder."""
        worker, project, self._worker, self._project = self._worker, self._project, None, None
        try:
            if worker is not None:
                worker.close()
            if project is not None:
                project.close()
        finally:
            if self._temporary is not None:
                self._temporary.cleanup()
            super().close()

    @property
    def _open(self) -> Project:
        """The project; ValueError once it is closed."""
        if self._project is None:
            raise ValueError("the annotator was closed: make another one")
        return self._project

    @property
    def _annotation(self) -> Annotation:
        return self._open.annotation

    def _checked(self, mask: Any) -> np.ndarray:
        """A mask of the video's size."""
        found, size = check_mask(mask), self._annotation.source.size
        if found.shape != size:
            raise ValueError(f"a mask must have the video's height x width, {size[0]} x {size[1]}, got {found.shape}")
        return found

    # -- the page ------------------------------------------------------------------------------------------------------

    def _asked(self, _: Any, message: Any, buffers: Any) -> None:
        """Answer the page: pictures here, everything else in the worker's thread."""
        if not isinstance(message, Mapping):
            return
        asked = dict(message)
        number = asked.get("ask")
        future = self._annotation.worker.submit(lambda: self._answered(asked))

        def reply(done: Any) -> None:
            error = done.exception()
            if error is not None:
                self.send({"type": "reply", "ask": number, "error": error_text(error)})
                return
            value, sent = done.result()
            self.send({"type": "reply", "ask": number, "value": _plain(value)}, sent)

        future.add_done_callback(reply)

    def _answered(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        if message.get("do") == "frame":
            return {}, [self._open.jpeg(self._annotation.frame_of(message))]
        if message.get("do") == "preview":
            frame = self._annotation.frame_of(message)
            picture, kind = self._open.editor.preview(frame, message.get("effects"))
            return {"kind": kind}, [picture]
        return answer(self._open, message), []


def _plain(message: Any) -> Any:
    """What JSON makes of a message: keys are texts then."""
    return json.loads(json.dumps(message))
