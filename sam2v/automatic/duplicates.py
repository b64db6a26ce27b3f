"""Tracks that show the same pixels: which of them is hidden on a frame, and which have become one object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sam2v.automatic.lifecycle import Track
from sam2v.automatic.rules import AssociationRules
from sam2v.automatic.sightings import Shown

#: Overlap on a frame from which a pair is followed over time.
_FOLLOWED = 0.3


@dataclass
class Pair:
    """Two tracks over the frames on which both are seen: pixels in common and in all, fading, and how many frames."""

    common: float = 0.0
    union: float = 0.0
    frames: int = 0

    def add(self, common: float, union: float, span: int) -> None:
        """Take a frame into account; what is `span` frames old has faded to a third."""
        kept = 1 - 1 / span
        self.common, self.union, self.frames = kept * self.common + common, kept * self.union + union, self.frames + 1

    @property
    def iou(self) -> float:
        """Temporal IoU."""
        return self.common / self.union if self.union else 0.0


class Duplicates:
    """Follows the pairs of tracks that overlap."""

    def __init__(self, rules: AssociationRules) -> None:
        self._rules = rules
        self.pairs: dict[tuple[int, int], Pair] = {}

    def hidden(self, shown: Shown, tracks: Mapping[int, Track]) -> dict[int, int]:
        """Tracks that are hidden on a frame, with the ones that are shown in their place."""
        found: dict[int, int] = {}
        rows, columns = np.nonzero(np.triu(shown.overlaps, 1) >= self._rules.duplicate_iou)
        pairs = [(shown.obj_ids[a], shown.obj_ids[b]) for a, b in zip(rows.tolist(), columns.tolist(), strict=True)]
        ordered = [sorted(pair, key=lambda obj_id: tracks[obj_id].rooted) for pair in pairs]
        for first, second in sorted(ordered, key=lambda pair: tracks[pair[0]].rooted):
            if first not in found:  # what is hidden itself hides nothing
                found.setdefault(second, first)
        return found

    def follow(self, shown: Shown) -> None:
        """Add a frame to the pairs that overlap on it, or did before."""
        areas, overlaps = shown.masks.areas, shown.overlaps
        rows, columns = np.nonzero(np.triu(overlaps, 1) >= _FOLLOWED)
        near = {(shown.obj_ids[a], shown.obj_ids[b]) for a, b in zip(rows.tolist(), columns.tolist(), strict=True)}
        for pair in near | self.pairs.keys():
            if not all(obj_id in shown.row and shown.seen[shown.row[obj_id]] for obj_id in pair):
                continue
            a, b = (shown.row[obj_id] for obj_id in pair)
            both = float(areas[a] + areas[b])
            union = both / (1 + overlaps[a, b])
            self.pairs.setdefault(pair, Pair()).add(both - union, union, self._rules.merge_after)

    def merged(self, tracks: Mapping[int, Track]) -> dict[int, int]:
        """Tracks that are the same as another one: the one that ends, with the one that stays.

        A track that once had a place of its own for as long is hidden instead: it is an object that was lost, whose
        track may find it again.
        """
        found: dict[int, int] = {}
        for pair, state in sorted(self.pairs.items()):
            if state.frames >= self._rules.merge_after and state.iou >= self._rules.duplicate_iou:
                first, second = sorted(pair, key=lambda obj_id: tracks[obj_id].rooted)
                if first not in found and tracks[second].stood < self._rules.merge_after:
                    found.setdefault(second, first)
        return found

    def forget(self, obj_ids: Iterable[int]) -> None:
        """Stop following tracks that ended."""
        gone = set(obj_ids)
        self.pairs = {pair: state for pair, state in self.pairs.items() if not gone & set(pair)}
