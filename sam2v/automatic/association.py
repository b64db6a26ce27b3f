"""The association core: which candidates begin tracks, and which tracks live, hide, merge and end.

It knows nothing of a network. Every frame it is told what the tracker shows (`observe`); on some frames it is given
candidates as well (`admit`), from masks proposed at points or from any detector. The rules follow what video detectors
built on trackers do (SAM 3, Carion et al. 2025, section on video: hot start, keep-alive, duplicates by mask overlap;
DEVA, Cheng et al. 2023: candidates where nothing is tracked), with masks as bits at the tracker's own low resolution.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sam2v.automatic.duplicates import Duplicates
from sam2v.automatic.lifecycle import Reason, Track
from sam2v.automatic.matching import Matching, distinct, match
from sam2v.automatic.rules import AssociationRules
from sam2v.automatic.sightings import Detections, Shown
from sam2v.masks.bits import MaskBits


class Ended(NamedTuple):
    """A track that ends: its last state, why, and (of duplicates) the id of the one that it is the same as."""

    track: Track
    reason: Reason
    same_as: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What a frame says about the tracks.

    Attributes:
        hidden: tracks that show what another one does, with the id of that one: they count as unseen.
        ended: tracks that end with this frame, which they are not part of any more.
    """

    hidden: dict[int, int] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)


@dataclass(frozen=True)
class Admission:
    """What became of a frame's candidates.

    Attributes:
        begun: tracks that begin, with the candidate that each begins with.
        matching: how candidates and tracks overlap.
        ended: tracks that had to make room. left_out: candidates for which there was none.
    """

    begun: dict[int, int]
    matching: Matching
    ended: list[Ended] = field(default_factory=list)
    left_out: int = 0


class Association:
    """The tracks of one video.

    Attributes:
        rules: by which they begin, live and end.
        tracks: those that live, by object id.
    """

    def __init__(self, rules: AssociationRules | None = None) -> None:
        self.rules = rules or AssociationRules()
        self.tracks: dict[int, Track] = {}
        self._duplicates = Duplicates(self.rules)
        self._before: Shown | None = None
        self._next_id = 1

    def observe(self, frame_idx: int, shown: Shown, evidence: Collection[int] | None = None) -> Verdict:
        """Take into account what the tracker shows of the tracks on a frame.

        Args:
            frame_idx: the frame, one further than the last in either direction.
            shown: of every track that lives.
            evidence: tracks that a detector found; None takes those that the tracker itself shows.
        """
        for obj_id, track in self.tracks.items():
            row = shown.row[obj_id]
            if shown.seen[row]:
                track.see(frame_idx, float(shown.quality[row]), self._overlap_before(shown, obj_id))
        hidden = self._duplicates.hidden(shown, self.tracks)
        self._duplicates.follow(shown)
        self._duplicates.stand(shown.only([obj_id for obj_id in self.tracks if obj_id not in hidden]))
        ended = self._merge()
        for obj_id, track in list(self.tracks.items()):
            for_it = bool(shown.seen[shown.row[obj_id]]) and obj_id not in hidden
            reason = track.judge(frame_idx, for_it, for_it if evidence is None else obj_id in evidence, self.rules)
            if reason is not None:
                ended.append(self._end(obj_id, reason))
        self._before = shown
        gone = {end.track.obj_id for end in ended}
        return Verdict({obj_id: by for obj_id, by in hidden.items() if obj_id not in gone}, ended)

    def admit(self, frame_idx: int, detections: Detections, shown: Shown, taken: MaskBits | None = None) -> Admission:
        """Begin tracks with those candidates that are new, the best first.

        A candidate is new unless it overlaps a track, or is mostly covered by tracks and by candidates better than it.
        Where there is no room, tracks that have not been seen for longest make some; the other candidates are left out.

        Args:
            frame_idx: the frame. detections: the candidates on it.
            shown: of every track that lives.
            taken: one mask in which nothing new may begin.
        """
        labels = {obj_id: track.label for obj_id, track in self.tracks.items()}
        matching = match(detections, shown, labels, self.rules, taken)
        fresh = self._fresh(detections, matching, shown, taken)
        ended = self._make_room(frame_idx, len(fresh))
        room = self.rules.max_objects - len(self.tracks)
        begun = {}
        for row in fresh[: max(room, 0)]:
            obj_id, self._next_id = self._next_id, self._next_id + 1
            score = float(detections.scores[row])
            self.tracks[obj_id] = Track.begin(obj_id, frame_idx, score, detections.label(row), self.rules)
            begun[obj_id] = row
        if begun and detections.masks is not None:
            rows = list(begun.values())
            self._duplicates.stand(Shown(list(begun), detections.masks[rows], detections.scores[rows]))
        return Admission(begun, matching, ended, len(fresh) - len(begun))

    def _fresh(self, detections: Detections, matching: Matching, shown: Shown, taken: MaskBits | None) -> list[int]:
        """Candidates that are new, best first."""
        new = (matching.best < self.rules.match_iou) & (matching.free >= self.rules.new_share)
        rows = np.flatnonzero(new).tolist()
        return [rows[row] for row in distinct(detections.select(rows), self.rules, shown.masks, taken)]

    def _make_room(self, frame_idx: int, wanted: int) -> list[Ended]:
        """End tracks that were not seen for a while, longest first, as far as candidates need their places."""
        lacking = len(self.tracks) + wanted - self.rules.max_objects
        away = [t for t in self.tracks.values() if t.absent(frame_idx) > self.rules.hot_start]
        away.sort(key=lambda track: (-track.absent(frame_idx), track.obj_id))
        return [self._end(track.obj_id, "displaced") for track in away[: max(lacking, 0)]]

    def _merge(self) -> list[Ended]:
        ended = []
        for obj_id, same in self._duplicates.merged(self.tracks).items():
            reason: Reason = "duplicate" if self.tracks[obj_id].confirmed else "unproven"
            ended.append(self._end(obj_id, reason, same))
        return ended

    def _end(self, obj_id: int, reason: Reason, same_as: int | None = None) -> Ended:
        self._duplicates.forget([obj_id])
        return Ended(self.tracks.pop(obj_id), reason, same_as)

    def _overlap_before(self, shown: Shown, obj_id: int) -> float:
        """IoU of a track's mask with the one on the frame before; 1 where there was none."""
        before = self._before
        if before is None or obj_id not in before.row or not before.seen[before.row[obj_id]]:
            return 1.0
        return float(shown.masks[[shown.row[obj_id]]].iou(before.masks[[before.row[obj_id]]])[0, 0])
