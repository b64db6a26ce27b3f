"""Pictures of masks and label maps in all the ways that people and tools save them, brought to one grey picture."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import numpy as np

from sam2v.files import user_path
from sam2v.masks.grey import Values, is_mask, is_small, one_object, present
from sam2v.masks.palette import distinct, ids_of_colours
from sam2v.pillow import open_picture

if TYPE_CHECKING:
    from PIL import Image

    PathLike = str | os.PathLike[str]

_LOSSY = ("JPEG", "MPO", "AVIF")
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error)  # by the kind of damage


def picture_values(path: PathLike, single: bool) -> Values:
    """A picture as H x W uint8 or uint16: object numbers, or the brightness of a mask (see `sam2v.masks.grey`).

    Args:
        single: one object is asked for, which may then be shown in any way that makes it plain: by transparency, or by
            a single colour.

    Raises:
        OSError: a file that is missing or broken. ValueError: a picture that is neither mask nor label map. Both name
            it.
    """
    return _values(_open(path), path, single)


def _open(path: PathLike) -> Image.Image:
    """A decoded picture, upright; a broken file is an OSError that names it."""
    from PIL import Image, ImageOps

    try:
        with open_picture(user_path(path)) as image:
            image.load()
            kind, pictures = image.format, getattr(image, "n_frames", 1)
            upright = ImageOps.exif_transpose(image) if image.getexif().get(0x0112, 1) > 1 else image
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except Image.UnidentifiedImageError:
        reason = "unknown format" if os.path.getsize(path) else "the file is empty"
        raise OSError(f"{path}: not a readable picture ({reason})") from None
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        raise OSError(f"{path}: not a readable picture ({error})") from error
    if pictures > 1 and kind != "MPO":
        raise ValueError(f"{path}: holds {pictures} pictures; a mask is one")
    upright.format = kind
    return upright


def _values(image: Image.Image, path: PathLike, single: bool) -> Values:
    if single and (cut_out := _transparency(image, path)) is not None:
        return cut_out
    if image.mode == "P":
        return _palette_values(image, path)
    if image.mode in ("L", "LA", "1"):
        values: Values = np.array(image.convert("L") if image.mode == "LA" else image, np.uint8)
    elif image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError(f"{path}: ids of a label map are 0 to 65535, found {wide.min()} to {wide.max()}")
        values = wide.astype(np.uint16)
    elif image.mode == "F":
        raise ValueError(f"{path}: holds fractions; a mask or label map holds integers")
    else:
        values = _colour_values(np.asarray(image.convert("RGB")), path, single, image.format in _LOSSY)
    if image.format in _LOSSY:
        return _without_noise(values, path)
    if single:
        _check_contrast(values, path)
    return values


def _palette_values(image: Image.Image, path: PathLike) -> Values:
    """Indices; but not of a palette that was made from the colours, and paints black what is not index 0."""
    indices = np.array(image)
    colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    if not colours[0].any():
        return indices
    black = [index for index in present(indices) if index < len(colours) and not colours[index].any()]
    if not black:
        return indices
    raise ValueError(
        f"{path}: its palette paints index 0 {tuple(colours[0].tolist())} and index {black[0]} black, so indices are "
        "not object numbers (0 is background); save the label map itself as a P or L picture"
    )


def _colour_values(rgb: np.ndarray, path: PathLike, single: bool, lossy: bool) -> Values:
    """H x W x 3 uint8 -> greys, ids of the palette's colours, or 1 where the only colour beside black is."""
    if lossy:
        return np.asarray(rgb.max(axis=2))
    tint = int((rgb.max(axis=2) - rgb.min(axis=2)).max())
    if tint == 0 or (single and tint < 16):  # greys, or nearly so: what compression made of them
        return np.asarray(rgb.max(axis=2))
    if single and (painted := rgb.any(axis=2)).any() and not painted.all():
        colour = rgb[painted][0]
        if (rgb[painted] == colour).all():
            return np.asarray(painted.astype(np.uint8))
    return ids_of_colours(rgb, path)


def _without_noise(values: Values, path: PathLike) -> Values:
    """What a lossy file keeps: black and white."""
    if values.any() and is_small(present(values)):
        raise ValueError(
            f"{path}: a JPEG whose brightest value is {values.max()} of 255: it cannot hold object numbers, save a PNG"
        )
    _check_contrast(values, path)
    return np.where(values > 127, np.uint8(255), np.uint8(0))


def _check_contrast(values: Values, path: PathLike) -> None:
    """Refuse a photograph in place of a mask: most of a mask is black or white."""
    top = np.iinfo(values.dtype).max
    grey = float(((values > top // 4) & (values < top - top // 4)).mean())
    if grey > 0.25 and is_mask(values):
        raise ValueError(f"{path}: {round(100 * grey)} % of its pixels are grey: a picture, not a black and white mask")


def _transparency(image: Image.Image, path: PathLike) -> Values | None:
    """The mask or ids of a cut-out; None for a picture without transparency, or with one that says nothing."""
    if image.mode not in ("LA", "PA", "La", "RGBA", "RGBa") and "transparency" not in image.info:
        return None
    rgba = np.asarray(image.convert("RGBA"))
    colours, alpha = rgba[..., :3], rgba[..., 3]
    if (alpha == 255).all() or (image.mode == "P" and not np.asarray(image)[alpha == 0].any()):
        return None  # opaque, or transparent where the index is 0 anyway
    inside = one_object(alpha)
    shown = distinct(colours[inside])
    grey = bool((shown == shown[:, :1]).all())
    if grey and 1 < len(shown) <= 64:
        if shown.min() == 0 or shown.max() > 64:
            raise ValueError(f"{path}: its greys and its transparency are two masks; save the one that is meant")
        return np.where(inside, colours[..., 0], 0).astype(np.uint8)
    if len(shown) > 1 and not grey:
        try:
            return ids_of_colours(np.where(inside[..., None], colours, 0).astype(np.uint8), path)
        except ValueError:  # colours of a photograph
            pass
    return np.where(inside, np.uint8(255), np.uint8(0))
