"""Masks drawn over a frame: a tint, a contour and the object's id, in a colour that belongs to the id.

Only the box of each object is touched, in bytes: drawing costs what the objects cover, not what the frame measures.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sam2v.masks.crops import MaskCrop
from sam2v.masks.window import Window, mask_window

if TYPE_CHECKING:
    from PIL import Image, ImageFont

    Colour = tuple[int, int, int]

# hues of neighbouring ids lie this far apart: steps of the golden section never meet again on the circle
GOLDEN = 0.618033988749895
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@cache
def colour_of(obj_id: int) -> Colour:
    """The colour (r, g, b), 0 to 255, of an object id: the same in every frame and run, different for any two ids
    that are near each other.
    """
    hue = (0.58 + obj_id * GOLDEN) % 1.0
    value = (1.0, 0.78, 0.9)[obj_id // 8 % 3]  # hues come close after 8 ids: change the brightness then
    saturation = (0.85, 0.95, 0.6)[obj_id // 8 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_masks(
    frame: np.ndarray,
    masks: np.ndarray,
    obj_ids: Sequence[int],
    alpha: float = 0.45,
    contour: bool = True,
    labels: bool = True,
) -> np.ndarray:
    """Draw masks over a frame; later objects lie over earlier ones.

    Args:
        frame: H x W x 3 uint8 RGB; not changed.
        masks: N x H x W bool.
        obj_ids: N ids, which give the colours and the labels.
        alpha: how much of the colour covers the frame inside the mask, 0 to 1.
        contour: whether a line of full colour is drawn inside the mask's edge.
        labels: whether the id is written on the object.

    Returns:
        H x W x 3 uint8.

    Raises:
        ValueError: sizes or counts that do not fit together, a frame of another type, alpha outside 0 to 1.
    """
    _check_frame(frame)
    if masks.shape != (len(obj_ids), *frame.shape[:2]):
        raise ValueError(
            f"masks must be N x H x W with N = {len(obj_ids)} and the frame's size, "
            f"{frame.shape[0]} x {frame.shape[1]}; got shape {masks.shape}"
        )
    found = [(mask[box], box, int(obj_id)) for mask, obj_id in zip(masks, obj_ids) if (box := mask_window(mask))]
    return _labelled(draw_parts(frame, found, alpha, contour), found if labels else [])


def draw_crops(
    frame: np.ndarray,
    crops: Sequence[MaskCrop | None],
    obj_ids: Sequence[int],
    alpha: float = 0.45,
    contour: bool = True,
    labels: bool = True,
) -> np.ndarray:
    """`draw_masks` of masks that are known by their crops."""
    found = [(crop.mask, crop.window, int(obj_id)) for crop, obj_id in zip(crops, obj_ids) if crop is not None]
    return _labelled(draw_parts(frame, found, alpha, contour), found if labels else [])


def draw_parts(
    frame: np.ndarray, parts: Iterable[tuple[np.ndarray, Window, int]], alpha: float = 0.45, contour: bool = True
) -> np.ndarray:
    """As `draw_masks`, one mask after the other and without labels.

    Args:
        parts: the mask in a window of the frame, h x w bool; the window; the id.
        frame, alpha, contour: as for `draw_masks`, which also says what is raised.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
    _check_frame(frame)
    picture = frame.copy()
    thickness = max(1, round(min(frame.shape[:2]) / 300)) if contour else 0
    for mask, box, obj_id in parts:
        _tint(picture, mask, box, colour_of(obj_id), round(alpha * 256))
        if thickness:
            picture[box][mask & ~_eroded(mask, thickness)] = colour_of(obj_id)
    return picture


def _check_frame(frame: np.ndarray) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"frame must be H x W x 3 uint8, got shape {frame.shape} of {frame.dtype}")


def _labelled(picture: np.ndarray, found: Iterable[tuple[np.ndarray, Window, int]]) -> np.ndarray:
    """The picture with ids written on their objects, in place."""
    for mask, (rows, columns), obj_id in found:
        y, x = _inner_point(mask)
        _paste(picture, _plate(obj_id, max(11, min(picture.shape[:2]) // 32)), rows.start + y, columns.start + x)
    return picture


def _tint(picture: np.ndarray, mask: np.ndarray, box: Window, colour: Colour, weight: int) -> None:
    """Blend `weight` of 256 parts of a colour into the masked pixels of a box, in place."""
    rows, columns = box
    part = picture.reshape(len(picture), -1)[rows, 3 * columns.start : 3 * columns.stop]  # channels side by side
    blend = part.astype(np.uint16)
    blend *= 256 - weight
    blend += np.tile(np.array(colour, np.uint16) * weight, mask.shape[1])
    blend >>= 8
    np.copyto(part, blend, where=np.repeat(mask, 3, axis=1), casting="unsafe")


def _eroded(mask: np.ndarray, times: int) -> np.ndarray:
    """The mask without its outer rim of `times` pixels (4 neighbours; outside counts as background)."""
    for _ in range(times):
        around = np.pad(mask, 1)
        mask = mask & around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask


def _inner_point(mask: np.ndarray) -> tuple[int, int]:
    """(row, column) on the mask: the middle of its longest run in the row that holds the median pixel."""
    rows = np.count_nonzero(mask, axis=1).cumsum()
    row = int(np.searchsorted(rows, rows[-1] / 2))
    edges = np.flatnonzero(np.diff(np.pad(mask[row].astype(np.int8), 1)))
    starts, ends = edges[::2], edges[1::2]
    longest = int((ends - starts).argmax())
    return row, int(starts[longest] + ends[longest]) // 2


def _paste(picture: np.ndarray, plate: np.ndarray, row: int, column: int) -> None:
    """Put a plate over a point, kept inside the picture."""
    height, width = (min(sides) for sides in zip(plate.shape[:2], picture.shape[:2]))
    top = min(max(row - plate.shape[0] // 2, 0), picture.shape[0] - height)
    left = min(max(column - plate.shape[1] // 2, 0), picture.shape[1] - width)
    picture[top : top + height, left : left + width] = plate[:height, :width]


@lru_cache(1024)
def _plate(obj_id: int, font_size: int) -> np.ndarray:
    """An id written on a plate of its colour, h x w x 3 uint8."""
    from PIL import Image, ImageDraw

    text, font, colour = str(obj_id), _font(font_size), colour_of(obj_id)
    left, top, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).textbbox((0, 0), text, font=font)
    image = Image.new("RGB", (int(right - left) + 6, int(bottom - top) + 4), colour)
    brightness = (299 * colour[0] + 587 * colour[1] + 114 * colour[2]) // 1000
    ImageDraw.Draw(image).text((3 - left, 2 - top), text, fill=BLACK if brightness > 120 else WHITE, font=font)
    return np.array(image)


@cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except (TypeError, ImportError):  # Pillow before 10.1, or without FreeType: one small size
        return ImageFont.load_default()


def to_image(picture: np.ndarray) -> Image.Image:
    """H x W x 3 uint8 as a PIL image, which notebooks display."""
    from PIL import Image

    return Image.fromarray(picture)
