"""A pixel belongs to one object at most."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sam2v.masks.overlap import label_map, non_overlapping


def test_only_the_highest_object_stays() -> None:
    logits = torch.tensor([[1.0, -3.0, 5.0], [2.0, -20.0, -4.0]]).reshape(2, 1, 1, 3)
    expected = torch.tensor([[-10.0, -3.0, 5.0], [2.0, -20.0, -10.0]]).reshape(2, 1, 1, 3)
    assert torch.equal(non_overlapping(logits), expected)


def test_no_pixel_belongs_to_two_objects_and_winners_are_untouched() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 1, 16, 20) * 8
    result = non_overlapping(logits)
    assert ((result > 0).sum(0) <= 1).all()
    assert torch.equal(result.amax(0), logits.amax(0))
    assert torch.equal((result > 0).any(0), (logits > 0).any(0))


def test_a_tie_goes_to_the_first_object() -> None:
    result = non_overlapping(torch.full((3, 1, 2, 2), 4.0))
    assert (result[0] == 4.0).all() and (result[1:] == -10.0).all()


def test_one_or_no_object_is_returned_as_it_is() -> None:
    for count in (0, 1):
        logits = torch.randn(count, 1, 3, 3)
        assert non_overlapping(logits) is logits


@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-2, 2)
    ),
    st.integers(1, 60000),
)
def test_a_label_map_names_the_highest_logit(logits: np.ndarray, first: int) -> None:
    ids = list(range(first, first + len(logits)))
    labels = label_map(logits, logits > 0, ids)
    expected = np.where(logits.max(axis=0) > 0, np.array(ids)[logits.argmax(axis=0)], 0)
    assert np.array_equal(labels, expected)
    assert labels.dtype == (np.uint8 if ids[-1] < 255 else np.uint16)


def test_a_label_map_without_objects() -> None:
    assert not label_map(np.zeros((0, 3, 4), np.float32), np.zeros((0, 3, 4), bool), []).any()
