"""Starting a project from masks that are there already: results, data sets, another tool's annotations."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from sam2v.app.annotation import Annotation
from sam2v.app.mask_store import StoredMask
from sam2v.app.state import FramePrompt, hex_colour
from sam2v.data.results import VideoMasks
from sam2v.masks.rle import encode_rle


def import_masks(annotation: Annotation, masks: VideoMasks) -> int:
    """Add the objects of masks to a project, with their masks on every frame as they are; returns how many.

    Each is prompted with its mask on the frame where it is largest, so that tracking can go on from there. What was
    imported from the same place before is not imported again.

    Raises:
        ValueError, OSError: a broken file, or masks of another size than the video; nothing has changed then.
    """
    place = str(masks.path.resolve())
    if any(event["do"] == "import" and event["path"] == place for event in annotation.log.live):
        return 0
    counts: dict[int, dict[int, str]] = {}
    best: dict[int, tuple[int, int]] = {}  # area and frame
    for frame in (frame for frame in masks.frames if frame < annotation.length):
        for theirs, mask in masks.masks(frame).items():
            counts.setdefault(frame, {})[theirs] = encode_rle(mask)["counts"]
            best[theirs] = max(best.get(theirs, (0, 0)), (int(np.count_nonzero(mask)), -frame))
    if not best:
        raise ValueError(f"{masks.path}: no object is seen on any frame")
    first = annotation.state.next_id
    free = first <= min(best)  # then objects keep their numbers
    ids = {theirs: theirs if free else first + row for row, theirs in enumerate(sorted(best))}
    new = [annotation.state.new_object() | _about(ids[theirs]) for theirs in sorted(best)]
    prompts: dict[int, dict[int, Any]] = {}
    for theirs, (_, frame) in best.items():
        rle = {"size": list(annotation.source.size), "counts": counts[-frame][theirs]}
        prompts.setdefault(-frame, {})[ids[theirs]] = asdict(FramePrompt(mask=rle))
    with annotation.history.changing(ids.values()) as before:
        for frame, several in prompts.items():
            annotation.answer(frame, {obj_id: FramePrompt(**parts) for obj_id, parts in several.items()})
        event = annotation.record("import", before, quiet=True, path=place, objects=new, prompts=prompts)
    for frame, seen in counts.items():
        kept: dict[int, StoredMask | None] = {ids[i]: StoredMask(text, 1.0, 10.0, "drawn") for i, text in seen.items()}
        annotation.store.write(frame, event["event"], kept)
    annotation.changed(reload=True)
    return len(new)


def _about(obj_id: int) -> dict[str, Any]:
    return {"id": obj_id, "name": f"Object {obj_id}", "colour": hex_colour(obj_id)}
