"""Components against a plain flood fill, and the rules of filling holes and removing specks."""

from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2v.masks.components import component_areas, fill_holes, label_components, remove_specks
from sam2v.masks.small_components import small_components


def flood_fill(mask: np.ndarray) -> np.ndarray:
    """The slow definition: 8-connected labels 1, 2, ... in raster order."""
    height, width = mask.shape
    labels = np.zeros(mask.shape, dtype=np.int64)
    count = 0
    for seed in zip(*np.nonzero(mask), strict=True):
        if labels[seed]:
            continue
        count += 1
        labels[seed] = count
        queue = deque([seed])
        while queue:
            y, x = queue.popleft()
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    if mask[v, u] and not labels[v, u]:
                        labels[v, u] = count
                        queue.append((v, u))
    return labels


@st.composite
def mask_batches(draw: st.DrawFn) -> np.ndarray:
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)))
    density = draw(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.95]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.random(shape) < density


@settings(max_examples=150, deadline=None)
@given(mask_batches())
def test_labels_equal_flood_fill(masks: np.ndarray) -> None:
    expected = np.stack([flood_fill(mask) for mask in masks])
    np.testing.assert_array_equal(label_components(torch.from_numpy(masks)).numpy(), expected)


@settings(max_examples=50, deadline=None)
@given(mask_batches())
def test_areas_equal_label_counts(masks: np.ndarray) -> None:
    areas = component_areas(torch.from_numpy(masks)).numpy()
    for mask, area in zip(masks, areas, strict=True):
        labels = flood_fill(mask)
        counts = np.bincount(labels.ravel())
        np.testing.assert_array_equal(area, np.where(mask, counts[labels], 0))


@settings(max_examples=60, deadline=None)
@given(mask_batches(), st.integers(1, 12))
def test_fill_and_remove_touch_small_components_only(masks: np.ndarray, max_area: int) -> None:
    logits = torch.from_numpy(np.where(masks, 3.0, -3.0).astype(np.float32))[:, None]
    areas_in = component_areas(logits > 0)
    areas_out = component_areas(logits <= 0)
    filled = fill_holes(logits, max_area)
    cleaned = remove_specks(logits, max_area)
    holes = (areas_out > 0) & (areas_out <= max_area)
    specks = (areas_in > 0) & (areas_in <= max_area)
    assert torch.equal(filled, torch.where(holes, torch.tensor(0.1), logits))
    assert torch.equal(cleaned, torch.where(specks, torch.tensor(-0.1), logits))


@settings(max_examples=60, deadline=None)
@given(mask_batches(), st.integers(1, 12))
def test_a_device_that_is_not_waited_for_finds_the_same(masks: np.ndarray, max_area: int) -> None:
    mask = torch.from_numpy(masks)[:, None]
    areas = component_areas(mask)
    assert torch.equal(small_components(mask, max_area), (areas > 0) & (areas <= max_area))


@pytest.mark.parametrize("transposed", [False, True])
def test_a_long_winding_path_is_one_component(transposed: bool) -> None:
    """The worst case for labels that travel pixel by pixel."""
    path = torch.zeros(65, 64, dtype=torch.bool)
    path[::2] = True
    path[1::4, -1] = True
    path[3::4, 0] = True
    labels = label_components(path.T if transposed else path)
    assert labels.max() == 1
    path[1, -1] = False
    assert label_components(path).max() == 2


def test_diagonal_neighbours_touch_and_a_zero_logit_is_background() -> None:
    diagonal = torch.eye(5, dtype=torch.bool)
    assert label_components(diagonal).max() == 1
    assert label_components(diagonal.flip(0)).max() == 1
    logits = torch.full((1, 1, 5, 5), 2.0)
    logits[..., 2, 2] = 0.0
    assert fill_holes(logits, 1)[0, 0, 2, 2] == pytest.approx(0.1)


def test_area_limit_is_inclusive_and_zero_means_off() -> None:
    logits = torch.full((1, 1, 6, 6), 2.0)
    logits[..., 1:3, 1:3] = -2.0  # four pixels
    assert (fill_holes(logits, 3) == logits).all()
    assert (fill_holes(logits, 4) > 0).all()
    assert fill_holes(logits, 0) is logits


def test_input_is_not_written_to_and_dtype_stays() -> None:
    logits = torch.full((2, 1, 4, 4), 1.0, dtype=torch.bfloat16)
    logits[0, 0, 1, 1] = -1.0
    before = logits.clone()
    filled = fill_holes(logits, 8)
    assert filled.dtype == torch.bfloat16 and torch.equal(logits, before) and (filled > 0).all()


@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (2, 0, 4), (1, 3, 0)])
def test_empty_batches(shape: tuple[int, ...]) -> None:
    assert label_components(torch.zeros(shape, dtype=torch.bool)).shape == shape
    assert fill_holes(torch.zeros(shape), 8).shape == shape


def test_one_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="H x W"):
        label_components(torch.zeros(5, dtype=torch.bool))
