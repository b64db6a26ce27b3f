"""Effects that draw around objects, or draw them again: their outline, cut out, twice, larger."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import grid_sample

from sam2v.effects.base import Colour, Effect, check_colour, rgb_of
from sam2v.effects.canvas import Canvas, Target
from sam2v.masks.grow import grown
from sam2v.masks.window import Window, around, mask_window


@dataclass(frozen=True)
class CutOut(Effect):
    """Keep the target, everything else becomes transparent. Several of them keep all of their targets.

    What is drawn afterwards (an outline, a trail) can be seen.
    """

    def on(self, canvas: Canvas, target: Target, scene: object = None) -> None:
        canvas.keep(canvas.mask(target))


@dataclass(frozen=True)
class Outline(Effect):
    """A line around the target, outside of it.

    Attributes:
        colour: a name, #rrggbb or (r, g, b). None is the colour that masks of the object are drawn in.
        width: in pixels; None goes by the size of the picture.
    """

    colour: Colour | None = None
    width: int | None = None
    each = True

    def __post_init__(self) -> None:
        check_colour(self.colour)
        self.check_whole(["width"])
        if self.width is not None and not 1 <= self.width <= 200:
            raise ValueError(f"width must be from 1 to 200, got {self.width}")

    def on(self, canvas: Canvas, target: Target, scene: object = None) -> None:
        width = self.width or max(2, round(min(canvas.size) / 200))
        mask = canvas.mask(target)
        window = around(mask, width)
        if window is not None:
            line = grown(mask, width)[window] & ~mask[window]
            canvas.paint(window, rgb_of(self.colour, target), line)


@dataclass(frozen=True)
class Duplicate(Effect):
    """Show an object a second time, at another place.

    Attributes:
        x, y: how far to the right of the object and below it, in pixels; without x a fifth of the picture's width.
        behind: whether the object itself lies over it.
    """

    x: int | None = None
    y: int = 0
    behind: bool = True
    each = True
    takes_background = False

    def __post_init__(self) -> None:
        self.check_whole(["x", "y"])

    def on(self, canvas: Canvas, target: Target, scene: object = None) -> None:
        mask = canvas.mask(target)
        x = round(canvas.size[1] / 5) if self.x is None else self.x
        source, place = overlap(canvas.size, (self.y, x))
        there = mask[source].copy()
        if self.behind:
            there &= ~mask[place]
        canvas.paint(place, canvas.picture[source].copy(), there)


@dataclass(frozen=True)
class Enlarge(Effect):
    """Show an object larger, about its middle, over everything else. Effects that follow act on all of it.

    Attributes:
        factor: how much larger, from 1 on.
    """

    factor: float = 1.5
    each = True
    takes_background = False

    def __post_init__(self) -> None:
        if not 1 <= self.factor <= 20:
            raise ValueError(f"factor must be from 1 to 20, got {self.factor}")

    def on(self, canvas: Canvas, target: Target, scene: object = None) -> None:
        mask = canvas.mask(target)
        window = mask_window(mask)
        if window is None or not isinstance(target, int) or self.factor == 1:
            return
        place, shown, cover = _enlarged(canvas.picture, mask, window, self.factor)
        canvas.paint(place, shown, cover)
        canvas.masks[target] = mask.copy()
        canvas.masks[target][place] |= cover > 0.5


def overlap(size: tuple[int, int], shift: tuple[int, int]) -> tuple[Window, Window]:
    """The part of a picture that stays in it when it is moved by (down, right), before and after that."""
    before, after = [], []
    for length, by in zip(size, shift, strict=True):
        room = max(0, length - abs(by))
        start = max(0, -by)
        before.append(slice(start, start + room))
        after.append(slice(max(0, by), max(0, by) + room))
    return (before[0], before[1]), (after[0], after[1])


def _enlarged(
    picture: np.ndarray, mask: np.ndarray, window: Window, factor: float
) -> tuple[Window, np.ndarray, np.ndarray]:
    """Where an enlarged object lies, its pixels and how much they cover."""
    spans = []
    for part, length in zip(window, mask.shape, strict=True):
        middle, half = (part.start + part.stop) / 2, factor * (part.stop - part.start) / 2
        spans.append((max(0, round(middle - half)), min(length, round(middle + half)), middle))
    (top, bottom, y), (left, right, x) = spans
    # where each pixel of the large one comes from, -1 to 1 over the window
    grid = np.stack(
        np.meshgrid(
            *(
                ((np.arange(start, stop) + 0.5 - middle) / factor + middle - part.start) * 2 / (part.stop - part.start)
                - 1
                for start, stop, middle, part in ((left, right, x, window[1]), (top, bottom, y, window[0]))
            )
        ),
        axis=2,
    )
    weight = mask[window][..., None].astype(np.float32)
    planes = torch.from_numpy(np.concatenate([picture[window] * weight, weight], axis=2)).permute(2, 0, 1)[None]
    place = torch.from_numpy(grid.astype(np.float32))[None]
    large = grid_sample(planes, place, align_corners=False)[0].permute(1, 2, 0).numpy()
    cover = large[..., 3]
    return (slice(top, bottom), slice(left, right)), large[..., :3] / np.maximum(cover[..., None], 1e-6), cover
