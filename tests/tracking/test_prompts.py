"""Checking prompts: what reaches over the edge of the frame, and what lies beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2v.arrays import HOST, Device, device_of, on_device, to_numpy, type_name
from sam2v.tracking.prompts import check_boxes, check_points, mask_prompt
from sam2v.tracking.step import GIVEN_LOGIT, given_logits

HEIGHT, WIDTH = 48, 64
coordinates = st.floats(-200, 200, width=32, allow_subnormal=False)


@given(st.lists(coordinates, min_size=4, max_size=4), st.booleans())
def test_a_box_is_what_lies_in_the_frame(numbers: list[float], normalized: bool) -> None:
    x0, y0, x1, y1 = numbers
    box = np.array(numbers) / ([WIDTH, HEIGHT] * 2 if normalized else 1)
    inside = [min(max(x0, 0), WIDTH), min(max(y0, 0), HEIGHT), min(max(x1, 0), WIDTH), min(max(y1, 0), HEIGHT)]
    if x1 <= x0 or y1 <= y0:
        with pytest.raises(ValueError, match="is empty: x1 must exceed x0"):
            check_boxes(box, (HEIGHT, WIDTH), normalized)
    elif inside[2] <= inside[0] or inside[3] <= inside[1]:
        with pytest.raises(ValueError, match=r"lies outside the (frame of 64 x 48 pixels|unit square)"):
            check_boxes(box, (HEIGHT, WIDTH), normalized)
    else:
        found = check_boxes(box, (HEIGHT, WIDTH), normalized)
        assert found == pytest.approx(np.array(inside) / ([WIDTH, HEIGHT] * 2 if normalized else 1))


def test_boxes_of_a_batch_are_clipped_one_by_one() -> None:
    boxes = np.array([[-0.4, 29.8, 50.2, 48.3], [10, 10, 20, 20], [60, 40, 999, 999]])
    found = check_boxes(torch.from_numpy(boxes), (HEIGHT, WIDTH), normalized=False)
    assert found.tolist() == [[0, 29.8, 50.2, 48], [10, 10, 20, 20], [60, 40, 64, 48]]
    assert boxes[0, 0] == -0.4  # the caller's array is as it was
    with pytest.raises(ValueError, match=r"box \(70, 1\)-\(80, 9\) lies outside"):
        check_boxes([*boxes.tolist(), [70, 1, 80, 9]], (HEIGHT, WIDTH), normalized=False)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN or infinity"):
            check_boxes([0, 0, 5, bad], (HEIGHT, WIDTH), normalized=False)


@pytest.mark.parametrize("point", [(-0.1, 5), (64.1, 5), (5, 48.1)])
def test_a_click_is_made_in_the_frame(point: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="lies outside the frame of 64 x 48 pixels"):
        check_points([point], None, (HEIGHT, WIDTH), normalized=False)


@pytest.mark.parametrize("device", [HOST, torch.device("cpu")])
def test_a_mask_as_logits(device: Device) -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[12:36, 16:48] = True
    plane = on_device(mask_prompt(mask, (96, 96), device).plane(), device)
    logits = given_logits(plane[None, None])[0]
    assert logits.shape == (1, 24, 24) and type_name(logits.dtype) == "F32" and device_of(logits) == device
    assert to_numpy(logits[0, 8:16, 8:16]) == pytest.approx(GIVEN_LOGIT)
    assert to_numpy(logits[0, :4]) == pytest.approx(-GIVEN_LOGIT)


@pytest.mark.parametrize("number", [10**400, float("inf"), float("nan")])
def test_numbers_beyond_all_pictures_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="points must be finite numbers"):
        check_points([[number, 1]], None, (48, 64), False)
