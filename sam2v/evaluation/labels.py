"""Read the PNG masks of any method: palette or grey label maps, and 0 / 255 pictures of one object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

VOID = 255
HIGHEST_GREY_LABEL = 64  # a grey picture with 255 and values above this is a mask with soft edges, not a label map
LabelMap = npt.NDArray[np.integer]


def read_labels(path: Path) -> LabelMap:
    """The H x W label map of one PNG: palette indices, grey values or bits.

    The common kinds are read here, without torch; 16-bit and colour pictures by
    `sam2v.masks.png.read_label_map`, which accepts colours when they are all grey or all of the DAVIS
    palette.

    Raises:
        OSError: missing or unreadable file.
        ValueError: a picture that cannot be read as object numbers.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise OSError(f"{path}: not a readable picture ({error})") from None
    if image.mode not in ("P", "L", "1"):
        from sam2v.masks.png import read_label_map

        return read_label_map(path)
    array = np.asarray(image)
    if image.mode == "P":
        _check_palette(path, image.getpalette() or [], array)
    return array.astype(np.uint8) if image.mode == "1" else array


def present(labels: LabelMap) -> list[int]:
    """The labels other than 0 in a map, ascending."""
    if labels.size and labels.max() <= 1:
        return [1] if labels.any() else []
    if labels.dtype == np.uint8:
        return [int(value) for value in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)) if value]
    return [int(value) for value in np.unique(labels) if value]


def is_binary(values: list[int]) -> bool:
    """Whether the labels of a non-empty annotation say "0 / 255, one object" (DAVIS 2016) and not "objects
    and void".
    """
    return VOID in values and (values == [VOID] or max(values[:-1]) > HIGHEST_GREY_LABEL)


def _check_palette(path: Path, palette: list[int], array: LabelMap) -> None:
    """Refuse a palette made from the colours: black, but not as index 0 (its indices say nothing)."""
    if not any(palette[:3]):
        return
    colours = np.asarray(palette, dtype=np.uint8).reshape(-1, 3)
    black = [index for index in present(array) if index < len(colours) and not colours[index].any()]
    if black:
        raise ValueError(
            f"{path}: its palette paints index 0 {tuple(palette[:3])} and index {black[0]} black, so indices are"
            " not object numbers (0 is background); save the label map itself as a P or L picture"
        )
