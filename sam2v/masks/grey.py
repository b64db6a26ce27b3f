"""What the values of a grey picture mean: the numbers of objects, or how bright the mask of one object is."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.integer]  # H x W uint8 or uint16, as the file has them

#: Pixels of this value belong neither to an object nor to the background, in 8-bit maps of several objects.
VOID = 255
_TOP = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def present(values: Values) -> list[int]:
    """The values other than 0 in a picture, ascending."""
    if values.size and values.max() <= 1:
        return [1] if values.any() else []
    return [int(value) for value in np.flatnonzero(np.bincount(values.ravel())) if value]


def void_pixels(values: Values) -> npt.NDArray[np.bool_] | None:
    """H x W bool, the pixels that a map of object numbers leaves out of account; None if there are none.

    Maps of 16 bits have none: 255 is a number like any other there.
    """
    if values.dtype != np.uint8:
        return None
    void = values == VOID
    return void if void.any() else None


def objects_in(values: Values) -> list[int]:
    """The object numbers in a map, ascending."""
    return [value for value in present(values) if value != VOID or values.dtype != np.uint8]


def is_white(predicted: list[int], objects: Sized) -> bool:
    """Whether a prediction that holds these values shows the only one of some objects in 255, as a mask does."""
    return predicted == [VOID] and len(objects) == 1


def is_mask(values: Values) -> bool:
    """Whether a picture is the mask of one object (black and white, edges and noise in between) or a map of numbers.

    Numbers are small, or fill areas of their own. So {0, 255} is a mask, and so is {0 ... 255} where what lies between
    the ends is found at edges only; {0, 1, 2, 255} are two objects and void, {0, 85, 170, 255} three objects.
    """
    top, found = _TOP[values.dtype], present(values)
    if len(found) < 2:
        return found == [top]
    white = [value for value in found if value > top * 7 // 8]
    between = [value for value in found if not is_small([value], top) and value <= top * 7 // 8]
    if not between:  # several whites are noise, which 8 bits only have
        return len(white) > 1 and top == 255
    return bool(white) and not np.isin(_filling(values), between).any()


def one_object(values: Values) -> npt.NDArray[np.bool_]:
    """Whichever object a picture shows as one H x W mask: what is brighter than half of a mask, all of a map."""
    something: npt.NDArray[np.bool_] = np.asarray(values != 0)
    if ((values == _TOP[values.dtype]) == something).all() or not is_mask(values):
        return something
    return np.asarray(values > _TOP[values.dtype] // 2)


def is_small(numbers: list[int], top: int = 255) -> bool:
    """Whether all of them are too dark to belong to a mask: a quarter of the range at most."""
    return max(numbers, default=0) <= top // 4 + 1


def _filling(values: Values, side: int = 5) -> Values:
    """Values that fill a square somewhere."""
    right = _runs(values[:, 1:] == values[:, :-1], side - 1)
    down = _runs((values[1:] == values[:-1]).T, side - 1).T
    squares = _runs(right.T, side).T[:, : down.shape[1]] & down[:, : right.shape[1]]
    rows, columns = np.nonzero(squares)
    return np.asarray(np.unique(values[rows, columns]))


def _runs(hits: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.bool_]:
    """Where `length` hits follow each other along the rows."""
    if hits.shape[1] < length:
        return np.zeros((hits.shape[0], 0), bool)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(hits, length, axis=1).all(axis=2))
