"""Options of automatic masks, as one typed value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from typing_extensions import TypedDict

from sam2v.options import Options
from sam2v.tracking.prompts import as_numbers

OutputMode = Literal["binary_mask", "uncompressed_rle", "coco_rle"]

#: Crop layers that may be asked for: the last of them has 4**6 crops.
_MOST_LAYERS = 6
_FRACTIONS = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh", "crop_overlap_ratio")
_LEAST = {
    "points_per_batch": 1,
    "crop_n_layers": 0,
    "crop_n_points_downscale_factor": 1,
    "min_mask_region_area": 0,
    "stability_score_offset": 0,
}


class MaskChanges(TypedDict, total=False):
    """The fields of `MaskOptions` as keyword arguments."""

    points_per_side: int | None
    points_per_batch: int
    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float
    mask_threshold: float
    box_nms_thresh: float
    crop_n_layers: int
    crop_nms_thresh: float
    crop_overlap_ratio: float
    crop_n_points_downscale_factor: int
    point_grids: Sequence[Any] | None
    min_mask_region_area: int
    output_mode: OutputMode
    use_m2m: bool
    multimask_output: bool


@dataclass(frozen=True, eq=False)
class MaskOptions(Options):
    """Where masks are proposed and which of them are kept. Names and defaults are those of the reference's generator.

    Attributes:
        points_per_side: the grid has this many points a side; None where `point_grids` gives them.
        points_per_batch: points that are decoded together.
        pred_iou_thresh: masks whose predicted IoU is not above it are dropped; 0 drops none.
        stability_score_thresh: masks less stable than this are dropped; 0 drops none. Stability is the overlap of the
            mask cut `stability_score_offset` above and below its threshold.
        stability_score_offset: see above, in logits.
        mask_threshold: logit above which a pixel is the object.
        box_nms_thresh: of two masks of a crop whose boxes overlap by more than this IoU the one with the lower
            predicted IoU is dropped.
        crop_n_layers: layers of crops that are looked at beside the whole picture; layer n has 2**n x 2**n of them.
        crop_nms_thresh: as `box_nms_thresh`, between crops: the mask of the smaller crop stays.
        crop_overlap_ratio: how far the crops of the first layer reach into each other, as a share of the picture's
            shorter side; later layers' less, as their crops are smaller.
        crop_n_points_downscale_factor: layer n has fewer points a side, by this factor to the power of n.
        point_grids: a grid for the picture and for each layer of crops: P x 2 points (x, y) in [0, 1].
        min_mask_region_area: parts of a mask, and holes in it, of fewer pixels than this are removed; 0 removes none.
        output_mode: what a record's `segmentation` is: H x W booleans (`binary_mask`), or a COCO run-length mask with
            its counts as a list (`uncompressed_rle`) or as a string (`coco_rle`).
        use_m2m: decode every mask once more, with itself as a prompt beside its point.
        multimask_output: propose three masks at every point instead of one.

    Raises:
        TypeError: a value of the wrong type. ValueError: a value out of range.
    """

    points_per_side: int | None = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.8
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    mask_threshold: float = 0.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    point_grids: Sequence[Any] | None = None
    min_mask_region_area: int = 0
    output_mode: OutputMode = "binary_mask"
    use_m2m: bool = False
    multimask_output: bool = True

    def __post_init__(self) -> None:
        for option in fields(self):
            if option.name not in ("points_per_side", "point_grids"):
                object.__setattr__(self, option.name, _of_kind(option.name, getattr(self, option.name), option.default))
        self.check_fractions(_FRACTIONS)
        self.check_least(_LEAST)
        if self.crop_n_layers > _MOST_LAYERS:
            raise ValueError(f"crop_n_layers must be at most {_MOST_LAYERS}, got {self.crop_n_layers}")
        if self.output_mode not in get_args(OutputMode):
            raise ValueError(f"output_mode must be one of {', '.join(get_args(OutputMode))}, got {self.output_mode!r}")
        self._check_points()

    def _check_points(self) -> None:
        if (self.points_per_side is None) == (self.point_grids is None):
            raise ValueError("give points_per_side or point_grids, and None for the other")
        if self.points_per_side is not None:
            side = _of_kind("points_per_side", self.points_per_side, 32)
            object.__setattr__(self, "points_per_side", side)
            fewest = side // self.crop_n_points_downscale_factor**self.crop_n_layers
            if side < 1:
                raise ValueError(f"points_per_side must be at least 1, got {side}")
            if fewest < 1:
                raise ValueError(
                    f"points_per_side {side} leaves no point for crop layer {self.crop_n_layers} with "
                    f"crop_n_points_downscale_factor {self.crop_n_points_downscale_factor}"
                )
            return
        grids = self.point_grids
        if not isinstance(grids, Sequence) or len(grids) != self.crop_n_layers + 1:
            got = len(grids) if isinstance(grids, Sequence) else type(grids).__name__
            raise ValueError(
                f"point_grids must be a list of {self.crop_n_layers + 1} grids, one for the picture and one for each "
                f"layer of crops, got {got}"
            )
        object.__setattr__(self, "point_grids", [checked_points(g, f"point_grids[{i}]") for i, g in enumerate(grids)])


def checked_points(points: Any, name: str) -> np.ndarray:
    """P x 2 float64 points in [0, 1], at least one; raises ValueError naming `name`, or TypeError."""
    array = as_numbers(points, name)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ValueError(f"{name} must be P x 2 points (x, y) with at least one, got shape {array.shape}")
    if array.min() < 0 or array.max() > 1:
        raise ValueError(f"{name} must have coordinates in [0, 1], got {array.min():g} to {array.max():g}")
    return array


def _of_kind(name: str, value: Any, default: Any) -> Any:
    """A value as the type that its default has; NumPy's numbers too, and integers where a float is wanted."""
    kind = type(default)
    if isinstance(value, np.generic):
        value = value.item()
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise TypeError(f"{name} must be {kind.__name__}, got {value!r}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return value
