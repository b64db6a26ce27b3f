"""Tracks that show the same pixels: which of them is hidden on a frame, and which have become one object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from sam2v.automatic.lifecycle import Track
from sam2v.automatic.rules import AssociationRules
from sam2v.automatic.sightings import Shown
from sam2v.masks.bits import MaskBits

#: Overlap on a frame from which a pair is followed over time.
_FOLLOWED = 0.3
#: Of two tracks that meet one is the guest if the place where it stood has so much less of what they share than the
#: other one's; from the lower share on it is hidden where it lies within the other one.
_GUEST, _ELSEWHERE = 0.75, 0.5


@dataclass
class Pair:
    """Two tracks over the frames on which both are seen.

    Attributes:
        common, union: pixels in common and in all, fading. frames: how many frames.
        near: whether they overlap. guest: which of them came to the other one, if one did, until they part.
    """

    common: float = 0.0
    union: float = 0.0
    frames: int = 0
    near: bool = False
    guest: int | None = None

    def add(self, common: float, union: float, span: int) -> None:
        """Take a frame into account; what is `span` frames old has faded to a third."""
        kept = 1 - 1 / span
        self.common, self.union, self.frames = kept * self.common + common, kept * self.union + union, self.frames + 1

    @property
    def iou(self) -> float:
        """Temporal IoU."""
        return self.common / self.union if self.union else 0.0


class Duplicates:
    """Follows the pairs of tracks that overlap, and where each track stands."""

    def __init__(self, rules: AssociationRules) -> None:
        self._rules = rules
        self.pairs: dict[tuple[int, int], Pair] = {}
        self._places: dict[int, MaskBits] = {}

    def hidden(self, shown: Shown, tracks: Mapping[int, Track]) -> dict[int, int]:
        """Tracks that are hidden on a frame, with the ones that are shown in their place: of two that show the same,
        the one that came to the other, or if neither did the one that is less rooted; and what has come from elsewhere
        to lie within another one."""
        self._meet(shown)
        found: dict[int, int] = {}
        for first, second in sorted(self._rivals(shown, tracks), key=lambda pair: tracks[pair[0]].rooted):
            if first not in found and second not in found.values():  # what is hidden itself hides nothing
                found.setdefault(second, first)
        return found

    def stand(self, shown: Shown) -> None:
        """Note where tracks stand, of those that are not hidden; where a guest stood stays its place."""
        guests = {state.guest for state in self.pairs.values() if state.near}
        for row in np.flatnonzero(shown.seen).tolist():
            if shown.obj_ids[row] not in guests:
                self._places[shown.obj_ids[row]] = shown.masks[[row]]

    def follow(self, shown: Shown) -> None:
        """Add a frame to the pairs that overlap on it, or did before."""
        areas, overlaps = shown.masks.areas, shown.overlaps
        for _, state, a, b in self._seen(shown):
            both = float(areas[a] + areas[b])
            union = both / (1 + overlaps[a, b])
            state.add(both - union, union, self._rules.merge_after)

    def merged(self, tracks: Mapping[int, Track]) -> dict[int, int]:
        """Tracks that are the same as another one: the one that ends, with the one that stays.

        A track that once had a place of its own for as long is hidden instead: it is an object that was lost, whose
        track may find it again.
        """
        found: dict[int, int] = {}
        for pair, state in sorted(self.pairs.items()):
            if state.frames >= self._rules.merge_after and state.iou >= self._rules.duplicate_iou:
                first, second = self._ordered(pair, tracks)
                if first not in found and tracks[second].stood < self._rules.merge_after:
                    found.setdefault(second, first)
        return found

    def forget(self, obj_ids: Iterable[int]) -> None:
        """Stop following tracks that ended."""
        gone = set(obj_ids)
        self.pairs = {pair: state for pair, state in self.pairs.items() if not gone & set(pair)}
        self._places = {obj_id: place for obj_id, place in self._places.items() if obj_id not in gone}

    def _meet(self, shown: Shown) -> None:
        """Note which tracks overlap, and which of two that did not before has come to the other."""
        within = shown.masks.covered(shown.masks) >= self._rules.duplicate_iou
        near = np.triu((shown.overlaps >= _FOLLOWED) | within | within.T, 1)
        for a, b in zip(*(index.tolist() for index in np.nonzero(near)), strict=True):
            state = self.pairs.setdefault((shown.obj_ids[a], shown.obj_ids[b]), Pair())
            if not state.near:
                shares = self._shares(a, b, shown)
                (less, guest), (more, _) = sorted(zip(shares, (shown.obj_ids[a], shown.obj_ids[b]), strict=True))
                state.near, state.guest = True, guest if less < _GUEST * more else None
        for _, state, a, b in self._seen(shown):
            if not near[min(a, b), max(a, b)]:
                state.near, state.guest = False, None

    def _rivals(self, shown: Shown, tracks: Mapping[int, Track]) -> Iterator[tuple[int, int]]:
        """Pairs of the track that stays on a frame and the one that is hidden."""
        for pair, state, a, b in self._seen(shown):
            if state.near:
                first, second = self._ordered(pair, tracks)
                same = shown.overlaps[a, b] >= self._rules.duplicate_iou
                if same or self._came_within(second, first, shown):
                    yield first, second
                elif state.guest is None and self._came_within(first, second, shown):
                    yield second, first

    def _seen(self, shown: Shown) -> Iterator[tuple[tuple[int, int], Pair, int, int]]:
        """Pairs both of which are seen, with their rows."""
        for pair, state in self.pairs.items():
            if all(obj_id in shown.row and shown.seen[shown.row[obj_id]] for obj_id in pair):
                yield pair, state, shown.row[pair[0]], shown.row[pair[1]]

    def _came_within(self, obj_id: int, other: int, shown: Shown) -> bool:
        """Whether a track has come from elsewhere to lie within another one, which was there and is no backdrop."""
        row, around = shown.row[obj_id], shown.row[other]
        inside = shown.masks[[row]].covered(shown.masks[[around]])[0, 0] > self._rules.duplicate_iou
        backdrop = shown.masks.areas[around] > self._rules.backdrop * shown.masks.areas[row]
        if not inside or backdrop:
            return False
        own, others = self._shares(row, around, shown)
        return own < _ELSEWHERE * others

    def _ordered(self, pair: tuple[int, int], tracks: Mapping[int, Track]) -> tuple[int, int]:
        """The track that stays where two are, and the other one."""
        guest = self.pairs[pair].guest
        first, second = sorted(pair, key=lambda obj_id: (obj_id == guest, tracks[obj_id].rooted))
        return first, second

    def _shares(self, a: int, b: int, shown: Shown) -> tuple[float, float]:
        """What of the pixels that two rows share lies where either stood; all where nobody knows."""
        first, second = shown.masks[[a]], shown.masks[[b]]
        common = first.without(first.without(second))
        places = (self._places.get(shown.obj_ids[row]) for row in (a, b))
        own, others = (1.0 if place is None else float(common.covered(place)[0, 0]) for place in places)
        return own, others
