"""The part of a picture that holds a mask: what is done to a mask costs what the object covers, not what the frame
does.
"""

from __future__ import annotations

import numpy as np

Window = tuple[slice, slice]


def mask_window(mask: np.ndarray) -> Window | None:
    """Rows and columns that hold an H x W mask, as an index into it; None if it is empty."""
    columns = np.flatnonzero(mask.any(axis=0))
    if not columns.size:
        return None
    rows = np.flatnonzero(mask[:, columns[0] : columns[-1] + 1].any(axis=1))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def around(mask: np.ndarray, margin: int) -> Window | None:
    """Rows and columns that hold an H x W mask and `margin` pixels around it, as far as they go; None if empty."""
    window = mask_window(mask)
    if window is None:
        return None
    rows, columns = (
        slice(max(0, part.start - margin), min(length, part.stop + margin))
        for part, length in zip(window, mask.shape, strict=True)
    )
    return rows, columns
