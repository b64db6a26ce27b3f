"""Prompts of images: checked, stacked, in the network's coordinates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sam2v.model.values import BOX_END, BOX_START, Prompts
from sam2v.tracking.prompts import ArrayLike, as_numbers, check_boxes, check_points, to_network
from sam2v.tracking.step import with_padding


class ImagePrompts(NamedTuple):
    """B prompts on one image as the caller gives them; each part holds one for all, or B.

    Attributes:
        points: P x 2 or B x P x 2 points (x, y). labels: P or B x P, 1 = object, 0 = not; None means all 1.
        box: 4 or B x 4 (x0, y0, x1, y1). mask: 1 x h x w or B x 1 x h x w logits of an earlier answer.
    """

    points: ArrayLike | None = None
    labels: ArrayLike | None = None
    box: ArrayLike | None = None
    mask: ArrayLike | None = None


def checked_prompts(
    given: ImagePrompts, size: tuple[int, int], input_size: tuple[int, int], normalized: bool
) -> Prompts:
    """Check prompts and stack them as NumPy arrays: box corners, then points, then the padding point where there are
    any.

    Args:
        given: the prompts. size: (height, width) of the image. input_size: of the network's input.
        normalized: coordinates are in [0, 1] instead of pixels.

    Raises:
        ValueError, TypeError: there is none, or something is wrong with one.
    """
    points, labels, box, mask = given
    if points is None and labels is not None:
        raise ValueError("point_labels were given without point_coords")
    coords, marks = [], []
    if box is not None:
        corners = to_network(check_boxes(box, size, normalized).reshape(-1, 2, 2), size, input_size, normalized)
        coords.append(corners)
        marks.append(np.full((len(corners), 2), (BOX_START, BOX_END), np.int64))
    if points is not None:
        clicks, kinds = check_points(points, labels, size, normalized)
        if clicks.ndim == 2:
            clicks, kinds = clicks[None], kinds[None]
        if clicks.ndim != 3:
            raise ValueError(f"point_coords must have shape P x 2 or B x P x 2, got {clicks.ndim} dimensions")
        if box is None and mask is None and not (kinds >= 0).any(axis=1).all():
            raise ValueError("give at least one point: point_coords is empty")
        coords.append(to_network(clicks, size, input_size, normalized))
        marks.append(kinds)
    plane = None if mask is None else _mask_logits(mask)
    return _stacked(coords, marks, plane)


def _stacked(coords: list[np.ndarray], marks: list[np.ndarray], plane: np.ndarray | None) -> Prompts:
    """One batch of parts that hold one prompt, or as many as the others."""
    counts = {len(part) for part in [*coords, *([] if plane is None else [plane])]}
    if not counts:
        raise ValueError("give at least one of point_coords, box and mask_input")
    batch = max(counts)
    if counts - {1, batch}:
        raise ValueError(f"prompts of different numbers cannot be combined: {sorted(counts)}")
    if plane is not None and len(plane) != batch:
        plane = np.broadcast_to(plane, (batch, *plane.shape[1:]))
    if not coords:
        return Prompts(np.zeros((batch, 0, 2), np.float32), np.zeros((batch, 0), np.int64), plane)
    joined = np.concatenate([np.broadcast_to(c, (batch, *c.shape[1:])) for c in coords], axis=1)
    labels = np.concatenate([np.broadcast_to(m, (batch, m.shape[1])) for m in marks], axis=1)
    padded = with_padding(joined, labels) if joined.shape[1] else Prompts(joined, labels)
    return padded._replace(mask=plane)


def _mask_logits(mask: ArrayLike) -> np.ndarray:
    logits = as_numbers(mask, "mask_input").astype(np.float32)
    if logits.ndim == 2 or (logits.ndim == 3 and len(logits) == 1):
        logits = logits.reshape(1, 1, *logits.shape[-2:])
    if logits.ndim != 4 or logits.shape[1] != 1 or 0 in logits.shape:
        several = "; choose one of an answer's masks: low_res_logits[iou.argmax()][None]" if logits.ndim == 3 else ""
        shape = " x ".join(map(str, np.shape(mask)))
        raise ValueError(f"mask_input must have shape 1 x h x w or B x 1 x h x w, got {shape}{several}")
    return logits
