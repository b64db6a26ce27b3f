"""Boxes of masks, inclusive of the last pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp

from sam2v.masks.boxes import box_prompt, mask_to_box
from sam2v.tracking.prompts import check_boxes


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=12)))
def test_box_is_tight(masks):
    boxes = mask_to_box(masks)
    assert boxes.shape == (len(masks), 4) and boxes.dtype == np.float32
    for mask, box in zip(masks, boxes.astype(int)):
        if not mask.any():
            assert box.tolist() == [0, 0, 0, 0]
            continue
        rows, cols = np.nonzero(mask)
        assert box.tolist() == [cols.min(), rows.min(), cols.max(), rows.max()]
    assert torch.equal(mask_to_box(torch.from_numpy(masks)), torch.from_numpy(boxes))


def test_no_masks_and_no_pixels():
    assert mask_to_box(np.zeros((0, 4, 5), bool)).shape == (0, 4)
    assert mask_to_box(torch.zeros(2, 0, 5, dtype=torch.bool)).tolist() == [[0] * 4] * 2


def test_bad_masks():
    with pytest.raises(ValueError, match="N x H x W"):
        mask_to_box(np.zeros((4, 5), bool))
    with pytest.raises(TypeError, match="logits"):
        mask_to_box(torch.zeros(1, 4, 5))


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_a_prompt_reaches_around_the_last_pixel(mask):
    if not mask.any():
        with pytest.raises(ValueError, match="empty mask"):
            box_prompt(mask)
        return
    x0, y0, x1, y1 = box_prompt(mask)
    rows, cols = np.nonzero(mask)
    assert (x0, y0, x1, y1) == (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
    assert check_boxes((x0, y0, x1, y1), mask.shape, normalized=False).tolist() == [x0, y0, x1, y1]
    assert box_prompt(torch.from_numpy(mask)) == (x0, y0, x1, y1)
