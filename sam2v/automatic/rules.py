"""By which rules tracks begin, live and end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AssociationRules:
    """The numbers of association. A frame is one that the tracker has stepped over.

    Attributes:
        max_objects: tracks at a time.
        match_iou: a candidate and a track that overlap by this IoU are the same object.
        new_share: a candidate is new where at least this share of it is covered by no track.
        backdrop: a mask more than this many times as large covers nothing: a candidate lies on it.
        hot_start: frames in which a new track has to prove itself: one that is not seen, or doubles another one, on
            more than half of them is dropped as if it had never been. 0 takes every track at once.
        keep_alive: frames that a track may go without evidence before it ends. Every frame with evidence makes up for
            one without.
        duplicate_iou: of two tracks that overlap by this IoU on a frame one is hidden there: the one that came to where
            the other was, and if neither did, the one that has been at its place for a shorter time, because it is
            young, was away, or has jumped. A track that came from elsewhere is also hidden where more than this share
            of it lies within another one. 1 hides doubles alone.
        merge_after: frames after which two tracks whose temporal IoU is as high are one.
        min_quality: a track whose masks are worse than this on average ends.
    """

    max_objects: int = 50
    match_iou: float = 0.5
    new_share: float = 0.7
    backdrop: float = 8.0
    hot_start: int = 8
    keep_alive: int = 120
    duplicate_iou: float = 0.7
    merge_after: int = 12
    min_quality: float = 0.5
