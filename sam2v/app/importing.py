"""Starting a project from masks that are there already: results, data sets, another tool's annotations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from sam2v.app.annotation import Annotation
from sam2v.app.editing import write_masks
from sam2v.app.events import Event
from sam2v.app.mask_store import MaskStore, StoredMask
from sam2v.app.state import FramePrompt, hex_colour
from sam2v.data.results import VideoMasks
from sam2v.masks.rle import encode_rle, rle_area

#: By frame, and by object of the file: counts of a run-length mask.
_Seen = dict[int, dict[int, str]]


class Imported(NamedTuple):
    """What an import has done.

    Attributes:
        objects: how many were added. frames: on how many frames masks are others now.
        verified: frames that were left out, because somebody verified them and their masks are others.
        again: whether there was an import from the same place before.
    """

    objects: int
    frames: int
    verified: tuple[int, ...]
    again: bool

    def __str__(self) -> str:
        if self.frames:
            text = f"{self.objects} objects and the masks of {self.frames} frames imported"
        else:
            text = "already imported" if self.again else "nothing imported"
        if not self.verified:
            return text
        few = ", ".join(map(str, self.verified[:5])) + (", ..." if len(self.verified) > 5 else "")
        return f"{text}; {len(self.verified)} verified frames were left as they are: {few}"


def import_masks(annotation: Annotation, masks: VideoMasks) -> Imported:
    """Add the objects of masks to a project, with their masks on every frame as they are.

    Each is prompted with its mask on the frame where it is largest, so that tracking can go on from there. Of what was
    imported from the same place before, the frames are imported again that are others now, or that an import which was
    cut short (the process was killed) did not come to. Verified frames stay, and objects that were removed since do not
    come back.

    Raises:
        ValueError, OSError: a broken file, masks of another size than the video, no object, a locked one whose masks
            are others, or a full disk; nothing has changed then.
    """
    place = str(masks.path.resolve())
    earlier = [e for e in annotation.log.live if e["do"] == "import" and e["path"] == place]
    if earlier and "digests" not in earlier[-1]:  # of an older project, which does not say what was imported
        return Imported(0, 0, (), True)
    seen = _read(masks, annotation.length)
    if not any(seen.values()):
        raise ValueError(f"{masks.path}: no object is seen on any frame")
    digests = _digests(earlier[-1]) if earlier else {}
    missing = _missing(annotation.store, earlier) if earlier else set()
    now = {frame: _digest(several) for frame, several in seen.items() if several}
    changed = sorted({f for f in {*digests, *now} if digests.get(f) != now.get(f)} | missing)
    skipped = tuple(frame for frame in changed if frame in annotation.state.verified)
    taken = {frame: seen.get(frame, {}) for frame in changed if frame not in annotation.state.verified}
    ids, new = _numbers(annotation, earlier[-1] if earlier else None, taken)
    if not taken or not ids:
        return Imported(0, 0, skipped, bool(earlier))
    prompts = _prompts(annotation, taken, ids)
    for frame in taken:
        digests.pop(frame, None)
    about: dict[str, Any] = {
        "path": place,
        "objects": new,
        "prompts": {f: {i: asdict(prompt) for i, prompt in several.items()} for f, several in prompts.items()},
        "ids": ids,
        "digests": digests | {frame: now[frame] for frame in taken if frame in now},
    }
    annotation.run.halt()
    with annotation.history.changing(ids.values()) as before:
        for frame, given in prompts.items():
            annotation.answer(frame, given)
        event = annotation.record("import", before, quiet=True, **about)
    write_masks(annotation, event, _kept(annotation.store, taken, ids))
    annotation.changed(reload=True)
    return Imported(len(new), len(taken), skipped, bool(earlier))


def _kept(store: MaskStore, taken: _Seen, ids: dict[int, int]) -> Iterator[tuple[int, dict[int, StoredMask | None]]]:
    """(frame, masks by object of the project) as they are to be kept."""
    for frame, several in taken.items():
        kept: dict[int, StoredMask | None] = dict.fromkeys(store.frame(frame, ids.values()))
        kept |= {ids[i]: StoredMask(text, 1.0, 10.0, "drawn") for i, text in several.items() if i in ids}
        yield frame, kept


def _digests(event: Event) -> dict[int, str]:
    """What an import knew of the file's masks, by frame."""
    return {int(frame): digest for frame, digest in event["digests"].items()}


def _missing(store: MaskStore, imports: list[Event]) -> set[int]:
    """Frames that imports from one place changed, going by their events, and whose masks they did not come to write."""
    known: dict[int, str] = {}
    changed: dict[int, int] = {}  # by frame the newest import that did
    for event in imports:
        digests = _digests(event)
        changed |= {f: event["event"] for f in {*known, *digests} if known.get(f) != digests.get(f)}
        known = digests
    written = store.written({event["event"] for event in imports})
    return {frame for frame, event in changed.items() if written.get(frame, -1) < event}


def _read(masks: VideoMasks, length: int) -> _Seen:
    return {
        frame: {int(i): encode_rle(mask)["counts"] for i, mask in masks.masks(frame).items() if np.any(mask)}
        for frame in masks.frames
        if frame < length
    }


def _digest(several: dict[int, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(several.items())).encode()).hexdigest()[:16]


def _numbers(
    annotation: Annotation, earlier: Event | None, taken: _Seen
) -> tuple[dict[int, int], list[dict[str, Any]]]:
    """The project's numbers of the file's objects, without those that were removed, and what is said about new ones."""
    state = annotation.state
    kept = {} if earlier is None else {int(theirs): ours for theirs, ours in earlier["ids"].items()}
    ids = {theirs: ours for theirs, ours in kept.items() if ours in state.objects}
    annotation.check_unlocked(list(ids.values()) if taken else [])
    coming = sorted({theirs for several in taken.values() for theirs in several} - kept.keys())
    first = state.next_id
    free = bool(coming) and first <= coming[0]  # then objects keep their numbers
    ids |= {theirs: theirs if free else first + row for row, theirs in enumerate(coming)}
    return ids, [state.new_object() | _about(ids[theirs]) for theirs in coming]


def _prompts(annotation: Annotation, taken: _Seen, ids: dict[int, int]) -> dict[int, dict[int, FramePrompt]]:
    """What objects are prompted with now: where they were prompted on these frames, else where they are largest."""
    size, prompts = list(annotation.source.size), annotation.state.prompts
    found: dict[int, dict[int, FramePrompt]] = {}
    for theirs, ours in ids.items():
        seen = {
            frame: {"size": size, "counts": several[theirs]} for frame, several in taken.items() if theirs in several
        }
        here = [frame for frame in taken if ours in prompts.get(frame, {})]
        for frame in here:
            found.setdefault(frame, {})[ours] = FramePrompt(mask=seen.get(frame))
        elsewhere = any(ours in several for frame, several in prompts.items() if frame not in taken)
        if seen and not elsewhere and not any(frame in seen for frame in here):
            best = max(seen, key=lambda frame: (rle_area(seen[frame]), -frame))
            found.setdefault(best, {})[ours] = FramePrompt(mask=seen[best])
    return found


def _about(obj_id: int) -> dict[str, Any]:
    return {"id": obj_id, "name": f"Object {obj_id}", "colour": hex_colour(obj_id)}
