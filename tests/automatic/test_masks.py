"""Automatic masks of pictures: what their records say of them, and what must not change them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from automatic.comparing import overlap, pixels
from drawn import drawn_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from models import nano_by_rule

from sam2v import AutomaticMasks, load_model
from sam2v.automatic.cleaning import without_small_parts
from sam2v.automatic.found import FoundMasks
from sam2v.data.synthetic import demo_clip
from sam2v.masks.boxes import mask_to_box
from sam2v.masks.components import label_components
from sam2v.masks.rle import turns_of
from sam2v.model.network import Sam2Network
from sam2v.weights.load import embedded_checkpoint

ALL = {"points_per_side": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}


@pytest.fixture(scope="module")
def network() -> Sam2Network:
    return nano_by_rule()


@pytest.fixture(scope="module")
def trained() -> Sam2Network:
    if embedded_checkpoint("sam2v_nano") is None:
        pytest.skip("the embedded model is not there")
    return load_model("sam2v_nano", device="cpu")


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return drawn_clip(1, 60, 90)[0]


def found_with(network: Sam2Network, picture: np.ndarray, **options: Any) -> list[dict[str, Any]]:
    return AutomaticMasks(network, **{**ALL, **options}).generate(picture, progress=False)


def test_records_tell_of_their_masks(network: Sam2Network, picture: np.ndarray) -> None:
    records = found_with(network, picture)
    assert len(records) > 10
    for record in records:
        mask = record["segmentation"]
        assert mask.shape == picture.shape[:2] and mask.dtype == bool and record["area"] == mask.sum()
        x0, y0, x1, y1 = mask_to_box(mask[None])[0].tolist()
        assert record["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert record["crop_box"] == [0, 0, 90, 60]
        assert 0 <= record["stability_score"] <= 1
    scores = [record["predicted_iou"] for record in records]
    assert scores == sorted(scores, reverse=True)


def test_forms_of_masks_are_of_the_same_masks(network: Sam2Network, picture: np.ndarray) -> None:
    arrays, *others = (
        found_with(network, picture, output_mode=mode) for mode in ("binary_mask", "coco_rle", "uncompressed_rle")
    )
    for records in others:
        for one, other in zip(arrays, records, strict=True):
            assert np.array_equal(one["segmentation"], pixels(other))
            assert {k: v for k, v in one.items() if k != "segmentation"} == {
                k: v for k, v in other.items() if k != "segmentation"
            }


@pytest.mark.parametrize("batch", [1, 5, 1000])
def test_batches_change_nothing(network: Sam2Network, picture: np.ndarray, batch: int) -> None:
    expected, found = found_with(network, picture), found_with(network, picture, points_per_batch=batch)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert overlap(pixels(one), pixels(other)) > 0.999
        assert one["point_coords"] == other["point_coords"]
        assert one["predicted_iou"] == pytest.approx(other["predicted_iou"], abs=1e-5)


def test_threads_share_a_finder(network: Sam2Network) -> None:
    finder = AutomaticMasks(network, **ALL)
    frames = list(drawn_clip(4, 48, 64))
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda frame: finder.find(frame, progress=False), frames))
    for frame, found in zip(frames, together, strict=True):
        alone = finder.find(frame, progress=False)
        assert np.array_equal(found.iou, alone.iou) and np.array_equal(found.label_map(), alone.label_map())


@pytest.mark.parametrize("name", ["pred_iou_thresh", "stability_score_thresh"])
def test_thresholds_keep_what_reaches_them(network: Sam2Network, picture: np.ndarray, name: str) -> None:
    key = {"pred_iou_thresh": "predicted_iou", "stability_score_thresh": "stability_score"}[name]
    every = found_with(network, picture)
    limit = float(np.median([record[key] for record in every]))
    kept = found_with(network, picture, **{name: limit})
    expected = [
        record for record in every if record[key] > limit or (key == "stability_score" and record[key] == limit)
    ]
    assert 0 < len(kept) < len(every)
    assert [record["point_coords"] for record in kept] == [record["point_coords"] for record in expected]


def test_crops_find_more_and_say_where(trained: Sam2Network) -> None:
    scene = demo_clip((240, 426), 2).frames[0].permute(1, 2, 0).contiguous().numpy()
    options = {"points_per_side": 8, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.5}
    records = AutomaticMasks(trained, crop_n_layers=1, **options).generate(scene, progress=False)
    crops = {tuple(record["crop_box"]) for record in records}
    assert (0, 0, 426, 240) in crops and len(crops) > 1
    for record in records:
        x, y, width, height = record["crop_box"]
        ((px, py),) = record["point_coords"]
        assert x <= px < x + width and y <= py < y + height
        columns, rows = pixels(record).any(0).nonzero()[0], pixels(record).any(1).nonzero()[0]
        assert x <= columns[0] and columns[-1] < x + width and y <= rows[0] and rows[-1] < y + height


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (15, 15)])
def test_pictures_smaller_than_a_patch(network: Sam2Network, size: tuple[int, int]) -> None:
    for record in found_with(network, np.full((*size, 3), 90, np.uint8), points_per_side=2, crop_n_layers=1):
        assert record["segmentation"].shape == size


def test_nothing_in_a_black_picture(trained: Sam2Network) -> None:
    found = AutomaticMasks(trained, points_per_side=8).find(np.zeros((72, 128, 3), np.uint8), progress=False)
    assert len(found) == 0 and not found.label_map().any() and found.records("coco_rle") == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), area=st.integers(2, 12), share=st.floats(0.2, 0.8))
def test_no_small_part_and_no_small_hole_stays(seed: int, area: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((14, 17)) < share
    one, four = np.ones(1, np.float32), np.array([mask_to_box(mask[None])[0]]).astype(np.int64)
    found = FoundMasks((turns_of(mask, mask.shape, (0, 0)),), four, one, one, np.zeros((1, 2)), four, mask.shape)
    cleaned, same = without_small_parts(found, area)
    after = cleaned.mask(0)
    assert bool(same[0]) == np.array_equal(after, mask)
    for plane, most in ((~after, 0), (after, 1)):
        sizes = _sizes(plane)
        assert len(sizes) <= most or min(sizes) >= area or (plane is after and len(sizes) == 1)
    assert cleaned.boxes[0].tolist() == mask_to_box(after[None])[0].tolist()


def _sizes(plane: np.ndarray) -> list[int]:
    """Pixels of each 8-connected part."""
    import torch

    labels = label_components(torch.from_numpy(plane.astype(np.uint8))[None, None])
    return labels.flatten().bincount()[1:].tolist() if plane.any() else []
