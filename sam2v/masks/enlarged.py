"""The masks that low-resolution logits give when they are enlarged, as runs of pixels: no large picture is made.

Along a column of the large picture bilinear logits are straight lines between rows of the small one. Where such a line
crosses a level, a run of the object begins or ends; so a mask of H x W pixels costs what W columns of h values cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam2v.masks.window import mask_window


@dataclass(frozen=True, eq=False)
class Runs:
    """A mask of H x W pixels as runs down its columns, in the order of columns and rows.

    Attributes:
        column, start, end: R int64; a run covers the rows from `start` to `end`, the end excluded; none is empty.
        size: (H, W).
    """

    column: np.ndarray
    start: np.ndarray
    end: np.ndarray
    size: tuple[int, int]

    @property
    def area(self) -> int:
        """Pixels of the object."""
        return int((self.end - self.start).sum())

    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1), ends included; zeros where there is no object."""
        if not len(self.column):
            return 0, 0, 0, 0
        return int(self.column[0]), int(self.start.min()), int(self.column[-1]), int(self.end.max()) - 1

    def turns(self, size: tuple[int, int] | None = None, corner: tuple[int, int] = (0, 0)) -> np.ndarray:
        """Where runs begin and end in turn, as `sam2v.masks.rle.rle_of_turns` takes them.

        Args:
            size: (height, width) of a larger picture that this one is a part of.
            corner: (column, row) of its first pixel there.
        """
        height = (size or self.size)[0]
        top = (self.column + corner[0]) * height + corner[1]
        return np.stack([top + self.start, top + self.end], axis=1).flatten()


class Enlarger:
    """Masks of logits of one size, as `sam2v.masks.logits.enlarged` would make them, cut at any level.

    Args:
        small: (h, w) of the logits. large: (H, W) of the masks.
    """

    def __init__(self, small: tuple[int, int], large: tuple[int, int]) -> None:
        self.small, self.large = small, large
        place = np.clip((np.arange(large[1]) + 0.5) * (small[1] / large[1]) - 0.5, 0, None)
        self._left = np.minimum(place.astype(np.int64), small[1] - 1)
        self._right = np.minimum(self._left + 1, small[1] - 1)
        self._share = (place - self._left).astype(np.float32)[:, None]  # of the right one

    def cut(self, logits: np.ndarray, *levels: float) -> list[Runs]:
        """The masks of h x w float32 logits where they are above each of some levels."""
        window = mask_window(logits > min(levels))
        if window is None:
            return [self._runs(*[np.zeros(0, np.int64)] * 3) for _ in levels]
        rows, columns = window
        top = max(rows.start - 1, 0)
        first = int(np.searchsorted(self._right, columns.start))
        part = slice(first, int(np.searchsorted(self._left, columns.stop)))
        small = np.ascontiguousarray(logits[top : rows.stop + 1].T)
        left, lines = small[self._left[part]], small[self._right[part]]
        lines -= left
        lines *= self._share[part]
        lines += left
        return [self._cut(lines, level, first, top) for level in levels]

    def _cut(self, lines: np.ndarray, level: float, first: int, top: int) -> Runs:
        """Runs of columns x rows logits, which begin at column `first` of the large and row `top` of the small picture;
        beyond them all is below the level."""
        count = lines.shape[1]
        above = np.zeros((len(lines), count + 2), bool)
        np.greater(lines, level, out=above[:, 1:-1])
        turn = np.flatnonzero(above[:, 1:] != above[:, :-1])
        column, row = np.divmod(turn, count + 1)  # between the rows before and at `row` of the lines
        before, after = (lines[column, np.clip(row - k, 0, count - 1)].astype(np.float64) for k in (1, 0))
        inside = (row > 0) & (row < count)
        share = (level - before) / np.where(inside, after - before, 1.0)
        scale = self.large[0] / self.small[0]
        place = (row + (top - 0.5) + share) * scale - 0.5  # in rows of the large picture
        start, end = np.floor(place[::2]) + 1, np.ceil(place[1::2])
        start[row[::2] == 0], end[row[1::2] == count] = 0, self.large[0]
        start, end = (np.clip(rows, 0, self.large[0]).astype(np.int64) for rows in (start, end))
        some = end > start
        return self._runs(column[::2][some] + first, start[some], end[some])

    def _runs(self, column: np.ndarray, start: np.ndarray, end: np.ndarray) -> Runs:
        return Runs(column, start, end, self.large)
