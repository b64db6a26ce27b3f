"""COCO RLE: round trips, known strings, agreement with pycocotools, errors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sam2v.masks.rle import MAX_PIXELS, decode_rle, encode_rle, rle_area, union_rle

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(MASKS, st.booleans())
def test_round_trip(mask, compressed):
    rle = encode_rle(mask, compressed)
    assert np.array_equal(decode_rle(rle), mask)
    assert rle_area(rle) == mask.sum()
    assert rle["size"] == list(mask.shape)


@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.floats(0, 1, allow_subnormal=False),
    st.floats(0, 1, allow_subnormal=False),
)
def test_runs_of_any_length(height, width, left, right):
    """Long runs take several groups of bits, and their differences both signs."""
    mask = np.zeros((height, width), bool)
    first, last = sorted((int(left * width), int(right * width)))
    mask[:, first:last] = True
    rle = encode_rle(mask)
    assert rle_area(rle) == height * (last - first)
    assert np.array_equal(decode_rle(rle), mask)


@given(MASKS, MASKS)
def test_union(mask, other):
    other = np.resize(other, mask.shape)
    assert np.array_equal(decode_rle(union_rle([encode_rle(mask), encode_rle(other)])), mask | other)
    assert union_rle([encode_rle(mask)]) == encode_rle(mask)


def test_columns_come_first():
    mask = np.array([[0, 1, 1], [0, 0, 1]], bool)
    assert encode_rle(mask, compressed=False) == {"size": [2, 3], "counts": [2, 1, 1, 2]}


def test_first_pixel_set_starts_with_an_empty_run():
    assert encode_rle(np.ones((2, 2), bool), compressed=False)["counts"] == [0, 4]


def test_known_strings():
    """31 takes two groups; the fourth count of 5, 3, 20, 3, 969 is written as 0, the fifth as 949."""
    mask = np.zeros(1000, bool)
    mask[5:8] = mask[28:31] = True
    assert encode_rle(mask.reshape(1000, 1))["counts"] == "53d00em0"
    assert encode_rle(np.zeros((31, 1), bool))["counts"] == "o0"


@given(MASKS)
def test_agrees_with_pycocotools(mask):
    coco = pytest.importorskip("pycocotools.mask")
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode_rle(mask)["counts"] == theirs["counts"].decode()
    assert np.array_equal(decode_rle(theirs), mask)


def test_integers_and_tensors():
    mask = torch.tensor([[0, 2], [7, 0]])
    assert np.array_equal(decode_rle(encode_rle(mask)), [[False, True], [True, False]])


@pytest.mark.parametrize(
    "rle, message",
    [
        ({"size": [2, 2]}, "'size' and 'counts'"),
        ("04", "'size' and 'counts'"),
        ({"size": [2], "counts": [4]}, "height, width"),
        ({"size": [2, 0], "counts": [0]}, "positive"),
        ({"size": [2, 2], "counts": [3]}, "add up to 4 pixels.*add up to 3"),
        ({"size": [2, 2], "counts": [-1, 5]}, "negative"),
        ({"size": [2, 2], "counts": [1.5, 2.5]}, "list of integers"),
        ({"size": [2, 2], "counts": ""}, "not a compressed COCO RLE"),
        ({"size": [2, 2], "counts": "4 "}, "not a compressed COCO RLE"),
        ({"size": [2, 2], "counts": "P"}, "not a compressed COCO RLE"),
        ({"size": [2, 2], "counts": "é"}, "not a compressed COCO RLE|add up"),
        ({"size": [2, 2], "counts": "oooooooooo0"}, "groups"),
        ({"size": 4, "counts": [4]}, "height, width"),
        ({"size": ["2", 2], "counts": [4]}, "positive integers"),
        ({"size": [float("nan"), 2], "counts": [4]}, "positive integers"),
        ({"size": [2, 2], "counts": [2**62, 2**62, 2**62, 2**62, 4]}, "add up to 4 pixels"),  # wraps around to 4
    ],
)
def test_malformed(rle, message):
    with pytest.raises(ValueError, match=message):
        decode_rle(rle)
    with pytest.raises(ValueError, match=message):
        rle_area(rle)


@pytest.mark.parametrize("size", [[100_000, 100_000], [1, MAX_PIXELS + 1], [2**40, 2**40], [1e300, 1], [10**400, 1]])
@pytest.mark.parametrize("counts", ["listed", "packed"])
def test_a_bomb_is_refused_before_anything_is_allocated(size, counts):
    runs = [int(size[0]) * int(size[1])]
    rle = {"size": size, "counts": runs if counts == "listed" else "0" * 9}
    with pytest.raises(ValueError, match=f"more than {MAX_PIXELS} pixels"):
        decode_rle(rle)
    with pytest.raises(ValueError, match=f"more than {MAX_PIXELS} pixels"):
        rle_area(rle)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9))
def test_runs_that_go_on_in_the_next_column(height, width, before, after):
    """Objects that reach the bottom of one column and begin at the top of the next."""
    flat = np.ones(height * width, bool)
    flat[:before] = flat[len(flat) - after :] = False
    mask = flat.reshape(width, height).T
    rle = encode_rle(mask, compressed=False)
    assert np.array_equal(decode_rle(rle), mask)
    assert all(run > 0 for run in rle["counts"][1:])
    assert len(rle["counts"]) <= 3


def test_bad_masks():
    with pytest.raises(TypeError, match="logits"):
        encode_rle(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="shape"):
        encode_rle(np.zeros((1, 2, 2), bool))
    with pytest.raises(ValueError, match="shape"):
        encode_rle(np.zeros((0, 2), bool))
