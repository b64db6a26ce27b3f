"""Where an object was before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sam2v.effects.base import Effect
from sam2v.effects.canvas import Canvas, Target
from sam2v.effects.scene import Scene
from sam2v.masks.window import mask_window


@dataclass(frozen=True)
class Trail(Effect):
    """Show where an object was before, fainter the longer ago, behind the object.

    It is shown as the effects before this one left it: what they blurred is blurred, what they erased is not there.
    Effects after this one act on the object alone.

    Called with a frame and a mask alone it has nothing to show: give `earlier` too.

    Attributes:
        length: how many earlier places. step: frames from one to the next.
        opacity: of the newest, 0 to 1.
    """

    length: int = 5
    step: int = 3
    opacity: float = 0.6
    each = True
    takes_background = False
    looks = True

    def __post_init__(self) -> None:
        self.check_whole(["length", "step"])
        self.check_least({"length": 1, "step": 1})
        self.check_fractions(["opacity"])
        if self.length > 60:
            raise ValueError(f"length must be at most 60, got {self.length}")

    def __call__(
        self, frame: np.ndarray, mask: np.ndarray, earlier: Iterable[tuple[np.ndarray, np.ndarray]] = ()
    ) -> np.ndarray:
        """The frame with the trail; `earlier` has the frames and masks before, the newest first."""
        canvas = Canvas(frame, {1: mask})
        self._draw(canvas, mask, list(earlier))
        return canvas.result()

    def on(self, canvas: Canvas, target: Target, scene: Scene | None = None) -> None:
        if scene is not None and isinstance(target, int):
            past = [scene.index - self.step * number for number in range(1, self.length + 1)]
            nothing = canvas.picture, np.zeros(canvas.size, bool)
            earlier = []
            for index in past:
                if index >= 0:
                    seen = target in (scene.masks(index) or {})  # else there is no picture to make
                    shown = scene.shown(index) if seen else None
                    earlier.append(nothing if shown is None else (shown.picture, shown.mask(target)))
            self._draw(canvas, canvas.mask(target), earlier)

    def _draw(self, canvas: Canvas, mask: np.ndarray, earlier: list[tuple[np.ndarray, np.ndarray]]) -> None:
        for age, (frame, place) in reversed(list(enumerate(earlier[: self.length]))):
            behind = place & ~mask
            window = mask_window(behind)
            if window is not None:
                strength = self.opacity * (self.length - age) / self.length
                canvas.paint(window, frame[window], behind[window] * np.float32(strength))
