"""Options of automatic masks, grids of points and crops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam2v.automatic.grid import crops_of, point_grid, point_grids
from sam2v.automatic.options import MaskOptions

GRID = np.array([[0.5, 0.5]])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"points_per_side": 0}, "points_per_side must be at least 1, got 0"),
        ({"points_per_side": None}, "give points_per_side or point_grids"),
        ({"point_grids": [GRID]}, "give points_per_side or point_grids"),
        ({"points_per_side": None, "point_grids": [np.zeros((0, 2))]}, r"point_grids\[0\] must be P x 2 points"),
        ({"points_per_side": None, "point_grids": [GRID + 1]}, r"point_grids\[0\] must have coordinates in \[0, 1\]"),
        ({"points_per_side": None, "point_grids": [GRID], "crop_n_layers": 1}, "a list of 2 grids"),
        ({"points_per_side": None, "point_grids": 3}, "point_grids must be a list of 1 grids"),
        ({"points_per_side": 4, "crop_n_layers": 2, "crop_n_points_downscale_factor": 3}, "no point for crop layer 2"),
        ({"points_per_batch": 0}, "points_per_batch must be at least 1"),
        ({"pred_iou_thresh": 1.5}, r"pred_iou_thresh must be in \[0, 1\], got 1.5"),
        ({"stability_score_thresh": -0.1}, r"stability_score_thresh must be in \[0, 1\]"),
        ({"box_nms_thresh": 2}, r"box_nms_thresh must be in \[0, 1\]"),
        ({"crop_nms_thresh": float("nan")}, "crop_nms_thresh must be finite"),
        ({"stability_score_offset": -1.0}, "stability_score_offset must be at least 0"),
        ({"crop_n_layers": 9}, "crop_n_layers must be at most 6"),
        ({"min_mask_region_area": -1}, "min_mask_region_area must be at least 0"),
        ({"output_mode": "png"}, "output_mode must be one of binary_mask, uncompressed_rle, coco_rle, got 'png'"),
    ],
)
def test_values_out_of_range(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        MaskOptions(**changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"points_per_side": 2.5}, "points_per_side must be int, got 2.5"),
        ({"use_m2m": 1}, "use_m2m must be bool"),
        ({"pred_iou_thresh": "high"}, "pred_iou_thresh must be float"),
        ({"crop_n_layers": True}, "crop_n_layers must be int"),
    ],
)
def test_values_of_the_wrong_type(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        MaskOptions(**changes)


def test_options_change_and_numpy_numbers_count() -> None:
    options = MaskOptions().changed(pred_iou_thresh=np.float32(0.5), points_per_side=np.int64(4), mask_threshold=1)
    assert (options.pred_iou_thresh, options.points_per_side, options.mask_threshold) == (0.5, 4, 1.0)
    with pytest.raises(TypeError, match="unknown option 'points'; known: points_per_side"):
        options.changed(points=3)


def test_a_grid_has_the_centres_of_cells() -> None:
    assert point_grid(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def test_layers_have_fewer_points() -> None:
    grids = point_grids(MaskOptions(points_per_side=8, crop_n_layers=2, crop_n_points_downscale_factor=2))
    assert [len(grid) for grid in grids] == [64, 16, 4]
    own = [GRID, point_grid(3)]
    assert [len(g) for g in point_grids(MaskOptions(points_per_side=None, point_grids=own, crop_n_layers=1))] == [1, 9]


def test_crops_of_a_picture() -> None:
    crops = crops_of((100, 200), 1, 0.3)
    assert [crop.box for crop in crops] == [
        (0, 0, 200, 100),
        (0, 0, 115, 65),
        (0, 35, 115, 100),
        (85, 0, 200, 65),
        (85, 35, 200, 100),
    ]
    assert [crop.layer for crop in crops] == [0, 1, 1, 1, 1]


@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.integers(0, 3), st.floats(0, 1, allow_subnormal=False))
def test_crops_cover_every_picture(size: tuple[int, int], layers: int, ratio: float) -> None:
    crops = crops_of(size, layers, ratio)
    for layer in range(layers + 1):
        seen = np.zeros(size, int)
        for crop in crops:
            assert min(crop.size) >= 1
            if crop.layer == layer:
                seen[crop.y0 : crop.y1, crop.x0 : crop.x1] += 1
        assert seen.all()
