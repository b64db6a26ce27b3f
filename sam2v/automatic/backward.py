"""Tracking found objects backwards, to where they began."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sam2v.automatic.finder import sighting
from sam2v.automatic.forward import Masklet
from sam2v.automatic.masklet_options import MaskletOptions
from sam2v.automatic.sightings import Shown
from sam2v.tracking.engine import Engine
from sam2v.tracking.session import Session


class BackwardPass:
    """Goes through a video once more, towards its beginning, with every object from the frame it was found on.

    An object is followed until it has not been seen for a while, or shows what another object does. Then it began
    there, or it is that other object, which had been lost.

    Args:
        engine: of the tracker. session: after the forward pass, with everything that it tracked.
        options: how objects are found and kept. masklets: the objects, by id.
    """

    def __init__(self, engine: Engine, session: Session, options: MaskletOptions, masklets: dict[int, Masklet]) -> None:
        self._engine, self._session, self._options = engine, session, options
        self._masklets = masklets
        self._failed: dict[int, int] = {}  # of those that are followed: frames in a row that speak against it
        self._patience = max(options.hot_start, options.keep_alive // 4)

    def run(self, step: Callable[[], object] = bool) -> None:
        """Go through the video; `step` is called after every frame."""
        found: dict[int, list[int]] = {}
        for masklet in self._masklets.values():
            found.setdefault(masklet.found, []).append(masklet.obj_id)
        latest = max(found, default=0)
        with self._session.lock:
            if self._session.tracks:  # the last frame's prompts were not tracked from yet
                self._engine.remember_prompts(self._session, every_object=False)
        for position in self._engine.encoder.read_ahead(self._session, range(latest - 1, -1, -1)):
            with self._session.lock:
                self._failed.update(dict.fromkeys(found.pop(position + 1, ()), 0))
                if self._failed:
                    self._frame(position)
            step()
            if not self._failed and not any(0 < start <= position for start in found):
                break

    def _frame(self, position: int) -> None:
        """Track the objects that are followed to a frame, and let those go that are not to be seen any more."""
        self._engine.step(self._session, position, True, self._failed.keys())
        shown = sighting(self._engine.result(self._session, position))
        for obj_id in list(self._failed):
            other = self._doubles(obj_id, shown)
            if other is not None or not shown.seen[shown.row[obj_id]]:
                self._session.forget_result(obj_id, position)
                self._failed[obj_id] += 1
            else:
                self._failed[obj_id] = 0
            if self._failed[obj_id] > (self._options.hot_start if other is not None else self._patience):
                del self._failed[obj_id]

    def _doubles(self, obj_id: int, shown: Shown) -> int | None:
        """An object that shows the same on a frame, and was there before this one."""
        overlaps = shown.overlaps[shown.row[obj_id]]
        near = [shown.obj_ids[row] for row in np.flatnonzero(overlaps >= self._options.duplicate_iou).tolist()]
        before = [other for other in near if other != obj_id and (other not in self._failed or other < obj_id)]
        return min(before, default=None)
