"""Options of automatic masklets, as one typed value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from typing_extensions import TypedDict

from sam2v.automatic.options import MaskOptions
from sam2v.automatic.rules import AssociationRules
from sam2v.options import Options
from sam2v.tracking.prompts import check_mask

_FRACTIONS = (
    *("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "min_area", "uncovered"),
    *("match_iou", "new_share", "duplicate_iou", "min_quality"),
)
_LEAST = {
    **{"points_per_side": 1, "points_per_batch": 1, "propose_every": 0, "max_objects": 1},
    **{"hot_start": 0, "keep_alive": 0, "merge_after": 1, "backdrop": 1, "stability_score_offset": 0},
}


class Floors(NamedTuple):
    """How good masks have to be. Scores of one model are no scores of another: those of a small one are lower."""

    pred_iou_thresh: float = 0.7
    stability_score_thresh: float = 0.9
    min_quality: float = 0.4


#: For models that are not judged as the released ones are.
FLOORS = {"sam2v_nano": Floors(0.1, 0.7, 0.2)}


class MaskletChanges(TypedDict, total=False):
    """The fields of `MaskletOptions` as keyword arguments."""

    points_per_side: int
    points_per_batch: int
    pred_iou_thresh: float | None
    stability_score_thresh: float | None
    stability_score_offset: float
    box_nms_thresh: float
    min_area: float
    propose_every: int
    uncovered: float
    max_objects: int
    match_iou: float
    new_share: float
    backdrop: float
    hot_start: int
    keep_alive: int
    duplicate_iou: float
    merge_after: int
    min_quality: float | None
    both: bool
    leave_out: Any
    keep: Mapping[str, Any] | None


@dataclass(frozen=True, eq=False)
class MaskletOptions(Options):
    """How objects are found in a video, and which of them are kept. Names of the grid's options are those of
    `MaskOptions`.

    Attributes:
        points_per_side: masks are proposed at a grid of this many points a side, as far as no object is there.
        points_per_batch: points that are decoded together.
        pred_iou_thresh: proposals with a lower predicted IoU are dropped. None: what suits the model, see `FLOORS`.
        stability_score_thresh: likewise those that are less stable, by a cut `stability_score_offset` (in logits) above
            and below the threshold. None: what suits the model.
        stability_score_offset: see above.
        box_nms_thresh: of two proposals whose boxes overlap by more than this IoU the better one stays.
        min_area: proposals that cover less than this share of the picture are dropped.
        propose_every: frames between proposals; 0 proposes on the first frame alone.
        uncovered: masks are also proposed when the share of the picture that no object covers has grown by this much
            since they were proposed last: after a cut, or when something large comes in. 1 means never.
        max_objects: objects that are tracked at a time. Of more proposals the best are kept.
        match_iou: a proposal that overlaps an object by this IoU is no new one.
        new_share: nor is one of which less than this share is free of objects.
        backdrop: an object more than this many times as large as a proposal does not cover it: it lies on it.
        hot_start: frames that a new object has to prove itself in before it counts; results are given out as many
            frames later. One that is lost, or doubles another one, on more than half of them is dropped as if it had
            never been.
        keep_alive: frames that an object may be out of sight before it is given up; while it is tracked its own memory
            finds it when it comes back. Every frame on which it is seen makes up for one on which it is not.
        duplicate_iou: of two objects whose masks overlap by this IoU on a frame the one that came to where the other
            was is hidden there; if neither did, the one that is young, was away or has jumped. So is one that came from
            elsewhere and lies within another one by more than this share.
        merge_after: frames after which two such objects are one.
        min_quality: an object whose predicted IoU times stability is lower on average is given up. None: what suits the
            model.
        both: track objects also backwards from where they were found, to where they began. Results then come after the
            last frame was seen, and are kept until then (beyond the pool's budget in a temporary file).
        leave_out: H x W mask of the picture in which no object is looked for.
        keep: H x W masks by label: only objects that begin mostly inside of one of them are kept, and have its label.
            None keeps all.

    Raises:
        TypeError: a value of the wrong type. ValueError: a value out of range.
    """

    points_per_side: int = 16
    points_per_batch: int = 64
    pred_iou_thresh: float | None = None
    stability_score_thresh: float | None = None
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    min_area: float = 0.001
    propose_every: int = 8
    uncovered: float = 0.2
    max_objects: int = 50
    match_iou: float = 0.5
    new_share: float = 0.7
    backdrop: float = 8.0
    hot_start: int = 8
    keep_alive: int = 120
    duplicate_iou: float = 0.7
    merge_after: int = 12
    min_quality: float | None = None
    both: bool = False
    leave_out: Any = None
    keep: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for option in fields(self):
            value, by_model = getattr(self, option.name), option.name in Floors._fields
            kind = float if by_model else type(option.default)
            if kind is float and type(value) is int:
                value = float(value)
                object.__setattr__(self, option.name, value)
            known = (by_model and value is None) or option.name in ("leave_out", "keep")
            if not known and type(value) is not kind:
                raise TypeError(f"{option.name} must be {kind.__name__}, got {value!r}")
        self.check_fractions(_FRACTIONS)
        self.check_least(_LEAST)
        if self.leave_out is not None:
            check_mask(self.leave_out)
        if self.keep is not None and (not isinstance(self.keep, Mapping) or not self.keep):
            raise TypeError("keep must map labels to masks, at least one")
        for mask in (self.keep or {}).values():
            check_mask(mask)

    def suited(self, model: str) -> MaskletOptions:
        """These options with numbers for what was left to the model of this name."""
        floors = FLOORS.get(model, Floors())
        open_ones = {name: value for name, value in floors._asdict().items() if getattr(self, name) is None}
        return self.changed(**open_ones)

    @property
    def proposing(self) -> MaskOptions:
        """How masks are proposed at points."""
        shared = {f.name for f in fields(MaskOptions)} & {f.name for f in fields(self)}
        given = {name: value for name in shared if (value := getattr(self, name)) is not None}
        return MaskOptions().changed(**given)

    @property
    def rules(self) -> AssociationRules:
        """By which rules objects begin, live and end."""
        given = {f.name: value for f in fields(AssociationRules) if (value := getattr(self, f.name)) is not None}
        return AssociationRules(**given)
