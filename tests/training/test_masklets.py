"""Masklets of unlabelled videos: proposals, both ways, and what is kept."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sam2v.training import masklets
from sam2v.training.masklets import MaskletRules, agreement, find_masklets, overlap, propose

FRAMES = np.zeros((5, 32, 48, 3), np.uint8)


def _square(left: int) -> np.ndarray:
    mask = np.zeros((32, 48), bool)
    mask[8:20, left : left + 12] = True
    return mask


class _Image:
    """Finds a square left of the middle and one right of it; the third mask of each answer is the whole picture."""

    def set_image(self, image):
        self.size = image.shape[:2]

    def predict(self, points, labels):
        squares = [_square(4 if x < 24 else 30) for x in points[:, 0, 0]]
        masks = np.array([[square, square, np.ones(self.size, bool)] for square in squares])
        iou = np.array([[0.9 if x < 24 else 0.85, 0.3, 0.95] for x in points[:, 0, 0]])
        return SimpleNamespace(masks=masks, iou=iou)


class _Video:
    """Carries masks along: the object that starts left moves right by 2 pixels a frame, `lost` goes astray."""

    def __init__(self, lost: int | None = None) -> None:
        self.lost, self.ways = lost, 0

    def init_state(self, frames):
        self.ways += 1
        return {"frames": len(frames), "masks": []}

    def add_mask(self, state, frame_idx, number, mask):
        state["masks"].append(mask)

    def propagate_in_video(self, state):
        way = 1 if self.ways == 1 else -1
        for t in range(state["frames"]):
            planes = []
            for number, mask in enumerate(state["masks"]):
                step = 2 * way if number == 0 else 0
                astray = 9 if number == self.lost and way < 0 and t else 0
                planes.append(np.roll(mask, step * t + astray, axis=1) * 8.0 - 4)
            yield t, list(range(len(planes))), torch.from_numpy(np.array(planes)).float()[:, None]


def test_proposals_are_distinct_and_of_a_usable_size() -> None:
    found = propose(_Image(), FRAMES[0], MaskletRules(grid=4))  # type: ignore[arg-type]
    assert len(found) == 2
    assert np.array_equal(found[0], _square(4)) and np.array_equal(found[1], _square(30))
    assert len(propose(_Image(), FRAMES[0], MaskletRules(grid=4, quality=0.88))) == 1  # type: ignore[arg-type]
    assert len(propose(_Image(), FRAMES[0], MaskletRules(grid=4, objects=1))) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(("lost", "kept"), [(None, 2), (1, 1)])
def test_what_is_found_again_on_the_way_back_is_kept(
    monkeypatch: pytest.MonkeyPatch, lost: int | None, kept: int
) -> None:
    monkeypatch.setattr(masklets, "ImagePredictor", lambda network: _Image())
    monkeypatch.setattr(masklets, "VideoPredictor", lambda network: _Video(lost))
    masks = find_masklets(None, FRAMES, MaskletRules(grid=4))  # type: ignore[arg-type]
    assert masks.shape == (5, kept, 32, 48)
    assert np.array_equal(masks[0, 0], _square(4)) and np.array_equal(masks[4, 0], _square(12))


def test_nothing_found_gives_no_masklet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masklets, "ImagePredictor", lambda network: _Image())
    assert find_masklets(None, FRAMES, MaskletRules(quality=0.99)).shape == (5, 0, 32, 48)  # type: ignore[arg-type]


def test_agreement_leaves_out_the_frame_where_the_way_back_starts() -> None:
    there, back = np.array([_square(4)] * 3), np.array([_square(4), _square(10), _square(30)])
    assert overlap(_square(4), _square(10)) == pytest.approx(6 / 18)
    assert agreement(there, back) == pytest.approx((1 + 6 / 18) / 2)
    assert overlap(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1
