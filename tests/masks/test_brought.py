"""Masks that come from an accelerator as bits are what they are on the host."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

import sam2v.masks.result
from sam2v.masks.logits import Finish
from sam2v.masks.result import MaskletFrame

SIZE = (30, 41)


def frame(count: int, finish: Finish) -> MaskletFrame:
    generator = torch.Generator().manual_seed(count)
    low_res = (
        torch.nn.functional.interpolate(
            torch.randn(count, 1, 4, 4, generator=generator) - 0.3, (12, 12), mode="bilinear"
        )
        if count
        else torch.zeros(0, 1, 12, 12)
    )
    scores = torch.randn(2, count, generator=generator)
    return MaskletFrame.from_low_res(5, list(range(1, count + 1)), low_res, *scores, SIZE, finish)


def looked_at(result: MaskletFrame) -> list[np.ndarray]:
    """Everything that a result can be turned into."""
    assert result.to_coco_rle() == copy.copy(result).to_coco_rle()
    return [
        result.packed(),
        result.binary(),
        result.label_map(),
        result.boxes(),
        result.scores(),
        result.overlay(),
        np.array([str(rle) for rle in result.to_coco_rle()]),
    ]


@pytest.mark.parametrize("finish", [Finish(), Finish(fill_hole_area=4, threshold=0.1), Finish(non_overlap=True)])
@pytest.mark.parametrize("count", [0, 1, 3, 20])
@pytest.mark.parametrize("ahead", [False, True])
def test_bits_are_the_masks(count: int, finish: Finish, ahead: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = looked_at(frame(count, finish))
    monkeypatch.setattr(sam2v.masks.result, "is_on_host", lambda array: False)
    result = frame(count, finish)
    if ahead:
        result.download()
    for found, wanted in zip(looked_at(result), expected, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    assert "masks" not in result.__dict__  # nothing large stays on the device


def test_the_masks_that_overlap_are_those_of_the_test() -> None:
    masks = frame(3, Finish()).binary()
    assert (masks.sum(axis=0) > 1).any() and masks.any(axis=(1, 2)).all()
    assert not (frame(3, replace(Finish(), non_overlap=True)).binary().sum(axis=0) > 1).any()


@pytest.mark.parametrize("place", ["host", "device"])
def test_what_others_won_stays_theirs_in_a_selection(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = frame(3, replace(Finish(), non_overlap=True))
    if place == "device":
        monkeypatch.setattr(sam2v.masks.result, "is_on_host", lambda array: False)
    some = whole.select([whole.obj_ids[2], whole.obj_ids[0]])
    assert np.array_equal(some.binary(), whole.binary()[[2, 0]])
    assert torch.equal(some.masks, whole.masks[[2, 0]])
    again = pickle.loads(pickle.dumps(some)).select([whole.obj_ids[0]])
    assert np.array_equal(again.binary(), whole.binary()[[0]]) and np.array_equal(again.packed(), whole.packed()[[0]])


def test_what_is_on_its_way_is_not_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam2v.masks.result, "is_on_host", lambda array: False)
    result = frame(3, Finish())
    result.download()
    for other in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result), result.with_frame(None)):
        np.testing.assert_array_equal(other.packed(), result.packed())
