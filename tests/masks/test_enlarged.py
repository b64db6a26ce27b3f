"""Masks of enlarged logits as runs: what enlarging and cutting the logits gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2v.masks.boxes import mask_to_box
from sam2v.masks.enlarged import Enlarger
from sam2v.masks.logits import enlarged
from sam2v.masks.rle import decode_rle, encode_rle, rle_of_turns

SIDES = st.tuples(st.integers(1, 12), st.integers(1, 12))
LARGE = st.tuples(st.integers(1, 70), st.integers(1, 70))


def logits_of(seed: int, size: tuple[int, int]) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 3


def by_pixels(logits: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    return enlarged(logits[None, None], size)[0, 0].numpy()


@given(st.integers(0, 1000), SIDES, LARGE, st.sampled_from([0.0, 1.0, -2.5]))
def test_the_mask_is_that_of_enlarged_logits(
    seed: int, small: tuple[int, int], large: tuple[int, int], level: float
) -> None:
    logits = logits_of(seed, small)
    (runs,) = Enlarger(small, large).cut(logits.numpy(), level)
    pixels = by_pixels(logits, large)
    made = decode_rle(rle_of_turns(runs.turns(), large))
    clear = abs(pixels - level) > 1e-4  # what is as good as at the level may fall on either side
    assert np.array_equal(made[clear], (pixels > level)[clear])
    assert runs.area == made.sum()
    assert list(runs.box()) == mask_to_box(made[None])[0].tolist()


def test_several_levels_lie_in_each_other() -> None:
    logits = logits_of(3, (24, 24))
    inner, middle, outer = Enlarger((24, 24), (90, 130)).cut(logits.numpy(), 1.0, 0.0, -1.0)
    assert [runs.area for runs in (inner, middle, outer)] == [
        int((by_pixels(logits, (90, 130)) > level).sum()) for level in (1.0, 0.0, -1.0)
    ]


def test_a_part_of_a_larger_picture() -> None:
    logits = logits_of(5, (8, 8))
    (runs,) = Enlarger((8, 8), (20, 30)).cut(logits.numpy(), 0.0)
    whole = np.zeros((50, 60), bool)
    whole[7:27, 11:41] = by_pixels(logits, (20, 30)) > 0
    assert rle_of_turns(runs.turns((50, 60), (11, 7)), (50, 60)) == encode_rle(whole)


@pytest.mark.parametrize(("value", "area"), [(-1.0, 0), (1.0, 35 * 41)])
def test_nothing_and_everything(value: float, area: int) -> None:
    (runs,) = Enlarger((4, 4), (35, 41)).cut(np.full((4, 4), value, np.float32), 0.0)
    assert runs.area == area
    assert runs.box() == ((0, 0, 40, 34) if area else (0, 0, 0, 0))
    assert rle_of_turns(runs.turns(), (35, 41), compressed=False)["counts"] == ([0, area] if area else [35 * 41])
