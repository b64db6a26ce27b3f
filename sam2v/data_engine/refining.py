"""Phase 3: how a frame of an object is refined, and what the tracker remembers then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from sam2v.arrays import floats, to_numpy
from sam2v.masks.result import MaskletFrame
from sam2v.predict.image import ImageEmbedding, ImagePredictor
from sam2v.tracking.tracks import ObjectTrack

#: Logits that a mask is given back with are cut to this.
_LIMIT = 32.0
#: So many frames beside an edited one are tracked anew, to be remembered.
_AROUND = 6


class Offer(NamedTuple):
    """An answer: H x W bool, its predicted IoU, and 1 x h x w logits at low resolution."""

    mask: np.ndarray
    iou: float
    logits: np.ndarray


class FrameClicks:
    """Everything that was clicked on a frame, and the best answer so far.

    A model that has lost an object refines badly what it shows; one that sees the clicks alone does not know what is
    right already. So three answers are made: that of the tracker with its memory, that of the image model over the mask
    that is shown, and that of the image model to the clicks alone. The one that most clicks agree with is taken, of
    those the one with the highest predicted IoU.

    Args:
        image: the image model. embedding: the frame. shown: what the tracker has there, None if it was not there yet.
        tracker: answers one more click (x, y, label) with its memory.
    """

    def __init__(
        self,
        image: ImagePredictor,
        embedding: ImageEmbedding,
        shown: MaskletFrame | None,
        tracker: Callable[[float, float, int], MaskletFrame],
    ) -> None:
        self._image, self._embedding, self._tracker = image, embedding, tracker
        self._shown = None if shown is None else _logits(shown)
        self._alone: np.ndarray | None = None
        self.points: list[tuple[float, float]] = []
        self.labels: list[int] = []

    def add(self, x: float, y: float, label: int) -> Offer | None:
        """One more click, in pixels of the frame; None while there is nothing that it could be about."""
        self.points.append((x, y))
        self.labels.append(label)
        offers = list(self._offers(x, y, label))
        if not offers:
            return None
        best = max(offers, key=lambda offer: (agreeing(offer.mask, self.points, self.labels), offer.iou))
        if self._shown is not None:
            self._shown = best.logits
        return best

    def _offers(self, x: float, y: float, label: int) -> list[Offer]:
        offers = []
        if self._shown is not None:
            result = self._tracker(x, y, label)
            offers.append(Offer(result.binary()[0], float(result.iou[0]), _logits(result)))
            offers.append(self._answer(self._shown))
        if 1 in self.labels:
            offers.append(self._answer(self._alone))
            self._alone = offers[-1].logits
        return offers

    def _answer(self, logits: np.ndarray | None) -> Offer:
        """That of the image model, over the logits of a mask; without them the first click may mean a part or all."""
        found = self._image.predict(
            self.points, self.labels, mask_input=logits, multimask_output=logits is None, embedding=self._embedding
        )
        best = int(found.iou.argmax())
        return Offer(found.masks[best], float(found.iou[best]), found.low_res_logits[best : best + 1])


def tracked_anew(track: ObjectTrack, frame_idx: int, reverse: bool = False) -> range:
    """Have an object's memories follow from the mask of an edited frame, before it is tracked from there.

    What was tracked so far led to a mask that was wrong, and is not read any more.

    Args:
        track: the object. frame_idx: a frame. reverse: whether it is tracked towards the beginning.

    Returns:
        The frames beside it, from it on, that are to be tracked to first, in the other direction, up to the next edited
        frame: as many as the released models read. Empty if the frame itself was not edited, or no other one was.
    """
    edited = track.prompted_frames()
    if frame_idx not in edited:
        return range(0)
    track.forget_tracked()
    step = 1 if reverse else -1
    distances = [(other - frame_idx) * step for other in edited if (other - frame_idx) * step > 0]
    count = min(_AROUND, min(distances) - 1) if distances else 0
    return range(frame_idx + step, frame_idx + step * (count + 1), step)


def agreeing(mask: np.ndarray, points: Sequence[tuple[float, float]], labels: Sequence[int]) -> int:
    """How many clicks (x, y) in pixels a mask, H x W bool, agrees with: covers where they are 1, leaves out where 0."""
    rows, columns = (side - 1 for side in mask.shape)
    pairs = zip(points, labels, strict=True)
    return sum(bool(mask[min(int(y), rows), min(int(x), columns)]) == bool(label) for (x, y), label in pairs)


def _logits(result: MaskletFrame) -> np.ndarray:
    """The first object's, 1 x h x w."""
    low = to_numpy(floats(result.low_res))
    return np.clip(low.reshape(-1, *low.shape[-2:])[:1], -_LIMIT, _LIMIT).astype(np.float32)
