"""Folders of masks, drawn by rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluation.drawn import disk, two_disks
from PIL import Image

WriteMasks = Callable[..., Path]


@pytest.fixture
def write_masks() -> WriteMasks:
    """Function (folder, arrays, palette=False) -> folder, with 00000.png, 00001.png, ..."""

    def write(folder: Path, arrays: list[np.ndarray], palette: bool = False) -> Path:
        folder.mkdir(parents=True)
        for index, array in enumerate(arrays):
            picture = Image.fromarray(array)
            if palette:
                picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [64] * 3 * 253)
            picture.save(folder / f"{index:05d}.png")
        return folder

    return write


@pytest.fixture
def pair(tmp_path: Path, write_masks: WriteMasks) -> tuple[Path, Path]:
    """(predictions, annotations): one sequence of two objects and one of a single 0 / 255 object, 8 frames
    each.
    """
    pred, gt = tmp_path / "pred", tmp_path / "gt"
    write_masks(gt / "two", [two_disks(t) for t in range(8)], palette=True)
    write_masks(pred / "two", [two_disks(t, shift=t // 2) for t in range(8)], palette=True)
    write_masks(gt / "one", [np.uint8(255) * disk(20 + 2 * t, 24, 9) for t in range(8)])
    write_masks(pred / "one", [np.uint8(255) * disk(20 + t, 24, 9) for t in range(8)])
    return pred, gt
