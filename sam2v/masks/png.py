"""Masks in PNG files: label maps with a palette (one id per pixel) and binary masks (one object per file)."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import numpy as np
import torch

from sam2v.files import whole_file

if TYPE_CHECKING:
    from PIL import Image

    PathLike = str | os.PathLike[str]


@functools.cache
def davis_palette() -> np.ndarray:
    """The colours of label maps, 256 x 3 uint8 RGB: id 0 black, 1 dark red, 2 green, 3 olive, 4 blue, ...

    By rule: the bits of the id are dealt to red, green and blue in turn, the lowest three as the channels'
    highest bits, and the result, a fraction of 256, is scaled to 255. These are the colours of the DAVIS
    annotations for ids 0 to 21, and 256 different ones in all.
    """
    ids = np.arange(256)
    colours = np.zeros((256, 3))
    for bit in range(8):
        colours[:, bit % 3] += (ids >> bit & 1) << (7 - bit // 3)
    palette = np.rint(colours * 255 / 256).astype(np.uint8)
    palette.setflags(write=False)
    return palette


def read_label_map(path: PathLike) -> np.ndarray:
    """Object ids of a label map, H x W uint8 (uint16 for a 16-bit file), 0 = background.

    Palette files give their indices, greyscale files their values, 1-bit files 0 and 1. An RGB(A) file is a
    label map that some tool re-saved: accepted when all its colours are those of :func:`davis_palette`, or
    all are grey. Raises OSError for a file that is missing or broken, ValueError for any other picture; both
    name the file.
    """
    image = _open(path)
    if image.mode in ("P", "L", "1"):
        return np.array(image).astype(np.uint8, copy=False)
    if image.mode.startswith("I"):
        values = np.array(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"{path}: ids of a label map are 0 to 65535, found {values.min()} to {values.max()}")
        return values.astype(np.uint16)
    if image.mode in ("RGB", "RGBA"):
        return _ids_of_colours(np.array(image.convert("RGB")), path)
    raise ValueError(f"{path}: a picture of mode {image.mode} is no label map; accepted: palette, greyscale, 1 bit")


def write_label_map(path: PathLike, labels: np.ndarray | torch.Tensor) -> None:
    """Write H x W ids: a palette PNG in the DAVIS colours, or 16-bit greyscale where an id is above 255.

    The folder is made if need be, and the file appears complete or not at all. Raises TypeError for values
    that are not integers, ValueError for a wrong shape or ids outside 0 to 65535.
    """
    from PIL import Image

    array = _array(labels)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"a label map is H x W, got shape {array.shape} for {path}")
    if array.dtype.kind not in "bui":
        raise TypeError(f"a label map holds integers, got {array.dtype} for {path}")
    if array.min() < 0 or array.max() > 65535:
        raise ValueError(f"ids of a label map are 0 to 65535, got {array.min()} to {array.max()} for {path}")
    if array.max() > 255:
        _save(Image.fromarray(array.astype(np.uint16)), path)
        return
    image = Image.fromarray(array.astype(np.uint8))
    image.putpalette(davis_palette().tobytes())  # turns greyscale values into palette indices
    _save(image, path)


def read_binary(path: PathLike) -> np.ndarray:
    """The mask of one object, H x W bool: every pixel that is not 0.

    In RGB that means not black, in a palette file an index above 0; transparency is left out of account.
    Raises OSError, naming the file, if it is missing or broken.
    """
    image = _open(path)
    if image.mode in ("RGB", "RGBA", "LA"):
        image = image.convert("L" if image.mode == "LA" else "RGB")
    values = np.array(image) != 0
    return values if values.ndim == 2 else values.any(axis=2)


def write_binary(path: PathLike, mask: np.ndarray | torch.Tensor) -> None:
    """Write an H x W mask, bool or integer (anything but 0 is object), as greyscale 0 / 255.

    The folder is made if need be, and the file appears complete or not at all. Raises TypeError for a
    floating mask (threshold logits first), ValueError for a wrong shape.
    """
    from PIL import Image

    array = _array(mask)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"a mask is H x W, got shape {array.shape} for {path}")
    if array.dtype.kind not in "bui":
        raise TypeError(f"a mask is bool or integer, got {array.dtype} for {path}; compare logits with 0 first")
    _save(Image.fromarray(np.where(array != 0, np.uint8(255), np.uint8(0))), path)


def _array(values: np.ndarray | torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _open(path: PathLike) -> Image.Image:
    """A decoded image; every failure is an OSError that names the file."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises each of them, by the kind of damage
        raise OSError(f"{path}: cannot be read as an image ({error})") from error


def _save(image: Image.Image, path: PathLike) -> None:
    with whole_file(path) as temporary:
        image.save(temporary, format="PNG")


def _ids_of_colours(rgb: np.ndarray, path: PathLike) -> np.ndarray:
    """H x W x 3 uint8 colours of the palette (or greys) -> H x W uint8 ids.

    A level may be off by one: tools round differently.
    """
    packed = (rgb.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(axis=2, dtype=np.uint32)
    values, inverse = np.unique(packed, return_inverse=True)
    colours = np.stack([values >> 16, values >> 8 & 255, values & 255], axis=1).astype(np.int64)
    if len(colours) > 256:
        raise ValueError(f"{path}: an RGB picture with {len(colours)} colours is no label map")
    distance = np.abs(colours[:, None] - davis_palette().astype(np.int64)[None]).max(axis=2)
    if (distance.min(axis=1) > 1).any():
        if (rgb == rgb[..., :1]).all():
            return rgb[..., 0].copy()
        odd = colours[int(distance.min(axis=1).argmax())].tolist()
        raise ValueError(f"{path}: an RGB picture whose colour {odd} is not in the DAVIS palette is no label map")
    return distance.argmin(axis=1).astype(np.uint8)[inverse.reshape(packed.shape)]
