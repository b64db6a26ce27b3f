"""Masks as polygons: outlines along the edges of pixels, simplified, and joined into a single one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sam2v.masks.window import mask_window

#: Directions clockwise from the right, as (x, y) steps with y down, and where a pixel inside lies from an edge's start.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
_INSIDE = ((0, 0), (-1, 0), (-1, -1), (0, -1))
#: Distances between corners that are compared at a time.
_TOGETHER = 1 << 20


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """The closed outlines of an H x W mask along the edges of its pixels.

    Returns:
        Corners (x, y) of each, N x 2 int; x = 3 is the left edge of the pixels of column 3. Outlines of what is filled
        go clockwise (as seen, y down), those of holes the other way round; pixels that touch by a corner only do not
        belong together.
    """
    return [corners for corners, _ in _traced(mask)]


def polygon_of(mask: np.ndarray, tolerance: float = 1.0, centres: bool = False) -> np.ndarray | None:
    """A mask as one polygon, N x 2 float (x, y) in pixels; None if it is empty.

    Parts and holes are joined by lines there and back, which enclose nothing. Parts and holes of less than a thousandth
    of the object are left out.

    Args:
        mask: H x W bool.
        tolerance: how far the polygon may be from the outline, in pixels; 0 keeps every corner.
        centres: corners lie in the middle of the outermost pixels, as in what OpenCV finds and fills, instead of on
            their edges.
    """
    loops = _traced(mask)
    if not loops:
        return None
    areas = [abs(_area(corners)) for corners, _ in loops]
    order = sorted(range(len(loops)), key=lambda n: -areas[n])
    kept = [n for n in order if n == order[0] or areas[n] * 1000 >= areas[order[0]]]
    rings = [simplified(np.asarray(loops[n][centres], float), tolerance) for n in kept]
    joined = rings[0]
    for ring in rings[1:]:
        here, there = _nearest(joined, ring)
        way = np.concatenate([ring[there:], ring[: there + 1]])
        joined = np.concatenate([joined[: here + 1], way, joined[here:]])
    return joined


def filled(rings: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """The mask of closed polygons: pixels whose middle lies within an odd number of them.

    Args:
        rings: N x 2 (x, y) each, in pixels, x = 3 being the left edge of column 3. size: (height, width).

    Returns:
        H x W bool.
    """
    height, width = size
    turns = np.zeros((height, width + 1), np.int64)  # where inside and outside change along a row
    for ring in rings:
        corners = np.asarray(ring, float)
        for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            first, last = (int(np.ceil(np.clip(y, 0, height) - 0.5)) for y in (min(y0, y1), max(y0, y1)))
            rows = np.arange(first, last)
            if len(rows):
                x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
                turns[rows, np.ceil(x.clip(0, width) - 0.5).astype(np.int64)] += 1
    return turns.cumsum(axis=1)[:, :width] % 2 == 1


def simplified(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """A closed polygon with the corners left out that it does not need to stay within a distance of itself.

    Args:
        ring: N x 2. tolerance: the distance (Douglas and Peucker 1973).
    """
    if len(ring) <= 4 or tolerance <= 0:
        return ring
    first = int(ring.sum(axis=1).argmin())
    ring = np.roll(ring, -first, axis=0)
    middle = int(((ring - ring[0]) ** 2).sum(axis=1).argmax())
    closed = np.concatenate([ring, ring[:1]])
    keep = np.zeros(len(closed), bool)
    keep[[0, middle, len(ring)]] = True
    waiting = [(0, middle), (middle, len(ring))]
    while waiting:
        start, end = waiting.pop()
        if end - start < 2:
            continue
        apart = _distances(closed[start + 1 : end], closed[start], closed[end])
        worst = int(apart.argmax())
        if apart[worst] > tolerance:
            keep[start + 1 + worst] = True
            waiting += [(start, start + 1 + worst), (start + 1 + worst, end)]
    found = closed[:-1][keep[:-1]]
    return found if len(found) > 2 else ring


def _traced(mask: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Outlines of a mask: corners on the edges of pixels, and the middles of the pixels along them, as (x, y)."""
    window = mask_window(mask)
    if window is None:
        return []
    top, left = window[0].start, window[1].start
    ways = _edges(np.pad(mask[window], 1))
    loops = []
    while ways:
        start = next(iter(ways))
        corners, pixels = _loop(ways, start)
        offset = np.array([left - 1, top - 1])
        loops.append((np.array(corners) + offset, np.array(pixels) + offset))
    return loops


def _edges(mask: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """Corner -> directions in which edges leave it, the inside on their right."""
    inner = mask[1:-1, 1:-1]
    around = (mask[:-2, 1:-1], mask[1:-1, 2:], mask[2:, 1:-1], mask[1:-1, :-2])  # above, right, below, left
    ways: dict[tuple[int, int], list[int]] = {}
    for direction, (other, (x, y)) in enumerate(zip(around, ((1, 1), (2, 1), (2, 2), (1, 2)), strict=True)):
        rows, columns = np.nonzero(inner & ~other)
        for corner in zip((columns + x).tolist(), (rows + y).tolist(), strict=True):
            ways.setdefault(corner, []).append(direction)
    return ways


def _loop(
    ways: dict[tuple[int, int], list[int]], start: tuple[int, int]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Follow edges from a corner until they come back, and take them away: the turns, and the pixels beside them."""
    corners: list[tuple[int, int]] = []
    pixels: list[tuple[int, int]] = []
    place, came = start, -1
    begun = ways[start][0]
    while not corners or place != start or begun in ways.get(place, ()):
        leaving = ways[place]
        # to the right first: what touches by a corner only is another outline
        turns = (came + 1, came, came - 1) if came >= 0 else (begun,)
        way = next(turn % 4 for turn in turns if turn % 4 in leaving)
        if way != came:
            corners.append(place)
            _add(pixels, place, came, back=1)
            _add(pixels, place, way, back=0)
        leaving.remove(way)
        if not leaving:
            del ways[place]
        came = way
        place = (place[0] + _STEPS[way][0], place[1] + _STEPS[way][1])
    _add(pixels, place, came, back=1)
    return corners, pixels[:-1] if len(pixels) > 1 and pixels[-1] == pixels[0] else pixels


def _add(pixels: list[tuple[int, int]], place: tuple[int, int], way: int, back: int) -> None:
    """Add the pixel inside of an edge that goes in a direction from a corner, or (`back=1`) comes to it; -1 is none."""
    if way >= 0:
        (x, y), (dx, dy) = _STEPS[way], _INSIDE[way]
        pixel = (place[0] - back * x + dx, place[1] - back * y + dy)
        if pixels[-1:] != [pixel]:
            pixels.append(pixel)


def _nearest(points: np.ndarray, others: np.ndarray) -> tuple[int, int]:
    """Which of N x 2 points is nearest to which of M others, in blocks: outlines may have many corners."""
    step = max(1, _TOGETHER // len(others))
    found = []
    for start in range(0, len(points), step):
        apart = ((points[start : start + step, None] - others[None]) ** 2).sum(axis=2)
        here, there = divmod(int(apart.argmin()), len(others))
        found.append((float(apart[here, there]), start + here, there))
    return min(found)[1:]


def _area(corners: np.ndarray) -> float:
    """Twice what a closed polygon encloses."""
    x, y = corners.T.astype(np.int64)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How far points are from the line between two others."""
    along = end - start
    length = float(along @ along)
    if length == 0:
        return np.asarray(np.sqrt(((points - start) ** 2).sum(axis=1)))
    share = ((points - start) @ along / length).clip(0, 1)
    return np.asarray(np.sqrt(((points - start - share[:, None] * along) ** 2).sum(axis=1)))
