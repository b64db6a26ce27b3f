"""Simulated clicks: the centre of the error, and uniform draws from it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2v.masks.clicks import Click, central_click, squared_depth

REGIONS = st.tuples(
    st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**32 - 1), st.floats(0, 1, allow_subnormal=False)
).map(lambda drawn: np.random.default_rng(drawn[2]).random(drawn[:2]) < drawn[3] ** 0.3)


@settings(deadline=None, max_examples=200)
@given(region=REGIONS)
def test_depth_is_the_distance_to_the_nearest_pixel_outside(region: np.ndarray) -> None:
    outside = np.argwhere(~np.pad(region, 1)) - 1
    inside = np.argwhere(region)
    expected = np.zeros(region.shape, np.int64)
    if len(inside):
        expected[region] = ((inside[:, None] - outside[None]) ** 2).sum(-1).min(1)
    assert (squared_depth(region) == expected).all()


def test_the_first_click_is_the_middle_of_the_object() -> None:
    truth = np.zeros((60, 80), bool)
    truth[10:31, 20:61] = True
    assert central_click(truth) == Click(30, 20, 1)  # the middle row, as soon as the sides are farther away


def test_the_click_goes_where_the_error_is_deepest() -> None:
    truth, guess = np.zeros((2, 40, 60), bool)
    truth[5:20, 5:20] = True
    guess[22:33, 30:41] = True
    assert central_click(truth, guess) == Click(12, 12, 1)
    guess[5:20, 5:17] = True  # only a strip is missing now
    assert central_click(truth, guess) == Click(35, 27, 0)
    assert central_click(truth, truth) is None
    assert central_click(np.zeros_like(truth)) is None


def test_the_image_edge_is_a_border() -> None:
    assert central_click(np.ones((9, 21))) == Click(4, 4, 1)
