"""Random changes of a clip for training, which keep masks on their pixels (torchvision transforms v2).

What is drawn once per clip moves or colours all its frames alike; what is drawn per frame comes on top of it.
The defaults are the fine-tuning recipe of SAM 2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sam2v.data.clips import Clip

_FILL = (124, 116, 104)  # the mean colour, where a picture is moved away from its edge
_ATTEMPTS = 5

Pair = tuple[Any, Any]  # tv_tensors.Image and tv_tensors.Mask


@dataclass(frozen=True)
class Augment:
    """How strongly one draw changes the pictures; the default changes nothing.

    Attributes:
        flip: probability of a horizontal flip.
        degrees: rotation by up to this angle, either way.
        shear: horizontal shear by up to this angle in degrees, either way.
        scale: smallest and largest enlargement about the centre.
        translate: shift by up to this share of the sides, either way.
        brightness, contrast, saturation: factors between 1 - x and 1 + x.
        hue: turn of the hue by up to this share of the circle, at most 0.5.
        grey: probability of losing all colour.

    Raises ValueError for probabilities outside 0 to 1 or negative strengths.
    """

    flip: float = 0.0
    degrees: float = 0.0
    shear: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    translate: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name == "scale":
                if len(value) != 2 or not 0 < value[0] <= value[1]:
                    raise ValueError(f"scale is (smallest, largest), positive and in this order, got {value}")
            elif value < 0 or (name in ("flip", "grey", "translate") and value > 1) or (name == "hue" and value > 0.5):
                raise ValueError(f"{name}={value} is outside its range")

    @property
    def moves(self) -> bool:
        return bool(self.degrees or self.shear or self.translate) or tuple(self.scale) != (1.0, 1.0)

    @property
    def colours(self) -> bool:
        return bool(self.brightness or self.contrast or self.saturation or self.hue)


PER_CLIP = Augment(flip=0.5, degrees=25, shear=20, brightness=0.1, contrast=0.03, saturation=0.03, grey=0.05)
PER_FRAME = Augment(brightness=0.1, contrast=0.05, saturation=0.05)


class ClipTransforms:
    """Clip in, clip of h x w pixels out: flipped, moved, resized (not keeping the aspect ratio, as the predictors do)
    and recoloured.

    Objects that are no longer visible on the first frame leave the clip, since they could not be prompted. A
    draw that would lose all of them is drawn anew, and after five such draws the clip is only resized.

    Args:
        size: (height, width) in pixels, or the side of a square.
        per_clip: what is drawn once for all frames.
        per_frame: what is drawn for every frame by itself.
    """

    def __init__(
        self, size: int | tuple[int, int], per_clip: Augment = PER_CLIP, per_frame: Augment = PER_FRAME
    ) -> None:
        self.size = (size, size) if isinstance(size, int) else size
        if min(self.size) < 1:
            raise ValueError(f"size is at least 1 pixel, got {size}")
        self.per_clip, self.per_frame = per_clip, per_frame

    def __call__(self, clip: Clip, seed: int) -> Clip:
        """A changed clip, frames T x 3 x h x w uint8 and masks T x M' x h x w bool, 1 <= M' <= M.

        The same seed gives the same result; the global random state is left as it was. Raises ValueError for
        a clip whose first frame shows no object.
        """
        if not clip.masks[0].any():
            raise ValueError(f"clip {clip.name}: no object is visible on its first frame")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which would touch the GPU's generator
            frames, masks = self._place(clip)
            seen = masks[0].flatten(1).any(dim=1)
            return Clip(self._colour(frames), masks[:, seen], clip.name)

    def _place(self, clip: Clip) -> tuple[Tensor, Tensor]:
        """Frames and masks, moved and resized."""
        for _ in range(_ATTEMPTS if self._moves_at_all else 0):
            frames, masks = self._move(clip)
            if masks[0].any():
                return resize_frames(frames, self.size), resize_masks(masks, self.size)
        return resize_frames(clip.frames, self.size), resize_masks(clip.masks, self.size)

    @property
    def _moves_at_all(self) -> bool:
        return any(augment.moves or augment.flip for augment in (self.per_clip, self.per_frame))

    def _move(self, clip: Clip) -> tuple[Tensor, Tensor]:
        from torchvision import tv_tensors

        pair: Pair = (tv_tensors.Image(clip.frames), tv_tensors.Mask(clip.masks))
        for transform in _movements(self.per_clip):
            pair = transform(*pair)
        for transform in _movements(self.per_frame):
            singles = [
                transform(tv_tensors.Image(frame), tv_tensors.Mask(masks)) for frame, masks in zip(*pair, strict=True)
            ]
            frames, masks = zip(*singles, strict=True)
            pair = torch.stack(frames), torch.stack(masks)
        return pair[0].as_subclass(Tensor), pair[1].as_subclass(Tensor)

    def _colour(self, frames: Tensor) -> Tensor:
        """T x 3 x h x w uint8, recoloured."""
        for transform in _colourings(self.per_clip):
            frames = transform(frames)
        for transform in _colourings(self.per_frame):
            frames = torch.stack([transform(frame) for frame in frames])
        return frames


def resize_frames(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """T x 3 x H x W uint8 -> T x 3 x h x w uint8: bilinear, with antialias."""
    from torchvision.transforms.v2 import functional

    if frames.shape[-2:] == size:
        return frames
    return functional.resize(frames, list(size), antialias=True)


def resize_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """T x M x H x W bool -> T x M x h x w bool: a pixel is object where at least half of it is covered.

    Nearest-neighbour sampling would shift masks against the frames by up to half a pixel. A mask too thin to
    cover half of any pixel keeps those it covers most, so no visible object vanishes.
    """
    if masks.shape[-2:] == size:
        return masks
    cover = F.interpolate(masks.float(), size, mode="bilinear", antialias=True)
    most = cover.flatten(2).amax(dim=2)[..., None, None]
    return (cover >= most.clamp(max=0.5)) & (cover > 0)


def _movements(augment: Augment) -> list[Callable[..., Any]]:
    """Transforms of (Image, Mask) that move pixels; each call draws anew."""
    from torchvision import tv_tensors
    from torchvision.transforms import InterpolationMode, v2

    found: list[Callable[..., Any]] = []
    if augment.flip:
        found.append(v2.RandomHorizontalFlip(augment.flip))
    if augment.moves:
        found.append(
            v2.RandomAffine(
                degrees=augment.degrees,
                shear=augment.shear or None,
                scale=tuple(augment.scale),
                translate=(augment.translate, augment.translate) if augment.translate else None,
                interpolation=InterpolationMode.BILINEAR,  # of frames; masks are always sampled at the nearest pixel
                fill={tv_tensors.Image: list(_FILL), tv_tensors.Mask: 0},
            )
        )
    return found


def _colourings(augment: Augment) -> list[Callable[[Tensor], Tensor]]:
    """Transforms of ... x 3 x H x W uint8 that change colours; each call draws anew."""
    from torchvision.transforms import v2

    found: list[Callable[[Tensor], Tensor]] = []
    if augment.colours:
        found.append(v2.ColorJitter(augment.brightness, augment.contrast, augment.saturation, augment.hue))
    if augment.grey:
        found.append(v2.RandomGrayscale(augment.grey))
    return found
