"""Predictors that know the answer, and a made-up data set in DAVIS and SA-V layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluation.drawn import SIZE, disk, two_disks
from PIL import Image

from sam2v.data.records import VideoRecord

Result = tuple[int, list[int], torch.Tensor]
FRAMES = 8


@dataclass
class State:
    record: VideoRecord
    objects: dict[int, int] = field(default_factory=dict)  # object -> frame of its first prompt
    corrected: dict[int, set[int]] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)


class Oracle:
    """Shows the ground truth for every object it was prompted with."""

    def __init__(self, records: Sequence[VideoRecord]) -> None:
        self.records = {record.source: record for record in records}
        self.states: list[State] = []

    def init_state(self, source: Any) -> State:
        self.states.append(State(self.records[source]))
        return self.states[-1]

    def add_points(
        self, state: State, frame_idx: int, obj_id: int, points: Any, labels: Any, clear_old_points: bool = True
    ) -> Result:
        state.calls.append(("points", frame_idx, obj_id, np.asarray(points).tolist(), np.asarray(labels).tolist()))
        assert clear_old_points == (obj_id not in state.objects)
        return self._prompted(state, frame_idx, obj_id)

    def add_box(self, state: State, frame_idx: int, obj_id: int, box: Any) -> Result:
        state.calls.append(("box", frame_idx, obj_id, np.asarray(box).tolist()))
        return self._prompted(state, frame_idx, obj_id)

    def add_mask(self, state: State, frame_idx: int, obj_id: int, mask: Any) -> Result:
        state.calls.append(("mask", frame_idx, obj_id, int(np.asarray(mask).sum())))
        return self._prompted(state, frame_idx, obj_id)

    def propagate_in_video(
        self, state: State, start_frame_idx: int | None = None, max_frame_num_to_track: int | None = None
    ) -> Iterator[Result]:
        start, count = start_frame_idx or 0, max_frame_num_to_track
        state.calls.append(("propagate", start, count))
        last = len(state.record) - 1 if count is None else min(start + count, len(state.record) - 1)
        for frame_idx in range(start, last + 1):
            yield self._result(state, frame_idx)

    def mask(self, state: State, frame_idx: int, obj_id: int) -> np.ndarray:
        """What to show of an object on a frame."""
        if frame_idx not in state.record.annotated:
            return np.zeros(state.record.size, bool)
        return state.record.masks(frame_idx, [obj_id])[obj_id]

    def _prompted(self, state: State, frame_idx: int, obj_id: int) -> Result:
        state.objects.setdefault(obj_id, frame_idx)
        state.corrected.setdefault(obj_id, set()).add(frame_idx)
        return self._result(state, frame_idx)

    def _result(self, state: State, frame_idx: int) -> Result:
        ids = list(state.objects)
        masks = np.stack([self.mask(state, frame_idx, obj) for obj in ids])
        return frame_idx, ids, torch.from_numpy(masks).float()[:, None] * 20 - 10


class Forgetful(Oracle):
    """Right on prompted frames only; the mask moves away from the truth with the distance to the nearest
    earlier one.
    """

    def mask(self, state: State, frame_idx: int, obj_id: int) -> np.ndarray:
        since = min(frame_idx - t for t in state.corrected[obj_id] if t <= frame_idx)
        return np.roll(super().mask(state, frame_idx, obj_id), 3 * since, axis=1)


def write_davis(root: Path, year: int = 2017) -> Path:
    """One video of two disks; in the layout of 2016 they are one object."""
    for folder in ("JPEGImages/480p/disks", "Annotations/480p/disks"):
        (root / folder).mkdir(parents=True)
    for t in range(FRAMES):
        labels = two_disks(t)
        picture = Image.fromarray(np.stack([labels * 90, 255 - labels * 60, labels * 20], axis=2))
        picture.save(root / f"JPEGImages/480p/disks/{t:05d}.jpg", quality=95)
        mask = Image.fromarray(labels if year == 2017 else np.uint8(255) * (labels > 0))
        mask.save(root / f"Annotations/480p/disks/{t:05d}.png")
    return root


def write_late(root: Path) -> Path:
    """A folder pair with overlapping objects, one folder each; object 2 enters at frame 4, annotated every
    second frame.
    """
    for t in range(FRAMES):
        (root / "images/late").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*SIZE, 3), 10 * t, np.uint8)).save(root / f"images/late/{t:05d}.jpg")
        for obj, mask in ((1, disk(20 + t, 20, 10)), (2, disk(26 + t, 24, 8) & (t >= 4))):
            if t % 2 == 0:
                (root / f"masks/late/{obj:03d}").mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.uint8(255) * mask).save(root / f"masks/late/{obj:03d}/{t:05d}.png")
    return root
