"""What every effect is: a small value that can be called with a frame and a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sam2v.effects.canvas import Canvas, Target
from sam2v.masks.draw import colour_of
from sam2v.options import Options

if TYPE_CHECKING:
    from sam2v.effects.scene import Scene

Colour = str | tuple[int, int, int]


@dataclass(frozen=True)
class Effect(Options):
    """Something that is done to a target: an object, all objects, or the background.

    Call it with a frame (H x W x 3 uint8) and a mask (H x W bool) for the frame that comes of it; neither is changed.
    Where the effect does not act, pixels are as they were, bit for bit.
    """

    #: Whether it is done to objects one by one, also where they are the target together.
    each: ClassVar[bool] = False
    #: Whether the background can be a target.
    takes_background: ClassVar[bool] = True
    #: Whether it looks at other frames.
    looks: ClassVar[bool] = False

    def __call__(self, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The frame with the effect done to what the mask covers."""
        canvas = Canvas(frame, {1: mask})
        self.on(canvas, 1)
        return canvas.result()

    def on(self, canvas: Canvas, target: Target, scene: Scene | None = None) -> None:
        """Change a canvas.

        Args:
            canvas: the frame with what was done to it before. target: what to act on.
            scene: the video around the frame, for effects that look at other frames.
        """
        raise NotImplementedError


def rgb_of(colour: Colour | None, target: Target) -> np.ndarray:
    """(r, g, b) of a colour; without one that of the object's id, or white."""
    if colour is None:
        return np.array(colour_of(target) if isinstance(target, int) else (255, 255, 255), np.float32)
    return np.array(_parsed(colour), np.float32)


def check_colour(colour: Colour | None) -> None:
    """Raise ValueError for what is no colour."""
    if colour is not None:
        _parsed(colour)


def _parsed(colour: Colour) -> tuple[int, ...]:
    from PIL import ImageColor

    if not isinstance(colour, str):
        values = tuple(colour)
        if len(values) != 3 or not all(isinstance(value, int) and 0 <= value <= 255 for value in values):
            raise ValueError(f"a colour is a name, #rrggbb or three numbers from 0 to 255, got {colour!r}")
        return values
    try:
        values = ImageColor.getrgb(colour)
    except ValueError:
        values = ()
    if len(values) != 3:  # with a share of transparency there are four
        raise ValueError(f"a colour is a name such as red, or #rrggbb, got {colour!r}")
    return values
