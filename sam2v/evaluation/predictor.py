"""What the protocols ask of a predictor, and what they make of its masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sam2v.arrays import Array, device_of, namespace, to_numpy

Mask = npt.NDArray[np.bool_]
FrameResult = Any  # unpacks as (frame_idx, obj_ids, masks): N ids and N x 1 x H x W logits, positive is object


class Predictor(Protocol):
    """The part of `sam2v.VideoPredictor` that evaluation uses; any object with these methods can be evaluated."""

    def init_state(self, source: Any) -> Any:
        """Open a video."""

    def add_points(
        self, state: Any, frame_idx: int, obj_id: int, points: Any, labels: Any, *, clear_old_points: bool = True
    ) -> FrameResult:
        """Prompt with clicks, or add clicks to earlier ones."""

    def add_box(self, state: Any, frame_idx: int, obj_id: int, box: Any) -> FrameResult:
        """Prompt with a box (x0, y0, x1, y1)."""

    def add_mask(self, state: Any, frame_idx: int, obj_id: int, mask: Any) -> FrameResult:
        """Prompt with an H x W mask."""

    def propagate_in_video(
        self, state: Any, start_frame_idx: int | None = None, max_frame_num_to_track: int | None = None
    ) -> Iterable[FrameResult]:
        """Track from a frame on; N frames to track give N + 1 results."""


Maker = Callable[[], Predictor]


def made(predictor: Predictor | Maker) -> Predictor:
    """The predictor itself, or the one a function makes (which should keep it for the next call)."""
    return predictor if hasattr(predictor, "init_state") else predictor()  # type: ignore[return-value, operator]


def binary_masks(obj_ids: Sequence[int], masks: Array) -> dict[int, Mask]:
    """Object id -> H x W bool, objects free to overlap."""
    return {int(obj): mask for obj, mask in zip(obj_ids, to_numpy(masks[:, 0] > 0), strict=True)}


def exclusive_masks(obj_ids: Sequence[int], masks: Array) -> dict[int, Mask]:
    """Object id -> H x W bool, every pixel given to the object with the highest logit, as a label map demands."""
    if len(obj_ids) == 1:
        return binary_masks(obj_ids, masks)
    xp, logits = namespace(masks), masks[:, 0]
    winner = xp.argmax(logits, axis=0, keepdims=True)  # 1 x H x W
    index = xp.arange(len(obj_ids), device=device_of(masks))[:, None, None]
    found = to_numpy((logits > 0) & (index == winner))
    return {int(obj): mask for obj, mask in zip(obj_ids, found, strict=True)}
