"""Trackers that know nothing about objects, so that a score means something: copy the first mask, or warp it.

Both have the methods of `sam2v.VideoPredictor` that evaluation uses and take mask prompts only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sam2v.video.base import FrameSource
from sam2v.video.sources import open_source

SoftMask = npt.NDArray[np.float32]  # H x W in [0, 1]
BASELINES = ("copy", "flow")


@dataclass
class State:
    """An open video, its objects' prompts (object -> frame -> mask), and the newest frame shown with its masks."""

    frames: FrameSource
    prompts: dict[int, dict[int, SoftMask]] = field(default_factory=dict)
    newest: tuple[int, dict[int, SoftMask]] | None = None


class CopyMask:
    """Shows every object where its latest prompt put it."""

    def init_state(self, source: Any) -> State:
        """Open a video (anything `sam2v.VideoPredictor` opens)."""
        return State(open_source(source))

    def add_mask(self, state: State, frame_idx: int, obj_id: int, mask: npt.ArrayLike) -> tuple[int, list[int], Tensor]:
        """Prompt an object with an H x W mask, non-zero is object."""
        soft = (np.asarray(mask) != 0).astype(np.float32)
        if soft.shape != state.frames.size:
            raise ValueError(f"mask is {soft.shape}, but the video is {state.frames.size} (height, width)")
        state.prompts.setdefault(obj_id, {})[frame_idx] = soft
        if state.newest is not None and frame_idx <= state.newest[0]:
            state.newest = None
        return _result(frame_idx, {obj_id: soft}, state.frames.size)

    def add_points(self, *_: Any, **__: Any) -> tuple[int, list[int], Tensor]:
        """Not for a baseline: raises ValueError."""
        raise ValueError("a baseline cannot segment from clicks or a box; it needs the prompt 'mask'")

    add_box = add_points

    def propagate_in_video(
        self, state: State, start_frame_idx: int | None = None, max_frame_num_to_track: int | None = None
    ) -> Iterator[tuple[int, list[int], Tensor]]:
        """Yield (frame_idx, obj_ids, masks) from a frame on; masks are N x 1 x H x W logits, positive is object."""
        if not state.prompts:
            raise ValueError("no object was prompted: nothing to show")
        start = min(min(frames) for frames in state.prompts.values()) if start_frame_idx is None else start_frame_idx
        last = len(state.frames) - 1
        if max_frame_num_to_track is not None:
            last = min(last, start + max_frame_num_to_track)
        shown = self._shown_before(state, start)
        for frame_idx in range(start, last + 1):
            shown = self._carry(state, frame_idx, shown)
            shown |= {obj: found[frame_idx] for obj, found in state.prompts.items() if frame_idx in found}
            state.newest = frame_idx, shown
            yield _result(frame_idx, shown, state.frames.size)

    def _shown_before(self, state: State, frame_idx: int) -> dict[int, SoftMask]:
        """Masks on the frame before this one: what the latest earlier prompts left there."""
        if state.newest is not None and state.newest[0] == frame_idx - 1:
            return state.newest[1]
        earlier = [max((t for t in found if t < frame_idx), default=None) for found in state.prompts.values()]
        shown: dict[int, SoftMask] = {}
        for t in range(min((t for t in earlier if t is not None), default=frame_idx), frame_idx):
            shown = self._carry(state, t, shown)
            shown |= {obj: found[t] for obj, found in state.prompts.items() if t in found}
        return shown

    def _carry(self, state: State, frame_idx: int, shown: dict[int, SoftMask]) -> dict[int, SoftMask]:
        """The masks of the frame before, on this frame."""
        return dict(shown)


class WarpMask(CopyMask):
    """Warps the masks from frame to frame along dense optical flow (DIS, Kroeger et al. 2016, from OpenCV).

    The flow runs from each frame back to the one before it; masks are resampled bilinearly and stay soft, so that
    rounding does not add up. Raises ImportError where OpenCV is not installed.
    """

    def __init__(self) -> None:
        self._cv = _opencv()

    def _carry(self, state: State, frame_idx: int, shown: dict[int, SoftMask]) -> dict[int, SoftMask]:
        if not shown:
            return {}
        grey = [self._cv.cvtColor(state.frames[t], self._cv.COLOR_RGB2GRAY) for t in (frame_idx, frame_idx - 1)]
        flow = self._cv.DISOpticalFlow_create(self._cv.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
        rows, columns = np.mgrid[: grey[0].shape[0], : grey[0].shape[1]].astype(np.float32)
        x, y = columns + flow[..., 0], rows + flow[..., 1]
        return {obj: self._cv.remap(mask, x, y, self._cv.INTER_LINEAR) for obj, mask in shown.items()}


def make_baseline(name: str) -> CopyMask:
    """ "copy" or "flow". Raises ValueError for another name, ImportError without OpenCV for "flow"."""
    if name not in BASELINES:
        raise ValueError(f"no baseline named {name!r}; there are {', '.join(BASELINES)}")
    return WarpMask() if name == "flow" else CopyMask()


def _result(frame_idx: int, shown: dict[int, SoftMask], size: tuple[int, int]) -> tuple[int, list[int], Tensor]:
    obj_ids = sorted(shown)
    soft = np.stack([shown[obj] for obj in obj_ids]) if obj_ids else np.zeros((0, *size), np.float32)
    return frame_idx, obj_ids, torch.from_numpy(soft - np.float32(0.5))[:, None]


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError:
        raise ImportError("the flow baseline needs OpenCV: pip install 'sam2v[flow]'") from None
    return cv2
