"""How well masklets cover a video's objects, whatever they are called: frames, tubes, identities.

A tube is an object over all frames. The tube IoU of a masklet and an object is what they have in common on all frames
together over what either covers, as in video instance segmentation (Yang et al. 2019); frame IoU is that of one frame.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sam2v.automatic.matching import one_to_one
from sam2v.masks.bits import MaskBits

Mask = npt.NDArray[np.bool_]
#: Ids of masklets, ids of objects, and their IoU, on a frame.
Overlaps = tuple[list[int], list[int], npt.NDArray[np.float64]]

#: IoU from which a masklet is an object's on a frame.
MATCHED = 0.5
#: Share on objects below which a masklet is of the scenery: a tree, a hill, which are there but not annotated.
SCENERY = 0.1


@dataclass(frozen=True)
class TubeScores:
    """One video's scores.

    Attributes:
        tubes: the best tube IoU with any masklet, by object.
        frames: of every object on every frame that shows it, the best frame IoU with any masklet.
        switches: how often the masklet that is an object's changes. matched: frames on which an object has one, over
            all objects.
        masklets: how many there are. scenery: those that lie beside the objects, which are nobody's. hits: those that
            are an object, with a tube IoU from 0.5 on, each of another one.
        hota: HOTA, DetA and AssA; empty where the annotation does not cover everything, or without trackeval.
    """

    tubes: tuple[float, ...]
    frames: tuple[float, ...]
    switches: int
    matched: int
    masklets: int
    scenery: int
    hits: int
    hota: Mapping[str, float] = field(default_factory=dict)

    def to_part(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_part(cls, part: Mapping[str, Any]) -> TubeScores:
        """Inverse of `to_part`."""
        return cls(**{**part, "tubes": tuple(part["tubes"]), "frames": tuple(part["frames"])})


class Tubes:
    """Adds up what masklets and objects have in common, frame by frame."""

    def __init__(self) -> None:
        self._common: dict[tuple[int, int], int] = {}  # (masklet, object) -> pixels in common
        self._areas: tuple[dict[int, int], dict[int, int]] = ({}, {})  # of masklets, of objects
        self._inside: dict[int, int] = {}  # masklet -> its pixels on any object
        self._frames: list[float] = []
        self._holders: dict[int, int] = {}  # object -> the masklet that was its last
        self._switches = self._matched = 0
        self._overlaps: list[Overlaps] = []

    def add(self, masklets: Mapping[int, Mask], objects: Mapping[int, Mask]) -> None:
        """Take a frame: H x W bool masks by id. Empty ones count as not there."""
        (found, first), (known, second) = (_packed(masks) for masks in (masklets, objects))
        common = first.common(second) if found and known else np.zeros((len(found), len(known)), np.int64)
        areas = first.areas if found else np.zeros(0, np.int64), second.areas if known else np.zeros(0, np.int64)
        for own, ids, amounts in zip(self._areas, (found, known), areas, strict=True):
            own.update({i: own.get(i, 0) + int(area) for i, area in zip(ids, amounts, strict=True)})
        for row, inside in enumerate(first.common(second.union())[:, 0].tolist() if found and known else ()):
            self._inside[found[row]] = self._inside.get(found[row], 0) + inside
        for row, column in zip(*np.nonzero(common), strict=True):
            pair = found[row], known[column]
            self._common[pair] = self._common.get(pair, 0) + int(common[row, column])
        overlaps = common / np.maximum(areas[0][:, None] + areas[1] - common, 1)
        self._frames += overlaps.max(axis=0, initial=0.0).tolist()
        self._overlaps.append((found, known, overlaps))
        self._hold(found, known, overlaps)

    def scores(self, complete: bool) -> TubeScores:
        """What it comes to; `complete` says that the annotation covers everything, so that HOTA means something."""
        masklets, objects = self._areas
        overlaps = self._tube_overlaps()
        tubes = tuple(max((overlaps.get((m, o), 0.0) for m in masklets), default=0.0) for o in objects)
        scenery = {m for m, area in masklets.items() if self._inside.get(m, 0) < SCENERY * area}
        hits = len(one_to_one(overlaps, MATCHED))
        hota = hota_of([_without(scenery, *frame) for frame in self._overlaps]) if complete else {}
        counts = (self._switches, self._matched, len(masklets), len(scenery), hits)
        return TubeScores(tubes, tuple(self._frames), *counts, hota)

    def _tube_overlaps(self) -> dict[tuple[int, int], float]:
        masklets, objects = self._areas
        return {(m, o): both / (masklets[m] + objects[o] - both) for (m, o), both in self._common.items()}

    def _hold(self, found: Sequence[int], known: Sequence[int], overlaps: npt.NDArray[np.float64]) -> None:
        """Say which masklet is which object's on a frame: the one that was, as long as it may be, then the best."""
        pairs = {
            (found[row], known[column]): float(overlaps[row, column])
            for row, column in zip(*np.nonzero(overlaps >= MATCHED), strict=True)
        }
        kept = {pair: iou + (self._holders.get(pair[1]) == pair[0]) for pair, iou in pairs.items()}
        for masklet, obj in one_to_one(kept, MATCHED):
            self._matched += 1
            self._switches += self._holders.get(obj, masklet) != masklet
            self._holders[obj] = masklet


def hota_of(frames: Sequence[Overlaps]) -> dict[str, float]:
    """HOTA, DetA and AssA (Luiten et al. 2021) by trackeval, means over its thresholds; empty without that package.

    Args:
        frames: what overlaps, by frame.
    """
    try:
        from trackeval.metrics import HOTA
    except ImportError:
        return {}
    places: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for found, known, _ in frames:
        for own, ids in zip(places, (found, known), strict=True):
            own.update({i: len(own) + n for n, i in enumerate(i for i in ids if i not in own)})
    data = {
        "num_tracker_ids": len(places[0]),
        "num_gt_ids": len(places[1]),
        "num_tracker_dets": sum(len(found) for found, _, _ in frames),
        "num_gt_dets": sum(len(known) for _, known, _ in frames),
        "tracker_ids": [np.array([places[0][i] for i in found], int) for found, _, _ in frames],
        "gt_ids": [np.array([places[1][i] for i in known], int) for _, known, _ in frames],
        "similarity_scores": [overlaps.T for _, _, overlaps in frames],
    }
    result = HOTA().eval_sequence(data)
    return {name: float(np.mean(result[name])) for name in ("HOTA", "DetA", "AssA")}


def _without(
    left_out: Collection[int], found: list[int], known: list[int], overlaps: npt.NDArray[np.float64]
) -> Overlaps:
    """A frame without some masklets."""
    rows = [row for row, masklet in enumerate(found) if masklet not in left_out]
    return [found[row] for row in rows], known, overlaps[rows]


def _packed(masks: Mapping[int, Mask]) -> tuple[list[int], MaskBits]:
    """Ids and bits of the masks that are not empty."""
    there = [obj_id for obj_id, mask in masks.items() if mask.any()]
    planes = [masks[obj_id] for obj_id in there]
    return there, MaskBits.of(np.stack(planes)) if planes else MaskBits.none((1, 1))
