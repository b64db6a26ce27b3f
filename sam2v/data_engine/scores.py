"""Numbers that are kept beside every revision: how sure the model is, and what the object is like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sam2v.data.masklet_file import MaskletMasks
from sam2v.masks.bits import MaskBits

#: Pixels of the mean mask below which an object is small, or medium (SA-V's buckets).
SMALL, MEDIUM = 32**2, 96**2


def bucket_of(area: float) -> str:
    """small, medium or large, by the mean area of an object in pixels."""
    return "small" if area < SMALL else "medium" if area < MEDIUM else "large"


def scores_of(masks: MaskletMasks) -> dict[str, Any]:
    """What is known of masks without looking at the video.

    Returns:
        `iou`, `iou_low`, `score_low`, `stability`: mean and lowest predicted IoU, lowest object score and mean
        stability where the object is seen; `area_jump`: the largest change of area between annotated frames, as the
        absolute logarithm of a ratio; `speed`: the largest step of its centre, in object sizes; `area`, `share`: mean
        pixels where it is seen, also as a share of the frame; `seen`, `changes`, `returns`: frames with it, how often
        it comes or goes, whether it comes back; `first`: position of the first frame that shows it.
    """
    areas = np.asarray(masks.areas(), np.float64)
    seen = np.flatnonzero(areas)
    if not len(seen):
        names = ("iou", "iou_low", "score_low", "stability", "area_jump", "speed", "area", "share")
        return {**dict.fromkeys(names, 0.0), "seen": 0, "changes": 0, "returns": False, "first": 0}
    rows = [masks.rows[masks.frames[index]] for index in seen.tolist()]
    iou, score, stability = (np.array([getattr(row, name) for row in rows]) for name in ("iou", "score", "stability"))
    there = areas[seen[0] :] > 0
    changes = int((there[1:] != there[:-1]).sum())
    jump, speed = _motion(masks, areas)
    return {
        "iou": float(iou.mean()),
        "iou_low": float(iou.min()),
        "score_low": float(score.min()),
        "stability": float(stability.mean()),
        "area_jump": jump,
        "speed": speed,
        "area": float(areas[seen].mean()),
        "share": float(areas[seen].mean() / (masks.size[0] * masks.size[1])),
        "seen": len(seen),
        "changes": changes,
        "returns": changes >= 2,
        "first": int(seen[0]),
    }


def _motion(masks: MaskletMasks, areas: np.ndarray) -> tuple[float, float]:
    """(largest jump of area, largest step of the centre) between neighbouring annotated frames that both show it."""
    jump = speed = 0.0
    before: tuple[np.ndarray, float] | None = None
    for index, area in zip(masks.frames, areas.tolist(), strict=True):
        now = None if not area else (np.argwhere(masks.mask(index)).mean(0), area)
        if before is not None and now is not None:
            jump = max(jump, abs(float(np.log(now[1] / before[1]))))
            speed = max(speed, float(np.linalg.norm(now[0] - before[0]) / np.sqrt(before[1])))
        before = now
    return jump, speed


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of two H x W masks; 1 where both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def mean_overlaps(first: Sequence[MaskletMasks], second: Sequence[MaskletMasks]) -> np.ndarray:
    """N x M: mean IoU of masklets over the frames where either is seen; 0 for masks of different sizes."""
    total, count = np.zeros((len(first), len(second))), np.zeros((len(first), len(second)))
    for size in {masks.size for masks in first} & {masks.size for masks in second}:
        for index in sorted({index for masks in first for index in masks.rows}):
            rows, one = _bits(first, size, index)
            columns, other = _bits(second, size, index)
            seen = (one.areas[:, None] > 0) | (other.areas > 0)
            total[np.ix_(rows, columns)] += one.iou(other)
            count[np.ix_(rows, columns)] += seen
    return total / np.maximum(count, 1)


def _bits(masklets: Sequence[MaskletMasks], size: tuple[int, int], index: int) -> tuple[list[int], MaskBits]:
    """Those masklets of a size that have a mask on a frame, and their masks."""
    rows = [row for row, masks in enumerate(masklets) if masks.size == size and index in masks.rows]
    parts = [MaskBits.of(masklets[row].mask(index)[None]) for row in rows]
    return rows, MaskBits.joined(MaskBits.none(size), *parts)
