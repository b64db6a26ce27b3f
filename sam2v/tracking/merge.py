"""Two objects of a session that are one in truth: one track out of two."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from sam2v.arrays import namespace
from sam2v.memory import MemoryEntry, MemoryPolicy, Pool
from sam2v.model.values import BOX_END, BOX_START
from sam2v.tracking.prompts import MaskPrompt, PointPrompt
from sam2v.tracking.tracks import ObjectTrack, Pending

_Prompt = TypeVar("_Prompt", PointPrompt, MaskPrompt)


def merged(track: ObjectTrack, other: ObjectTrack, pool: Pool, policy: MemoryPolicy) -> ObjectTrack:
    """A track with the union of two objects' masks on every frame and the prompts of both; they stay as they are.

    Where one of them covers nothing, the other's result stays as it is; memories of masks that are new are encoded
    again when they are read.

    Args:
        track, other: the objects; the new one has the id of the first. pool: keeps new masks. policy: starts afresh.

    Raises:
        ValueError: a verified frame on which the union is another mask.
    """
    pair = (track.copy(), other.copy())
    for one in pair:
        one.collapse()
    frames = dict.fromkeys(frame for one in pair for frame in one.frames())
    entries = {frame: _joined(pair[0].entry(frame), pair[1].entry(frame), pool) for frame in frames}
    _check_verified(pair, entries)
    conditioning = {frame for one in pair for frame in one.bank.conditioning}
    made = ObjectTrack(track.obj_id, verified=track.verified | other.verified)
    bank: tuple[dict[int, MemoryEntry], dict[int, MemoryEntry]] = ({}, {})
    for frame, entry in entries.items():
        waiting = [one.pending[frame].conditioning for one in pair if frame in one.pending]
        if waiting:
            made.pending[frame] = Pending(entry, any(waiting) or frame in conditioning)
        else:
            bank[frame not in conditioning][frame] = entry
    made.bank.restore(*bank)
    made.bank.exemplars = [entry for one in pair for entry in one.bank.exemplars]
    made.bank.anchors = {
        frame: made.bank.history[frame]
        for frame in sorted({frame for one in pair for frame in one.bank.anchors})
        if frame in made.bank.history
    }
    made.hypotheses[0].memo = policy.start()
    made.passed = {**other.passed, **track.passed}
    made.points = _by_frame(track.points, other.points, _both_points)
    made.masks = _by_frame(track.masks, other.masks, _both_masks)
    return made


def _joined(entry: MemoryEntry | None, other: MemoryEntry | None, pool: Pool) -> MemoryEntry:
    """One result of two on a frame."""
    known = [one for one in (entry, other) if one is not None]
    areas = [int((one.mask > 0).sum()) for one in known]
    if len(known) == 1 or 0 in areas:
        return known[areas.index(max(areas))]
    larger, smaller = (known[0], known[1]) if areas[0] >= areas[1] else (known[1], known[0])
    xp = namespace(larger.mask)
    iou = sum(one.iou * area for one, area in zip(known, areas, strict=True)) / sum(areas)
    scores = xp.stack([xp.asarray(iou, dtype=xp.float32), xp.maximum(larger.score, smaller.score)])
    kept = pool.keep(xp.maximum(larger.mask, smaller.mask), larger.pointer, scores)
    prompted, readable = (larger.prompted or smaller.prompted), (larger.readable or smaller.readable)
    return MemoryEntry(kept, None, prompted, readable, larger.facts)


def _check_verified(pair: tuple[ObjectTrack, ObjectTrack], entries: dict[int, MemoryEntry]) -> None:
    for one, another in (pair, pair[::-1]):
        changed = [
            frame
            for frame in sorted(one.verified)
            if bool(((entries[frame].mask > 0) != (one.shown(frame).mask > 0)).any())
        ]
        if changed:
            raise ValueError(
                f"object {one.obj_id} is verified on frame {changed[0]}, and object {another.obj_id} covers something "
                "else there: take that back first (unverify)"
            )


def _by_frame(
    first: dict[int, _Prompt], second: dict[int, _Prompt], both: Callable[[_Prompt, _Prompt], _Prompt]
) -> dict[int, _Prompt]:
    """Prompts of two objects by frame; `both` puts together what they have on one frame."""
    together = {frame: both(first[frame], second[frame]) for frame in first.keys() & second.keys()}
    return first | {frame: prompt for frame, prompt in second.items() if frame not in first} | together


def _both_points(points: PointPrompt, other: PointPrompt) -> PointPrompt:
    """The clicks of both, and the box around their boxes."""
    corners, clicks = [], []
    for one in (points, other):
        is_corner = one.labels >= BOX_START
        corners.append(one.coords[is_corner])
        clicks.append(PointPrompt(one.coords[~is_corner], one.labels[~is_corner]))
    joined, boxes = clicks[0].joined(clicks[1]), np.concatenate(corners)
    if not len(boxes):
        return joined
    box = np.stack([boxes.min(axis=0), boxes.max(axis=0)])
    return PointPrompt(box, np.array([BOX_START, BOX_END])).joined(joined)


def _both_masks(mask: MaskPrompt, other: MaskPrompt) -> MaskPrompt:
    return MaskPrompt(mask.bits | other.bits, mask.size)  # of one session, and so of one size
