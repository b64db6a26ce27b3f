"""Effects in a project: pictures of a frame with them, and rendering the whole video in a thread of its own."""

from __future__ import annotations

import copy
import shutil
import threading
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.app.annotation import Annotation
from sam2v.app.exports import pack
from sam2v.app.pictures import encoded
from sam2v.effects.edit import Edit
from sam2v.effects.parse import EFFECTS, parse_effects
from sam2v.effects.rendering import render
from sam2v.masks.rle import decode_rle
from sam2v.video.base import FrameSource

#: What a video with effects is written as.
RENDERED = {
    "mp4": "H.264, with the sound of the source",
    "webm": "VP9, transparent where something is cut out, with the sound of the source",
    "gif": "GIF, transparent where something is cut out",
    "png": "a picture per frame, transparent where something is cut out",
}
_MOST_EFFECTS, _LONGEST = 20, 200


def describe_effects() -> list[dict[str, Any]]:
    """The effects, with their options and defaults, as pages offer them."""
    return [
        {
            "name": name,
            "about": (kind.__doc__ or "").split("\n")[0],
            "background": kind.takes_background,
            "options": [
                {
                    "name": option.name,
                    "type": str(option.type).split(" ")[0],
                    "default": None if option.default is MISSING else option.default,
                }
                for option in fields(kind)
            ],
        }
        for name, kind in EFFECTS.items()
    ]


def check_effects(annotation: Annotation, texts: Any) -> list[str]:
    """Effects as a page sends them.

    Raises:
        ValueError: too many, one that is wrong, or one for an object that is not there.
    """
    if not isinstance(texts, list) or len(texts) > _MOST_EFFECTS or not all(isinstance(t, str) for t in texts):
        raise ValueError(f"effects are a list of at most {_MOST_EFFECTS} texts such as background:blur=12")
    if any(len(text) > _LONGEST for text in texts):
        raise ValueError(f"an effect is a text of at most {_LONGEST} characters")
    for applied in parse_effects(texts) if texts else ():
        if isinstance(applied.target, int) and applied.target not in annotation.state.objects:
            raise ValueError(f"{applied.name}: there is no object {applied.target}")
    return list(texts)


class Editor:
    """Shows and renders a project's video with effects.

    Args:
        annotation: the project; its video is opened anew for this.
    """

    def __init__(self, annotation: Annotation) -> None:
        self.annotation = annotation
        self._lock = threading.Lock()
        self._source: FrameSource = copy.deepcopy(annotation.source)
        self._edit: tuple[tuple[tuple[str, ...], int, int], Edit] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def preview(self, frame: int, texts: Any) -> tuple[bytes, str]:
        """A frame with effects: its bytes, and their type.

        Raises:
            ValueError: a wrong effect. IndexError: no such frame.
        """
        effects = check_effects(self.annotation, texts)
        with self._lock:
            picture = self._edited(effects)[frame] if effects else self._source[frame]
        return encoded(picture)

    def render(self, message: dict[str, Any]) -> dict[str, Any]:
        """Render the whole video with effects; all pages are told how far it is, and when it is ready."""
        effects = check_effects(self.annotation, message.get("effects"))
        format = message.get("format")
        if format not in RENDERED:
            raise ValueError(f"format must be one of {', '.join(RENDERED)}, got {format!r}")
        if not effects:
            raise ValueError("add an effect first")
        if self.is_rendering:
            raise ValueError("a video is being rendered already: wait for it, or stop it")
        self._stop.clear()
        self._thread = threading.Thread(target=self._render, args=(effects, format), daemon=True)
        self._thread.start()
        return {}

    @property
    def is_rendering(self) -> bool:
        """Whether a video is being rendered."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Stop rendering after the frame that is under way; what was written of it is removed."""
        self._stop.set()

    def close(self) -> None:
        """Stop, and close the video."""
        self.stop()
        if self._thread is not None:
            self._thread.join(30)
        self._source.close()

    def masks(self, frame: int) -> dict[int, np.ndarray] | None:
        """The objects that are seen on a frame, H x W bool by id; None where there is no result, not even of absence:
        nothing that is erased elsewhere is filled from there."""
        kept = self.annotation.store.frame(frame, list(self.annotation.state.objects))
        if not kept:
            return None
        size = list(self.annotation.source.size)
        return {i: decode_rle({"size": size, "counts": m.counts}) for i, m in kept.items() if not m.is_absent}

    def _edited(self, effects: list[str]) -> Edit:
        """The video with effects; made anew when effects or masks are others, or anything was done in the project."""
        key = (tuple(effects), self.annotation.log.count, self.annotation.store.writes)
        if self._edit is None or self._edit[0] != key:
            self._edit = (key, Edit(self._source, self.masks, effects))
        return self._edit[1]

    def _render(self, effects: list[str], format: str) -> None:
        tell, length = self.annotation.tell, self.annotation.length

        def progress(done: int, _: int | None) -> None:
            if self._stop.is_set():
                raise InterruptedError
            if done % 3 == 0:
                tell({"type": "rendering", "format": format, "frame": done, "frames": length})

        exports = self.annotation.folder / "exports"
        stem = f"{Path(self.annotation.name).stem}-edited"
        out = exports / "edited" if format == "png" else exports / f"{stem}.{format}"
        try:
            exports.mkdir(exist_ok=True)
            if format == "png" and out.is_dir():
                shutil.rmtree(out)
            with copy.deepcopy(self._source) as source:
                how: Any = {"format": format, "gaps": "unchanged", "progress": progress}
                render(source, self.masks, effects, out, **how)
            name = pack(out, exports, stem) if format == "png" else out.name
        except InterruptedError:
            tell({"type": "rendered", "format": format, "file": None})
        except Exception as error:
            tell({"type": "rendered", "format": format, "file": None})
            tell({"type": "error", "text": f"Rendering stopped: {error}"})
        else:
            tell({"type": "rendered", "format": format, "file": name, "folder": str(exports)})
