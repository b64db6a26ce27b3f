"""J, F and their statistics: recorded numbers of the DAVIS toolkit, a slow re-computation, and invariants."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sam2v.evaluation import (
    bits,
    boundary_accuracy,
    frame_scores,
    mean_iou,
    metrics,
    region_similarity,
    statistics,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/J_F/synthetic.json").read_text())


def draw(operations: list[list[Any]]) -> np.ndarray:
    height, width = GOLDEN["shape_hw"]
    rows, columns = np.mgrid[:height, :width]
    mask = np.zeros((height, width), bool)
    for kind, *v in operations:
        if kind == "disk":
            mask |= (columns - v[0]) ** 2 + (rows - v[1]) ** 2 <= v[2] ** 2
        elif kind == "noise":
            mask |= np.random.Generator(np.random.Philox(key=v[0])).random((height, width)) > v[1]
        else:
            mask[v[1] : v[3], v[0] : v[2]] = kind == "rect"
    return mask


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_the_toolkits_numbers(case: dict[str, Any]) -> None:
    pred, gt = draw(case["pred"]), draw(case["gt"])
    assert region_similarity(pred, gt) == pytest.approx(case["J"], abs=1e-12)
    found = [boundary_accuracy(pred, gt, bound_th=bound) for bound in (0.008, 1, 3)]
    assert found == pytest.approx(case["F"], abs=1e-12)
    assert frame_scores(pred, gt) == (region_similarity(pred, gt), found[0])


@pytest.mark.parametrize(("height", "width", "radius"), GOLDEN["boundary_radius"])
def test_boundary_radius(height: int, width: int, radius: int) -> None:
    assert metrics.boundary_radius((height, width)) == radius


@pytest.mark.parametrize(("count", "expected"), GOLDEN["statistics"])
def test_the_toolkits_statistics(count: int, expected: list[float | None]) -> None:
    values = np.random.Generator(np.random.Philox(key=count)).random(count)
    found = statistics(values)
    for value, wanted in zip((found.mean, found.recall, found.decay), expected, strict=True):
        assert wanted is None or value == pytest.approx(wanted, abs=1e-12)
    if count >= 256:  # where the toolkit's 8-bit bins overflow: quarters that share their edge frame
        edge = round(1 + (count - 1) / 4 + 1e-10)
        last = round(1 + 3 * (count - 1) / 4 + 1e-10)
        assert found.decay == pytest.approx(values[:edge].mean() - values[last - 1 :].mean(), abs=1e-12)


def test_statistics_of_nothing_and_of_unscored_frames() -> None:
    assert all(map(math.isnan, (statistics([]).mean, statistics([]).recall, statistics([]).decay)))
    assert statistics([0.8, math.nan, 0.4]).mean == pytest.approx(0.6)


def slow_boundary(mask: np.ndarray) -> np.ndarray:
    """The definition, pixel by pixel."""
    height, width = mask.shape
    edge = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            below, right = min(y + 1, height - 1), min(x + 1, width - 1)
            neighbours = (mask[y, right], mask[below, x], mask[below, right])
            edge[y, x] = any(value != mask[y, x] for value in neighbours)
    return edge


def slow_f(pred: np.ndarray, gt: np.ndarray, radius: int) -> float:
    first, second = (np.argwhere(slow_boundary(mask)) for mask in (pred, gt))
    if not len(first) or not len(second):
        return float(len(first) == len(second))
    near = ((first[:, None] - second[None]) ** 2).sum(-1) <= radius**2
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


MASK_PAIRS = st.tuples(
    st.integers(1, 20), st.integers(1, 140), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0, allow_subnormal=False)
).map(lambda drawn: np.random.default_rng(drawn[2]).random((3, drawn[0], drawn[1])) < drawn[3] ** 3)


@settings(deadline=None, max_examples=150)
@given(masks=MASK_PAIRS, radius=st.integers(1, 70))
def test_f_is_what_its_definition_says(masks: np.ndarray, radius: int) -> None:
    pred, gt, void = masks
    assert boundary_accuracy(pred, gt, bound_th=radius) == pytest.approx(slow_f(pred, gt, radius), abs=1e-12)
    expected = slow_f(pred & ~void, gt & ~void, radius)
    assert boundary_accuracy(pred, gt, void, bound_th=radius) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(masks=MASK_PAIRS)
def test_invariants(masks: np.ndarray) -> None:
    pred, gt, void = masks
    assert frame_scores(gt, gt) == (1.0, 1.0)
    assert frame_scores(pred, gt) == pytest.approx(frame_scores(gt, pred), abs=1e-12)
    assert frame_scores(pred | void, gt, void) == frame_scores(pred & ~void, gt, void)
    assert all(0 <= value <= 1 for value in frame_scores(pred, gt))


@settings(deadline=None)
@given(words=arrays(np.uint64, (7, 5)))
def test_bits_are_counted(words: np.ndarray) -> None:
    assert bits.count(words) == sum(bin(int(word)).count("1") for word in words.ravel())


def test_bits_are_counted_without_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.arange(1000, dtype=np.uint64)[:, None] * np.uint64(0x123456789ABCD)
    expected = bits.count(words)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert bits.count(words) == expected


def test_mean_iou() -> None:
    mask = np.eye(4, dtype=bool)
    assert mean_iou([(mask, mask), (~mask, mask)]) == 0.5


@pytest.mark.parametrize(
    ("pred", "gt", "message"),
    [
        (np.zeros((4, 5)), np.zeros((5, 4)), r"truth is \(5, 4\) but the prediction is \(4, 5\)"),
        (np.zeros((1, 4, 5)), np.zeros((4, 5)), "prediction must be an H x W mask"),
        (np.zeros((0, 5)), np.zeros((0, 5)), "prediction must be an H x W mask"),
    ],
)
def test_bad_masks(pred: np.ndarray, gt: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frame_scores(pred, gt)


def test_bad_tolerance() -> None:
    with pytest.raises(ValueError, match="bound_th must be positive"):
        boundary_accuracy(np.ones((4, 4)), np.eye(4), bound_th=0)


def test_a_tolerance_beyond_the_picture_is_all_of_it() -> None:
    mask = np.zeros((8, 10), bool)
    mask[2:5, 3:6] = True
    other = np.zeros_like(mask)
    other[7, 9] = other[0, 0] = True
    assert frame_scores(mask, other, bound_th=1e12) == (0.0, 1.0) == frame_scores(mask, other, bound_th=float("inf"))
