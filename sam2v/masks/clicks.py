"""Where a simulated user clicks in evaluation: at the centre of the error.

The rule clicks where a prediction is wrong: a positive click where the object was missed, a negative one where it was
invented. Coordinates are whole pixels (x, y); the network adds the half pixel that leads to their centres. Source: SAM
2 paper, section 6 and appendix (simulated prompts); the central click is that of interactive segmentation benchmarks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sam2v.masks.window import mask_window


class Click(NamedTuple):
    """A point prompt: pixel (x, y), label 1 = object, 0 = not."""

    x: int
    y: int
    label: int


def central_click(truth: npt.ArrayLike, guess: npt.ArrayLike | None = None) -> Click | None:
    """The error pixel farthest from the border of its error region; None where nothing is wrong.

    Missed and invented pixels are separate regions, and the image's edge is a border too. Of equally deep pixels the
    missed ones come first, then the topmost, then the leftmost.

    Args:
        truth: H x W mask, non-zero is object.
        guess: H x W, the prediction to correct; None: nothing is predicted yet.

    Raises:
        ValueError: not H x W alike.
    """
    wanted = np.asarray(truth) != 0
    got = np.zeros_like(wanted) if guess is None else np.asarray(guess) != 0
    if wanted.ndim != 2 or got.shape != wanted.shape:
        raise ValueError(f"truth and guess must be H x W alike, got {wanted.shape} and {got.shape}")
    depth, x, y, label = max(
        (_deepest(wanted & ~got, 1), _deepest(got & ~wanted, 0)), key=lambda found: (found[0], found[3])
    )
    return Click(x, y, label) if depth else None


def squared_depth(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """H x W squared Euclidean distance of each pixel to the nearest one outside `region`; exact, 0 outside of it.

    Pixels beyond the image are outside. Distances down the columns come first; then every pixel takes the best of its
    row, looking no farther sideways than the deepest pixel found so far.
    """
    height, width = region.shape
    padded = np.pad(region, 1)
    rows = np.arange(height + 2)[:, None]
    above = np.maximum.accumulate(np.where(padded, 0, rows), axis=0)
    below = np.minimum.accumulate(np.where(padded, height + 1, rows)[::-1], axis=0)[::-1]
    column = np.minimum(rows - above, below - rows).astype(np.int64) ** 2
    depth = column.copy()
    for offset in range(1, width + 2):
        step = offset * offset
        if step >= depth.max():
            break
        np.minimum(depth[:, offset:], column[:, :-offset] + step, out=depth[:, offset:])
        np.minimum(depth[:, :-offset], column[:, offset:] + step, out=depth[:, :-offset])
    return depth[1:-1, 1:-1]


def _deepest(region: npt.NDArray[np.bool_], label: int) -> tuple[int, int, int, int]:
    """(squared depth, x, y, label) of the deepest pixel; depth 0 for an empty region."""
    window = mask_window(region)
    if window is None:
        return 0, 0, 0, label
    depth = squared_depth(region[window])
    y, x = divmod(int(depth.argmax()), depth.shape[1])
    return int(depth[y, x]), x + window[1].start, y + window[0].start, label
