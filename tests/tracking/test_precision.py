"""Lower precision is a setting of the model and needs no ritual around calls."""

from __future__ import annotations

import pytest
import torch
from drawn import drawn_clip
from models import nano_by_rule

from sam2v import VideoPredictor


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precisions_track_alike(dtype: torch.dtype) -> None:
    clip, masks = drawn_clip(5), []
    for precision in (torch.float32, dtype):
        predictor = VideoPredictor(nano_by_rule().set_precision(precision))
        state = predictor.init_state(clip)
        predictor.add_points(state, 0, 1, [(20, 20)])
        predictor.add_mask(state, 1, 2, clip[1, :, :, 0] > 128)
        results = list(predictor.propagate_in_video(state))
        assert results[-1].masks.dtype == torch.float32
        memory = state.tracks[1].bank.tracked(3).memory  # type: ignore[union-attr]
        assert memory is not None and memory.dtype == precision
        masks.append(torch.stack([r.masks for r in results]) > 0)
    assert (masks[0] == masks[1]).float().mean() > 0.9  # logits by rule lie close to zero nearly everywhere


def test_unknown_precisions_are_refused() -> None:
    with pytest.raises(ValueError, match="float32, bfloat16 or float16"):
        nano_by_rule().set_precision(torch.int8)
