"""How far the camera has moved between two frames, in whole pixels."""

from __future__ import annotations

import numpy as np

from sam2v.effects.shapes import overlap

#: Longest side at which the shift is looked for in all places at once.
_SMALL = 160
#: Mean difference, of 255, at which two frames show the same without a shift.
_SAME = 1.5


def camera_shift(frame: np.ndarray, hidden: np.ndarray, other: np.ndarray, other_hidden: np.ndarray) -> tuple[int, int]:
    """(down, right) by which another frame has to be moved so that its background lies on that of this one.

    Found by phase correlation of small pictures, then from there on by comparing at finer sizes.

    Args:
        frame, other: H x W x 3 uint8. hidden, other_hidden: H x W bool, where objects are.
    """
    step = max(1, -(-max(hidden.shape) // _SMALL))
    if _difference(frame, hidden, other, other_hidden, (0, 0), step) <= _SAME:
        return 0, 0
    small, small_other = (
        _flat(picture[::step, ::step], mask[::step, ::step])
        for picture, mask in ((frame, hidden), (other, other_hidden))
    )
    start = _phase_shift(small, small_other)
    skip = max(1, max(hidden.shape) // _SMALL)

    def best_of(shifts: list[tuple[int, int]]) -> tuple[int, int]:
        return min(shifts, key=lambda shift: _difference(frame, hidden, other, other_hidden, shift, skip))

    best = best_of([(0, 0), (start[0] * step, start[1] * step)])
    while True:
        best = best_of([best, *((best[0] + y * step, best[1] + x * step) for y in (-1, 0, 1) for x in (-1, 0, 1))])
        if step == 1:
            return best
        step = -(-step // 2)


def _difference(
    frame: np.ndarray,
    hidden: np.ndarray,
    other: np.ndarray,
    other_hidden: np.ndarray,
    shift: tuple[int, int],
    step: int,
) -> float:
    """Mean difference of two frames where both show the background, from every `step`-th pixel."""
    source, place = overlap((hidden.shape[0], hidden.shape[1]), shift)
    both = ~(hidden[place][::step, ::step] | other_hidden[source][::step, ::step])
    if both.sum() < 16:
        return float("inf")
    apart = frame[place][::step, ::step, 1].astype(np.int16) - other[source][::step, ::step, 1]
    return float(np.abs(apart[both]).mean())


def _flat(picture: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Grey values with mean 0, objects at the mean, fading towards the edges."""
    grey = picture.mean(axis=2, dtype=np.float32)
    seen = ~hidden
    grey = np.where(seen, grey - (grey[seen].mean() if seen.any() else 0), 0)
    return grey * np.hanning(grey.shape[0] + 2)[1:-1, None] * np.hanning(grey.shape[1] + 2)[None, 1:-1]


def _phase_shift(picture: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    product = np.fft.rfft2(picture) * np.conj(np.fft.rfft2(other))
    peak = np.fft.irfft2(product / np.maximum(np.abs(product), 1e-9), s=picture.shape)
    y, x = np.unravel_index(int(peak.argmax()), peak.shape)
    height, width = picture.shape
    return int(y) - height * (y > height // 2), int(x) - width * (x > width // 2)
