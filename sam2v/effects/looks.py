"""Effects that change how what is there looks: each pixel stays where it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from sam2v.effects.base import Colour, Effect, check_colour, rgb_of
from sam2v.effects.canvas import Canvas, Target, to_bytes
from sam2v.masks.window import Window, mask_window

#: How bright a colour is seen (Rec. 601).
_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Look(Effect):
    """An effect that gives the pixels of its target other colours."""

    def on(self, canvas: Canvas, target: Target, scene: object = None) -> None:
        mask = self.acts_on(canvas.mask(target))
        window = mask_window(mask)
        if window is not None:
            colours = self.colours(canvas.picture, mask, window, target)
            np.copyto(canvas.picture[window], to_bytes(colours), where=mask[window][..., None])

    def acts_on(self, mask: np.ndarray) -> np.ndarray:
        """The pixels that change, H x W bool."""
        return mask

    def colours(self, picture: np.ndarray, mask: np.ndarray, window: Window, target: Target) -> np.ndarray:
        """Their new colours, h x w x 3 in the window that holds them; the others do not matter."""
        raise NotImplementedError


@dataclass(frozen=True)
class Spotlight(Look):
    """Darken everything else.

    Attributes:
        strength: 0 leaves it as it is, 1 makes it black.
    """

    strength: float = 0.7

    def __post_init__(self) -> None:
        self.check_fractions(["strength"])

    def acts_on(self, mask: np.ndarray) -> np.ndarray:
        return ~mask

    def colours(self, picture: np.ndarray, mask: np.ndarray, window: Window, target: Target) -> np.ndarray:
        return picture[window] * np.float32(1 - self.strength)


@dataclass(frozen=True)
class Blur(Look):
    """Blur the target, by itself: no colour runs over its edge, in either direction.

    Attributes:
        radius: standard deviation in pixels.
    """

    radius: float = 12.0

    def __post_init__(self) -> None:
        if not 0 < self.radius <= 1000:
            raise ValueError(f"radius must be above 0 and at most 1000, got {self.radius}")

    def colours(self, picture: np.ndarray, mask: np.ndarray, window: Window, target: Target) -> np.ndarray:
        planes = torch.from_numpy(picture[window].astype(np.float32)).permute(2, 0, 1)
        weight = torch.from_numpy(mask[window].astype(np.float32))[None]
        blurred = _gaussian(torch.cat([planes * weight, weight])[None], self.radius)[0]
        return (blurred[:3] / blurred[3:].clamp(min=1e-6)).permute(1, 2, 0).numpy()


@dataclass(frozen=True)
class Pixelate(Look):
    """Squares of one colour each, the mean of what they cover of the target.

    Attributes:
        size: side of a square in pixels.
    """

    size: int = 16

    def __post_init__(self) -> None:
        self.check_whole(["size"])
        self.check_least({"size": 1})

    def colours(self, picture: np.ndarray, mask: np.ndarray, window: Window, target: Target) -> np.ndarray:
        rows, columns = window
        top, left = (part.start // self.size * self.size for part in window)  # squares stay where they are
        whole = slice(top, rows.stop), slice(left, columns.stop)
        weight = mask[whole][..., None]
        y, x = np.arange(0, rows.stop - top, self.size), np.arange(0, columns.stop - left, self.size)
        sums, counts = (
            np.add.reduceat(np.add.reduceat(values, y, axis=0, dtype=np.uint32), x, axis=1)
            for values in (picture[whole] * weight, weight)
        )
        squares = sums / np.maximum(counts, 1)
        spread = [
            np.arange(part.start - start, part.stop - start) // self.size for part, start in zip(window, (top, left))
        ]
        return squares[np.ix_(*spread)]


@dataclass(frozen=True)
class Desaturate(Look):
    """Take the colour away.

    Attributes:
        strength: 0 leaves it as it is, 1 makes it grey.
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        self.check_fractions(["strength"])

    def colours(self, picture: np.ndarray, mask: np.ndarray, window: Window, target: Target) -> np.ndarray:
        return _towards(picture[window], (picture[window] @ _BRIGHTNESS)[..., None], self.strength)


@dataclass(frozen=True)
class Recolour(Look):
    """Give the target another colour; light and shade stay.

    Attributes:
        colour: a name, #rrggbb or (r, g, b). None is the colour that masks of the object are drawn in.
        strength: 0 leaves it as it is, 1 leaves nothing of its own colours.
    """

    colour: Colour | None = None
    strength: float = 0.8
    each = True

    def __post_init__(self) -> None:
        check_colour(self.colour)
        self.check_fractions(["strength"])

    def colours(self, picture: np.ndarray, mask: np.ndarray, window: Window, target: Target) -> np.ndarray:
        colour = rgb_of(self.colour, target)
        grey = (picture[window] @ _BRIGHTNESS)[..., None]
        shade = max(float(colour @ _BRIGHTNESS), 1.0)
        dark = grey * (colour / shade)  # up to the colour itself, from there on towards white
        light = colour + (255 - colour) * ((grey - shade) / max(255 - shade, 1.0))
        return _towards(picture[window], np.where(grey <= shade, dark, light), self.strength)


@dataclass(frozen=True)
class Fill(Look):
    """One colour, as of a screen.

    Attributes:
        colour: a name, #rrggbb or (r, g, b).
    """

    colour: Colour = "#00b140"

    def __post_init__(self) -> None:
        check_colour(self.colour)

    def colours(self, picture: np.ndarray, mask: np.ndarray, window: Window, target: Target) -> np.ndarray:
        return np.broadcast_to(rgb_of(self.colour, target), picture[window].shape)


def _towards(before: np.ndarray, after: np.ndarray, strength: float) -> np.ndarray:
    return before * np.float32(1 - strength) + after * np.float32(strength)


def _gaussian(planes: torch.Tensor, radius: float) -> torch.Tensor:
    """1 x C x h x w blurred; of a wide one the picture is made smaller before, which cannot be seen after it."""
    size = planes.shape[-2:]
    step = max(1, int(radius / 4))
    if step > 1:
        right, below = -size[1] % step, -size[0] % step
        planes = avg_pool2d(pad(planes, (0, right, 0, below)), step)
    sigma = radius / step
    reach = max(1, round(3 * sigma))
    place = torch.arange(-reach, reach + 1, dtype=torch.float32)
    bell = torch.exp(-0.5 * (place / sigma) ** 2)
    bell = (bell / bell.sum()).expand(planes.shape[1], 1, 1, -1).contiguous()
    for kernel in (bell, bell.transpose(2, 3)):
        ends = [side // 2 for side in kernel.shape[2:]]
        planes = conv2d(planes, kernel, padding=(ends[0], ends[1]), groups=planes.shape[1])
    if step > 1:
        large = [side * step for side in planes.shape[-2:]]
        planes = interpolate(planes, size=large, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]
    return planes
