"""Region similarity J and boundary accuracy F, with the conventions of the DAVIS toolkit.

J is the intersection over union of two masks. F is the harmonic mean of the precision and recall of their boundary
pixels, a boundary pixel being right when the other boundary comes within a radius of `bound_th` times the image
diagonal (Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", 2016). Numbers
agree with the toolkit's (davisvideochallenge/davis2017-evaluation) to rounding; see docs/evaluation.md for every
convention and for the one place where the toolkit itself is wrong (decay of 256 frames or more).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sam2v.evaluation import bits

Mask = npt.NDArray[np.bool_]
BOUND_TH = 0.008
RECALL_AT = 0.5
DECAY_BINS = 4


@dataclass(frozen=True)
class Statistics:
    """A measure over frames: its mean, the share of frames above 0.5, and its loss from first to last quarter."""

    mean: float
    recall: float
    decay: float


def boundary_radius(shape: tuple[int, int], bound_th: float = BOUND_TH) -> int:
    """Tolerance in pixels for an image of (height, width): values of 1 and more are pixels already."""
    if not bound_th > 0:
        raise ValueError(f"bound_th must be positive (a share of the diagonal, or pixels from 1 on), got {bound_th}")
    diagonal = math.hypot(*shape)  # nothing is farther away
    return math.ceil(min(bound_th if bound_th >= 1 else bound_th * diagonal, diagonal))


def region_similarity(pred: npt.ArrayLike, gt: npt.ArrayLike, void: npt.ArrayLike | None = None) -> float:
    """Intersection over union J of two H x W masks (non-zero is object), outside of `void`; 1 when both are empty."""
    pred, gt, void = _checked(pred, gt, void)
    if void is not None:
        pred, gt = pred & ~void, gt & ~void
    union = np.count_nonzero(pred | gt)
    return np.count_nonzero(pred & gt) / union if union else 1.0


def boundary_accuracy(
    pred: npt.ArrayLike, gt: npt.ArrayLike, void: npt.ArrayLike | None = None, bound_th: float = BOUND_TH
) -> float:
    """Boundary measure F of two H x W masks (non-zero is object); `void` pixels are cleared in both first."""
    return frame_scores(pred, gt, void, bound_th)[1]


def frame_scores(
    pred: npt.ArrayLike, gt: npt.ArrayLike, void: npt.ArrayLike | None = None, bound_th: float = BOUND_TH
) -> tuple[float, float]:
    """(J, F) of one object on one frame.

    Args:
        pred, gt: H x W masks; non-zero is object.
        void: H x W, non-zero pixels count neither for nor against.
        bound_th: boundary tolerance as a share of the image diagonal, or in pixels when >= 1.

    Raises:
        ValueError: not two-dimensional, or of different sizes.
    """
    pred, gt, void = _checked(pred, gt, void)
    radius = boundary_radius(pred.shape, bound_th)
    packed_void = None if void is None else bits.pack(void, radius)
    return packed_scores(bits.pack(pred, radius), bits.pack(gt, radius), packed_void, radius)


def packed_scores(pred: bits.Packed, gt: bits.Packed, void: bits.Packed | None, radius: int) -> tuple[float, float]:
    """(J, F) of masks packed with a padding of `radius`; what `frame_scores` computes, for callers that pack once."""
    if void is not None:
        keep = ~void.words
        pred = bits.Packed(pred.words & keep, pred.width)
        gt = bits.Packed(gt.words & keep, gt.width)
    pred, gt = bits.crop(pred, gt, radius)
    union = bits.count(pred.words | gt.words)
    similarity = bits.count(pred.words & gt.words) / union if union else 1.0
    if similarity == 1.0:
        return 1.0, 1.0
    return similarity, _boundary_measure(bits.boundary(pred), bits.boundary(gt), radius)


def _boundary_measure(pred: bits.Words, gt: bits.Words, radius: int) -> float:
    """F from two boundary maps: an empty boundary is found completely by an empty one and not at all by another."""
    n_pred, n_gt = bits.count(pred), bits.count(gt)
    if n_pred == 0 or n_gt == 0:
        return float(n_pred == n_gt)
    gap = np.zeros((radius, pred.shape[1]), dtype=pred.dtype)
    near = bits.dilate(np.concatenate([pred, gap, gt]), radius)  # both at once, too far apart to meet
    precision = bits.count(pred & near[-len(gt) :]) / n_pred
    recall = bits.count(gt & near[: len(pred)]) / n_gt
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def statistics(values: Iterable[float]) -> Statistics:
    """Mean, recall and decay of one measure over the frames of a sequence.

    Recall is the share of values above 0.5. Decay is the mean of the first quarter of the frames minus that of the
    last; quarters share their edge frame. NaN values (unscored frames) are left out of the means. No values: NaN.
    """
    array = np.asarray(list(values), dtype=np.float64)
    if array.size == 0:
        return Statistics(math.nan, math.nan, math.nan)
    edges = np.round(np.linspace(1, array.size, DECAY_BINS + 1) + 1e-10).astype(np.int64) - 1
    first, last = array[: edges[1] + 1], array[edges[-2] :]
    return Statistics(_nanmean(array), _nanmean(array > RECALL_AT), _nanmean(first) - _nanmean(last))


def mean_iou(pairs: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]]) -> float:
    """mIoU of (prediction, truth) mask pairs, each of any H x W: the mean of their J (SAM's single-image measure)."""
    return _nanmean(np.asarray([region_similarity(pred, gt) for pred, gt in pairs], dtype=np.float64))


def mean_over(statistics_list: Sequence[Statistics]) -> Statistics:
    """Average every statistic over objects."""
    columns = np.asarray([(s.mean, s.recall, s.decay) for s in statistics_list], dtype=np.float64).reshape(-1, 3)
    return Statistics(*(_nanmean(column) for column in columns.T))


def _nanmean(values: npt.NDArray[np.generic]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _checked(pred: npt.ArrayLike, gt: npt.ArrayLike, void: npt.ArrayLike | None) -> tuple[Mask, Mask, Mask | None]:
    """Boolean arrays of one H x W."""
    arrays = [np.asarray(item) for item in (pred, gt, void) if item is not None]
    for name, array in zip(("prediction", "truth", "void"), arrays, strict=False):
        if array.ndim != 2 or array.size == 0:
            raise ValueError(f"the {name} must be an H x W mask, got shape {array.shape}")
        if array.shape != arrays[0].shape:
            raise ValueError(f"the {name} is {array.shape} but the prediction is {arrays[0].shape} (height, width)")
    masks = [array if array.dtype == np.bool_ else array != 0 for array in arrays]
    return masks[0], masks[1], masks[2] if void is not None else None
