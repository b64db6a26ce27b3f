"""The candidate masks of one object on one frame, as policies look at them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sam2v.arrays import to_numpy

if TYPE_CHECKING:
    from sam2v.model.values import Prediction


class Candidates:
    """M candidate masks of each of R hypotheses, on the host. What is not asked for is not brought there.

    Args:
        prediction: the frame's prediction. rows: which of its rows are this object's.
    """

    def __init__(self, prediction: Prediction, rows: slice) -> None:
        self._prediction, self._rows = prediction, rows

    @cached_property
    def iou(self) -> np.ndarray:
        """R x M predicted IoU."""
        return to_numpy(self._prediction.iou[self._rows])

    @cached_property
    def object_score(self) -> np.ndarray:
        """R object score logits; above 0 the object is there."""
        return to_numpy(self._prediction.object_score[self._rows, 0])

    @cached_property
    def logits(self) -> np.ndarray:
        """R x M x h4 x w4 mask logits at a quarter of the network's input size."""
        return to_numpy(self._prediction.masks[self._rows])

    @cached_property
    def masks(self) -> np.ndarray:
        """R x M x h4 x w4 booleans."""
        return self.logits > 0
