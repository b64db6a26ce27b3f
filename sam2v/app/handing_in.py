"""From a task of the data engine to a project of the annotator, and from there to what is handed in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.app import editing
from sam2v.app.annotation import Annotation
from sam2v.app.events import Event
from sam2v.app.importing import import_masks
from sam2v.app.mask_store import StoredMask
from sam2v.app.state import FramePrompt, prompts_of
from sam2v.data.masklet_file import MaskletMasks, MaskRow, frames_at
from sam2v.data.results import VideoMasks
from sam2v.data_engine.work import Act, ActKind, Work
from sam2v.masks.rle import decode_rle, encode_rle
from sam2v.output.sav import stability_of

#: Seconds without any input after which somebody does not work any more.
IDLE = 20.0
_OBJECT = 1


class OneMasklet:
    """The masks of a revision, as `import_masks` reads them.

    Args:
        masks: of one object.
    """

    def __init__(self, masks: MaskletMasks, path: Path) -> None:
        self._masks, self._path = masks, path

    def file(self, frame_idx: int) -> Path:
        """The revision's file."""
        return self._path

    def masks(self, frame_idx: int) -> dict[int, np.ndarray]:
        """H x W bool, as object 1."""
        return {_OBJECT: self._masks.mask(frame_idx)}


def begin_task(
    annotation: Annotation, name: str, start: MaskletMasks | None, path: Path | None, locked: bool = False
) -> None:
    """Give a new project its one object, with the masks so far; a project that was begun stays as it is.

    An import that was cut short or undone, which is the only change then, is made anew.

    Args:
        name: of the object. start, path: the masks so far and their file, None for an object that is to be found.
        locked: whether it is only looked at.

    Raises:
        ValueError: they are of another video.
    """
    log = annotation.log
    if any(event is not None and event["do"] != "import" for event in (*log.live, log.to_redo)):
        return
    if log.live:
        annotation.undo()
    if start is not None and path is not None and any(start.areas()):
        if start.size != tuple(annotation.source.size):
            raise ValueError(f"{path}: the masks so far are of another size than the video")
        import_masks(annotation, VideoMasks(path, "masklet", OneMasklet(start, path), start.frames, start.size))
        annotation.record("object", objects=[{"id": _OBJECT, "name": name}])
    else:
        editing.change_object(annotation, {"name": name})
    if locked:
        annotation.record("view", objects=[{"id": _OBJECT, "locked": True}])


def annotated_frames(annotation: Annotation, rate: float) -> list[int]:
    """Indices of the frames whose masks are handed in, `rate` a second."""
    return frames_at(annotation.length, annotation.source.fps, rate)


def work_of(
    annotation: Annotation, rate: float, start: MaskletMasks | None, model: str, seconds: float, phase: int = 3
) -> Work:
    """What is handed in of a project, in the worker's thread: the object's masks on the annotated frames as they are.

    Where the object's prompts were cleared, or the task began with an empty mask, it is not to be seen.

    Args:
        rate: annotated frames per second. start: the masks that the task began with.
        model: which one helped. seconds: active ones. phase: by which it was worked.

    Raises:
        ValueError: tracking is under way, there is not one object, or a frame without a mask.
    """
    if annotation.run.is_running:
        raise ValueError("tracking is under way: wait for its end, or stop it")
    if len(annotation.state.objects) != 1:
        raise ValueError(
            f"a task is about one object, and here are {len(annotation.state.objects)}: delete or merge the others"
        )
    (obj_id,) = annotation.state.objects
    frames = annotated_frames(annotation, rate)
    events = [event for event in annotation.log.live if event["do"] == "prompt"]
    known = {frame: annotation.store.frame(frame, [obj_id]).get(obj_id) for frame in frames}
    touched = {event["frame"] for event in events}
    if start is not None:
        touched |= {frame for frame, area in zip(start.frames, start.areas(), strict=True) if not area}
    missing = [frame for frame, mask in known.items() if mask is None and frame not in touched]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(frames)} annotated frames have no mask yet, the first is {missing[0]}: track over "
            "them, or clear those where the object is not to be seen (C)"
        )
    rows = {frame: _row(annotation, frame, obj_id, mask, start) for frame, mask in known.items()}
    masks = MaskletMasks(annotation.source.size, rows)
    if not any(masks.areas()):
        raise ValueError("the object is on no annotated frame: click on it, or give the object up")
    return Work(masks, list(_acts(events, obj_id, frames)), phase, model, seconds)


def _row(
    annotation: Annotation, frame: int, obj_id: int, mask: StoredMask | None, start: MaskletMasks | None
) -> MaskRow:
    """A mask with its scores: those of the start as long as it is as it was, else the session's."""
    if mask is None or mask.is_absent:
        counts = str(encode_rle(np.zeros(annotation.source.size, bool))["counts"])
    else:
        counts = mask.counts
    if start is not None and frame in start.rows and start.rows[frame].counts == counts:
        return start.rows[frame]
    if mask is None or mask.kind == "drawn":
        return MaskRow(counts)
    own = annotation.segmenter.result(frame, [obj_id])
    stability = 1.0 if own is None else float(stability_of(own.select([obj_id]).low_res)[0])
    return MaskRow(counts, float(mask.iou), float(mask.score), stability)


def _acts(events: Sequence[Event], obj_id: int, frames: Sequence[int]) -> Iterator[Act]:
    """What was done and not undone, each at the annotated frame next to where it was done."""
    times = [float(event["at"]) for event in events]
    spent = [min(max(0.0, after - before), IDLE) for before, after in pairwise([*times[:1], *times])]
    prompts: dict[int, FramePrompt] = {}
    for event, seconds in zip(events, spent, strict=True):
        for frame, given in prompts_of(event):
            now, before = given.get(obj_id, FramePrompt()), prompts.get(frame, FramePrompt())
            prompts[frame] = now
            near = min(frames, key=lambda index: abs(index - frame))
            for kind, about in _differences(before, now):
                yield Act(near, kind, **about, seconds=seconds)
                seconds = 0.0


def _differences(before: FramePrompt, now: FramePrompt) -> Iterable[tuple[ActKind, dict[str, Any]]]:
    """What was added to the prompts of a frame: a box counts as a click on its centre."""
    for x, y, label in now.points[len(before.points) :]:
        yield "click", {"x": x, "y": y, "label": int(label)}
    if now.box is not None and now.box != before.box:
        x0, y0, x1, y1 = now.box
        yield "click", {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2}
    if now.mask is not None and now.mask != before.mask:
        new = decode_rle(now.mask)
        old = np.zeros_like(new) if before.mask is None else decode_rle(before.mask)
        rows, columns = np.nonzero(new != old)
        label = int(new.sum() >= old.sum())
        yield "stroke", {"x": columns.mean(), "y": rows.mean(), "label": label, "radius": np.sqrt(len(rows) / np.pi)}
    if before and not now:
        yield "mask", {"label": 0}
