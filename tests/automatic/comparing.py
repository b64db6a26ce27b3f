"""How records of automatic masks are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from sam2v.masks.rle import decode_rle

Record = dict[str, Any]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two masks."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def pixels(record: Record) -> np.ndarray:
    """The mask of a record in any form."""
    mask = record["segmentation"]
    return mask if isinstance(mask, np.ndarray) else decode_rle(mask)


def assert_same(found: Sequence[Record], expected: Sequence[Record]) -> None:
    """Each expected record is found, in its place, with the same numbers of the same kinds."""
    assert len(found) == len(expected)
    for own, other in zip(found, expected, strict=True):
        assert list(own) == list(other)
        assert [type(value) for value in own.values()] == [type(value) for value in other.values()]
        assert overlap(pixels(own), pixels(other)) >= 0.98
        assert own["predicted_iou"] == pytest.approx(other["predicted_iou"], abs=1e-3)
        assert own["stability_score"] == pytest.approx(other["stability_score"], abs=2e-3)
        assert own["area"] == pytest.approx(other["area"], rel=0.01, abs=2)
        np.testing.assert_allclose(own["bbox"], other["bbox"], atol=1)
        np.testing.assert_allclose(own["point_coords"], other["point_coords"], atol=1e-3)
        assert own["crop_box"] == other["crop_box"]
