"""Sets of masks as bits: the same as sets of booleans."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2v.masks.bits import MaskBits, bit_counts
from sam2v.masks.logits import packed

SIDES = st.integers(1, 13)


@st.composite
def two_sets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of up to four masks of one size."""
    height, width = draw(SIDES), draw(SIDES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    return tuple(rng.random((count, height, width)) < rng.random() for count in counts)  # type: ignore[return-value]


@given(two_sets())
def test_bits_are_the_masks(sets: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = sets
    a, b = map(MaskBits.of, sets)
    assert len(a) == len(first) and a.size == first.shape[1:]
    assert np.array_equal(a.planes(), first)
    assert np.array_equal(a.areas, first.sum((1, 2)))
    assert np.array_equal(a.union().planes()[0], first.any(axis=0))
    common = (first[:, None] & second[None]).sum((2, 3))
    assert np.array_equal(a.common(b), common)
    unions = (first[:, None] | second[None]).sum((2, 3))
    assert np.allclose(a.iou(b), common / np.maximum(unions, 1))
    assert np.allclose(a.covered(b), common / np.maximum(first.sum((1, 2)), 1)[:, None])
    assert np.array_equal(MaskBits.joined(a, b).planes(), np.concatenate(sets))
    assert np.array_equal(a.without(b.union()).planes(), first & ~second.any(axis=0))


def test_rows_and_bytes() -> None:
    masks = np.random.default_rng(0).random((5, 7, 9)) < 0.5
    bits = MaskBits.from_bytes(packed(torch.from_numpy(masks)).numpy(), (7, 9))
    assert np.array_equal(bits.words, MaskBits.of(masks).words)
    for rows in ([], [3, 1], slice(1, 4), masks.any((1, 2)), np.array([0])):
        assert np.array_equal(bits[rows].planes(), masks[rows])
    assert len(MaskBits.none((4, 4))) == 0 and MaskBits.none((4, 4)).union().areas.tolist() == [0]


def test_counts_without_the_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.random.default_rng(1).integers(0, 2**63, (3, 5)).astype(np.uint64)
    expected = bit_counts(words).sum()
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert bit_counts(words).sum() == expected
    assert MaskBits(words, (16, 20)).areas.sum() == expected
