"""Masks drawn over a frame: a tint, a contour and the object's id, in a colour that belongs to the id."""

import colorsys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

# hues of neighbouring ids lie this far apart: steps of the golden section never meet again on the circle
GOLDEN = 0.618033988749895
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@cache
def colour_of(obj_id: int) -> tuple[int, int, int]:
    """The colour (r, g, b), 0 to 255, of an object id: the same in every frame and run, different for any two
    ids that are near each other.
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
        ValueError: sizes or counts that do not fit together, alpha outside 0 to 1.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"frame must be H x W x 3, got shape {frame.shape}")
    if masks.shape != (len(obj_ids), *frame.shape[:2]):
        raise ValueError(
            f"masks must be N x H x W with N = {len(obj_ids)} and the frame's size, "
            f"{frame.shape[0]} x {frame.shape[1]}; got shape {masks.shape}"
        )
    picture = frame.copy()
    thickness = max(1, round(min(frame.shape[:2]) / 300)) if contour else 0
    boxes = [_window(mask) for mask in masks]
    for mask, box, obj_id in zip(masks, boxes, obj_ids, strict=True):
        if box is not None:
            _tint(picture[box], mask[box], colour_of(int(obj_id)), alpha, thickness)
    if not labels:
        return picture
    return _write_labels(picture, [(m[b], b, i) for m, b, i in zip(masks, boxes, obj_ids, strict=True) if b])


def _window(mask: np.ndarray) -> tuple[slice, slice] | None:
    """The part of the picture that holds the mask; None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _tint(part: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], alpha: float, thickness: int) -> None:
    """Colour the masked pixels of a view into the picture, in place."""
    weight = round(alpha * 256)
    inside = part[mask].astype(np.uint16) * (256 - weight) + np.array(colour, np.uint16) * weight
    part[mask] = (inside >> 8).astype(np.uint8)
    if thickness:
        part[mask & ~_eroded(mask, thickness)] = colour


def _eroded(mask: np.ndarray, times: int) -> np.ndarray:
    """The mask without its outer rim of `times` pixels (4 neighbours; outside counts as background)."""
    for _ in range(times):
        around = np.pad(mask, 1)
        mask = mask & around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask


def _write_labels(picture: np.ndarray, objects: list[tuple[np.ndarray, tuple[slice, slice], int]]) -> np.ndarray:
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    font = _font(max(11, min(picture.shape[:2]) // 32))
    for mask, (rows, columns), obj_id in objects:
        y, x = _inner_point(mask)
        _write(draw, str(obj_id), (columns.start + x, rows.start + y), colour_of(int(obj_id)), font)
    return np.array(image)


def _inner_point(mask: np.ndarray) -> tuple[int, int]:
    """(row, column) on the mask: the middle of its longest run in the row that holds the median pixel."""
    rows = mask.sum(1).cumsum()
    row = int(np.searchsorted(rows, rows[-1] / 2))
    edges = np.flatnonzero(np.diff(np.pad(mask[row].astype(np.int8), 1)))
    starts, ends = edges[::2], edges[1::2]
    longest = int((ends - starts).argmax())
    return row, int(starts[longest] + ends[longest]) // 2


def _write(
    draw: "ImageDraw.ImageDraw",
    text: str,
    centre: tuple[int, int],
    colour: tuple[int, int, int],
    font: "ImageFont.ImageFont | ImageFont.FreeTypeFont",
) -> None:
    """The text on a plate of the object's colour, kept inside the picture."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 6, bottom - top + 4
    x = min(max(centre[0] - width // 2, 0), max(draw.im.size[0] - width, 0))
    y = min(max(centre[1] - height // 2, 0), max(draw.im.size[1] - height, 0))
    brightness = (299 * colour[0] + 587 * colour[1] + 114 * colour[2]) // 1000
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    draw.text((x + 3 - left, y + 2 - top), text, fill=BLACK if brightness > 120 else WHITE, font=font)


@cache
def _font(size: int) -> "ImageFont.ImageFont | ImageFont.FreeTypeFont":
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except (TypeError, ImportError):  # Pillow before 10.1, or without FreeType: one small size
        return ImageFont.load_default()


def to_image(picture: np.ndarray) -> "Image.Image":
    """H x W x 3 uint8 as a PIL image, which notebooks display."""
    from PIL import Image

    return Image.fromarray(picture)
