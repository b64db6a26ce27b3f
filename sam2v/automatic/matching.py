"""Which candidates are objects that are tracked already, and how much of each is new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sam2v.automatic.rules import AssociationRules
from sam2v.automatic.sightings import Detections, Numbers, Shown
from sam2v.masks.bits import MaskBits
from sam2v.masks.boxes import box_covered, box_iou


@dataclass(frozen=True, eq=False)
class Matching:
    """N candidates against M tracks.

    Attributes:
        overlaps: N x M IoU of masks, or of boxes where a candidate has no mask; 0 where labels differ.
        free: N shares of the candidates that no track covers.
        row_of: the candidate that is each track's, by object id; every candidate is one track's at most.
    """

    overlaps: Numbers
    free: Numbers
    row_of: dict[int, int]

    @property
    def best(self) -> Numbers:
        """N, the highest overlap with any track."""
        return self.overlaps.max(axis=1, initial=0.0)


def match(
    detections: Detections,
    shown: Shown,
    labels: dict[int, str | None] | None = None,
    rules: AssociationRules | None = None,
    taken: MaskBits | None = None,
) -> Matching:
    """Match candidates to tracks, the pair that overlaps most first.

    Args:
        detections: N candidates. shown: M tracks, as they are seen on the frame.
        labels: of tracks, by object id: a candidate with a label is no track's that has another.
        rules: which overlaps make a pair, and what covers a candidate.
        taken: one mask that covers everything in it (of regions that are left out).
    """
    rules = rules or AssociationRules()
    if detections.masks is not None:
        overlaps = detections.masks.iou(shown.masks)
        free = _free(detections.masks, shown.masks, rules.backdrop, taken)
    else:
        overlaps = box_iou(detections.outlines(), shown.boxes)
        free = 1 - box_covered(detections.outlines(), shown.boxes).max(axis=1, initial=0.0)
    overlaps = np.where(_alike(detections, shown, labels or {}), overlaps, 0.0)
    return Matching(overlaps, free, _rows_of(overlaps, shown, rules.match_iou))


def distinct(
    detections: Detections,
    rules: AssociationRules,
    shown: MaskBits | None = None,
    taken: MaskBits | None = None,
) -> list[int]:
    """Candidates that are not the same as better ones, nor mostly covered by them, best first.

    Args:
        detections: the candidates. rules: what is the same, and what covers a candidate.
        shown: masks that cover candidates beside the better ones. taken: as for `match`.
    """
    kept: list[int] = []
    for row in np.argsort(-detections.scores, kind="stable").tolist():
        if kept and detections.masks is None:
            boxes = detections.outlines()
            doubles = bool(box_iou(boxes[[row]], boxes[kept]).max() >= rules.match_iou)
        elif kept:
            assert detections.masks is not None
            mask, better = detections.masks[[row]], detections.masks[kept]
            around = better if shown is None else MaskBits.joined(better, shown)
            free = _free(mask, around, rules.backdrop, taken)[0]
            doubles = bool(free < rules.new_share or mask.iou(better).max() >= rules.match_iou)
        else:
            doubles = False
        if not doubles:
            kept.append(row)
    return kept


def _free(masks: MaskBits, others: MaskBits, backdrop: float, taken: MaskBits | None) -> Numbers:
    """N shares of masks that others leave free; those that are so many times as large are what the mask lies on."""
    free = np.ones(len(masks))
    for row in range(len(masks)):
        mask = masks[[row]]
        near = others[others.areas <= backdrop * mask.areas[0]]
        covering = near if taken is None else MaskBits.joined(near, taken)
        free[row] -= mask.covered(covering.union())[0, 0]
    return free


def _alike(detections: Detections, shown: Shown, labels: dict[int, str | None]) -> npt.NDArray[np.bool_]:
    """N x M, whether labels do not contradict each other."""
    alike = np.ones((len(detections), len(shown.obj_ids)), bool)
    for column, obj_id in enumerate(shown.obj_ids):
        known = labels.get(obj_id)
        for row in range(len(detections)) if known is not None else ():
            alike[row, column] = detections.label(row) in (None, known)
    return alike


def one_to_one(overlaps: Mapping[tuple[int, int], float], least: float) -> list[tuple[int, int]]:
    """Pairs by falling overlap, from `least` on, each of either kind once. Of masks that do not overlap each other, at
    most one reaches an IoU above one half with a given mask, so that nothing is left to optimise."""
    pairs: list[tuple[int, int]] = []
    for pair in sorted(overlaps, key=lambda pair: (-overlaps[pair], pair)):
        if overlaps[pair] >= least and not any(pair[0] == a or pair[1] == b for a, b in pairs):
            pairs.append(pair)
    return pairs


def _rows_of(overlaps: Numbers, shown: Shown, least: float) -> dict[int, int]:
    """The candidate that is each track's, by object id."""
    known = zip(*(index.tolist() for index in np.nonzero(overlaps)), strict=True)
    pairs = {(row, column): float(overlaps[row, column]) for row, column in known}
    return {shown.obj_ids[column]: row for row, column in one_to_one(pairs, max(least, 1e-9))}
