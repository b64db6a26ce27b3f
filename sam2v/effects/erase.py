"""Taking an object out of the picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sam2v.effects.align import camera_shift
from sam2v.effects.base import Effect
from sam2v.effects.canvas import Canvas, Target, to_bytes, union
from sam2v.effects.diffuse import diffused
from sam2v.effects.scene import Scene
from sam2v.effects.shapes import overlap
from sam2v.masks.grow import grown
from sam2v.masks.window import around

#: Width of the ring around a hole on which a frame must agree that is to fill it.
_RING = 5

Shown = tuple[np.ndarray, np.ndarray]  # a frame, and a mask of all that moves in it


@dataclass(frozen=True)
class Erase(Effect):
    """Take an object out: what is behind it comes from other frames that show it, else from around it by diffusion.

    Other frames are moved as the camera has moved (by whole pixels), and used where they agree with this one around the
    object. Nearer ones go before others; those of which no masks are known are left out. Other objects stay whole. It
    is done before all other effects, to the frame as it was.

    Attributes:
        grow: pixels around the mask that go with it, since masks and compression are not exact.
        tolerance: mean difference, of 255, around the object up to which another frame is used.
    """

    grow: int = 2
    tolerance: float = 14.0
    takes_background = False
    looks = True

    def __post_init__(self) -> None:
        self.check_whole(["grow"])
        self.check_least({"grow": 0, "tolerance": 0})
        if self.grow > 200:
            raise ValueError(f"grow must be at most 200, got {self.grow}")

    def __call__(self, frame: np.ndarray, mask: np.ndarray, others: Iterable[Shown] = ()) -> np.ndarray:
        """The frame without what the mask covers.

        Args:
            others: further frames of the video, each with a mask of all that moves in it; the nearest first.
        """
        canvas = Canvas(frame, {1: mask})
        self._fill(canvas.picture, mask, np.zeros_like(mask), others)
        return canvas.result()

    def on(self, canvas: Canvas, target: Target, scene: Scene | None = None) -> None:
        mask = canvas.mask(target)
        for obj_id in list(canvas.masks):
            if target in (obj_id, "objects"):
                del canvas.masks[obj_id]
        others = () if scene is None else _others(scene, canvas.size)
        self._fill(canvas.picture, mask, canvas.mask("objects") & ~mask, others)

    def _fill(self, picture: np.ndarray, mask: np.ndarray, kept: np.ndarray, others: Iterable[Shown]) -> None:
        """Fill a mask in a picture; what is `kept`, other objects, stays and gives no colours."""
        hole, hidden = grown(mask, self.grow) & ~kept, grown(mask | kept, self.grow)
        window = around(hole, _RING + 3)
        if window is None:
            return
        part, missing = picture[window], hole[window].copy()
        ring = grown(hole[window], _RING) & ~hidden[window]
        before = picture.copy()
        for other, other_hidden in others:
            other_hidden = grown(other_hidden, self.grow)
            shift = camera_shift(before, hidden, other, other_hidden)
            there, shown = _moved(other, shift)[window], ~_moved(other_hidden, shift, True)[window]
            take = self._take(part, there, missing & shown, ring & shown)
            missing &= ~take
            if not missing.any():
                return
        unknown = missing | kept[window]
        fill = diffused(part, missing if unknown.all() else unknown)
        np.copyto(part, to_bytes(fill), where=missing[..., None])

    def _take(self, part: np.ndarray, there: np.ndarray, wanted: np.ndarray, ring: np.ndarray) -> np.ndarray:
        """Fill what is wanted from another frame, if that agrees on the ring; which pixels were filled, h x w bool."""
        if not wanted.any() or not ring.any():
            return np.zeros_like(wanted)
        apart = np.zeros(part.shape, np.float32)
        apart[ring] = part[ring].astype(np.float32) - there[ring]
        if np.abs(apart[ring]).mean() > self.tolerance:
            return np.zeros_like(wanted)
        coarse = max(1, min(ring.shape) // 64)
        step = diffused(apart, ~ring, coarse) if apart.any() else apart  # so that no seam is seen
        part[wanted] = to_bytes(there[wanted] + step[wanted])
        return wanted


def _others(scene: Scene, size: tuple[int, int]) -> Iterator[Shown]:
    """Frames that are spread over the video, always the same ones, the nearest first.

    One of which no masks are known is none of them: it may show what is to be erased.
    """
    count = min(scene.length, scene.most - 1)
    spread = {round(place) for place in np.linspace(0, scene.length - 1, count)}
    for index in sorted(spread - {scene.index}, key=lambda index: abs(index - scene.index)):
        masks = scene.masks(index)
        if masks is not None:
            yield scene.frame(index), union(masks, size)


def _moved(picture: np.ndarray, shift: tuple[int, int], outside: int = 0) -> np.ndarray:
    """A picture moved by (down, right)."""
    if shift == (0, 0):
        return picture
    moved = np.full_like(picture, outside)
    source, place = overlap((picture.shape[0], picture.shape[1]), shift)
    moved[place] = picture[source]
    return moved
