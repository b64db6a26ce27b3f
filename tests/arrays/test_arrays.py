"""What the array API lacks: NumPy's answers are torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2v import arrays
from sam2v.arrays.torch_kind import TYPES
from sam2v.masks.boxes import mask_to_box
from sam2v.masks.components import component_areas, fill_holes, label_components
from sam2v.masks.overlap import non_overlapping

CPU = torch.device("cpu")
sides = st.integers(1, 40)


def both(array: np.ndarray, function: Any) -> tuple[np.ndarray, np.ndarray]:
    """A function's answers for a NumPy array and for the same as a tensor, each of its kind."""
    ours, theirs = function(array), function(torch.from_numpy(array.copy()))
    assert isinstance(ours, np.ndarray) and isinstance(theirs, torch.Tensor)
    return ours, theirs.numpy()


@given(st.integers(2, 40), st.integers(2, 40), sides, sides, st.booleans(), st.integers(0, 2**32 - 1))
def test_resizing(h: int, w: int, high: int, wide: int, antialias: bool, seed: int) -> None:
    """From two pixels on: of a single column torch gives the first row's value everywhere."""
    values = np.random.default_rng(seed).normal(0, 10, (2, 1, h, w)).astype(np.float32)
    ours, theirs = both(values, lambda x: arrays.resized(x, (high, wide), antialias))
    assert ours.dtype == np.float32 and ours.shape == (2, 1, high, wide)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_resizing_large_pictures() -> None:
    values = np.random.default_rng(0).normal(0, 10, (1, 1, 96, 160)).astype(np.float32)
    for size, antialias in (((1080, 1920), False), ((31, 17), True), ((31, 17), False)):
        ours, theirs = both(values, lambda x, s=size, a=antialias: arrays.resized(x, s, a))
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


@given(st.integers(0, 3), sides, sides, st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_masks(count: int, h: int, w: int, density: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    masks = random.random((count, h, w)) < density
    for function in (component_areas, label_components, arrays.packed_bits, mask_to_box):
        ours, theirs = both(masks, function)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, err_msg=function.__name__)
    logits = np.where(masks, 3, -3)[:, None] + random.random((count, 1, h, w)).astype(np.float32)
    for function in (lambda x: fill_holes(x, 6), non_overlapping):
        ours, theirs = both(logits.astype(np.float32), function)
        np.testing.assert_array_equal(ours, theirs)


def test_clamping_and_gathering() -> None:
    values = np.arange(-6, 6, dtype=np.float32).reshape(2, 3, 2)
    index = np.array([[[2]], [[0]]])
    np.testing.assert_array_equal(*both(values, lambda x: arrays.clamp(x, -2, 3)))
    np.testing.assert_array_equal(*both(values, lambda x: arrays.clamp(x, high=3)))
    found = both(values, lambda x: arrays.gathered(x, arrays.on_device(index, arrays.device_of(x)), 1))
    np.testing.assert_array_equal(*found)
    assert found[0].tolist() == [[[-2, -1]], [[0, 1]]]


@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "I64", "U8"])
def test_bytes(name: str) -> None:
    """What either kind wrote, the other reads."""
    tensor = torch.arange(-3, 9).reshape(3, 4).to(TYPES[name])
    data = arrays.packed_bytes(tensor)
    assert arrays.type_name(tensor.dtype) == name
    back = arrays.unpacked_as(data, name, (3, 4), CPU)
    assert back.dtype == tensor.dtype and torch.equal(back, tensor)
    found = arrays.unpacked_as(data, name, (3, 4), arrays.HOST)
    np.testing.assert_array_equal(found, tensor.float().numpy() if name == "BF16" else tensor.numpy())
    if name != "BF16":
        assert arrays.packed_bytes(found) == data and arrays.type_name(found.dtype) == name


def test_unknown_numbers_are_refused() -> None:
    for dtype in (np.dtype(np.complex64), torch.int16):
        with pytest.raises(TypeError, match="cannot keep numbers of type"):
            arrays.type_name(dtype)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_what_is_kept_is_no_view(kind: str) -> None:
    whole = np.zeros((8, 5), np.float32)
    array = whole if kind == "numpy" else torch.from_numpy(whole.copy())
    row = arrays.owned(array[2])
    array[2] = 7
    assert float(row.sum()) == 0 and row.nbytes == 20
    assert arrays.owned(row) is row or kind == "torch"
    assert arrays.owned(array.T).shape == (5, 8)
    for part in (array, array[:, 1:3], array[2:3]):
        rows = arrays.owned_rows(part)
        assert [arrays.to_numpy(row).tolist() for row in rows] == arrays.to_numpy(part).tolist()
        for row in rows:
            row[...] = 0
    assert arrays.to_numpy(array).sum() == 7 * 5


def test_moving() -> None:
    values = np.arange(6.0).reshape(2, 3)
    tensor = arrays.on_device(values, CPU)
    assert isinstance(tensor, torch.Tensor) and arrays.on_device(tensor, CPU) is tensor
    assert isinstance(arrays.on_device(tensor, arrays.HOST), np.ndarray)
    assert arrays.host_of(arrays.HOST) == arrays.HOST and arrays.host_of(CPU) == CPU
    halves = torch.tensor([1.5, -2.0], dtype=torch.bfloat16, requires_grad=True)
    assert arrays.to_numpy(halves).dtype == np.float32 and arrays.to_numpy(halves).tolist() == [1.5, -2.0]
    frozen = np.broadcast_to(np.float32(1), (2, 2))
    assert arrays.on_device(frozen, CPU).sum() == 4  # without a warning that the array cannot be written


def test_finite_floats() -> None:
    for kind in (np.asarray, torch.tensor):
        assert arrays.finite_floats(kind([1.0, 2.0]))
        assert not arrays.finite_floats(kind([1.0, float("nan")])) and not arrays.finite_floats(kind([1, 2]))
