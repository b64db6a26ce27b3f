"""Finding what no object covers yet on a frame that is tracked anyway: its features are there."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.automatic.grid import point_grid
from sam2v.automatic.masklet_options import MaskletOptions
from sam2v.automatic.proposals import Proposals, propose, stability
from sam2v.automatic.sightings import Detections, Shown
from sam2v.masks.bits import MaskBits
from sam2v.masks.logits import enlarged, packed
from sam2v.masks.result import MaskletFrame
from sam2v.tracking.engine import Engine
from sam2v.tracking.prompts import CheckedPrompt, MaskPrompt, check_mask
from sam2v.tracking.session import Session


class Finder:
    """Proposes masks on a video's frames.

    Args:
        engine: of the tracker. session: the video's. options: how masks are proposed.
    """

    def __init__(self, engine: Engine, session: Session, options: MaskletOptions) -> None:
        self._engine, self._session, self._options = engine, session, options
        self._proposing = options.proposing
        self.size = (session.input_size[0] // 4, session.input_size[1] // 4)

    def find(self, position: int, shown: Shown) -> tuple[Proposals, Detections] | None:
        """Masks proposed where no object is, with what association needs to know of them; None if there are none.

        Args:
            position: the frame. shown: what is tracked there.
        """
        points = self._free_points(shown.masks)
        if not len(points):
            return None
        features = self._engine.encoder.features(self._session, position)
        found = propose(self._engine.backend, features, points, self._proposing)
        masks = MaskBits.from_bytes(found.bits().cpu().numpy(), self.size)
        labels = self._labels(masks)
        good = masks.areas >= max(1.0, self._options.min_area * self.size[0] * self.size[1])
        good &= (found.object_score > 0).cpu().numpy()
        kept = np.flatnonzero(good & np.array([label != "" for label in labels], bool))
        if not len(kept):
            return None
        found = found[torch.from_numpy(kept)]
        scores = (found.iou * found.stability).double().cpu().numpy()
        return found, Detections(scores, masks[kept], labels=[labels[row] for row in kept])

    def uncovered(self, shown: Shown) -> float:
        """The share of the picture that no object covers."""
        covered = MaskBits.joined(shown.masks, self.taken).union()
        return 1 - float(covered.areas[0]) / (self.size[0] * self.size[1])

    def prompts(self, found: Proposals, rows: dict[int, int]) -> dict[int, CheckedPrompt]:
        """Mask prompts of proposals, by object id, at the network's input size."""
        logits = found.logits[list(rows.values())][:, None].float()
        planes = (enlarged(logits, self._session.input_size)[:, 0] > 0).cpu()
        return {i: CheckedPrompt(None, MaskPrompt.of(plane)) for i, plane in zip(rows, planes, strict=True)}

    @cached_property
    def taken(self) -> MaskBits:
        """One mask: where nothing is looked for."""
        left_out = self._options.leave_out
        return _region(np.zeros((1, 1), bool) if left_out is None else left_out, self.size)

    @cached_property
    def _kept(self) -> MaskBits | None:
        """The regions that objects are kept in."""
        keep = self._options.keep
        return None if keep is None else MaskBits.joined(*(_region(mask, self.size) for mask in keep.values()))

    def _labels(self, masks: MaskBits) -> list[str | None]:
        """The label of each mask; "" of those that are not kept."""
        if self._kept is None or self._options.keep is None:
            return [None] * len(masks)
        inside, names = masks.covered(self._kept), list(self._options.keep)
        return [names[row.argmax()] if row.max() >= 0.5 else "" for row in inside]

    def _free_points(self, masks: MaskBits) -> np.ndarray:
        """Points of the grid where no object is, P x 2 (x, y) in [0, 1]. What fills much of the picture is one that
        others lie on."""
        objects = masks[masks.areas * self._options.backdrop <= self.size[0] * self.size[1]]
        covered = MaskBits.joined(objects, self.taken).union().planes()[0]
        points = point_grid(self._options.points_per_side)
        x, y = (points * self.size[::-1]).astype(int).T
        return points[~covered[y, x]]


def sighting(result: MaskletFrame) -> Shown:
    """What a frame's result shows, for association."""
    logits = result.low_res[:, 0]
    quality = (result.iou * stability(logits, 1.0)).double().cpu().numpy()
    masks = MaskBits.from_bytes(packed(logits > 0).cpu().numpy(), (logits.shape[1], logits.shape[2]))
    return Shown(list(result.obj_ids), masks, quality)


def _region(mask: Any, size: tuple[int, int]) -> MaskBits:
    """A region of the picture at low resolution: the cells that it covers by half."""
    plane = torch.from_numpy(np.ascontiguousarray(check_mask(mask))).float()[None, None]
    small: Tensor = F.interpolate(plane, size, mode="area")
    return MaskBits.of((small[0] >= 0.5).numpy())
