"""Masks in pictures: label maps (one id per pixel) and masks of one object, as people, tools and data sets have them.

Written as PNG; read from whatever Pillow opens. `sam2v.masks.grey` says what the values of a picture mean.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from sam2v.files import whole_file
from sam2v.masks.bounds import check_picture
from sam2v.masks.grey import is_mask, is_small, objects_in, one_object, present
from sam2v.masks.palette import davis_palette
from sam2v.masks.pictures import picture_values

if TYPE_CHECKING:
    import torch
    from PIL import Image

    PathLike = str | os.PathLike[str]


def read_label_map(path: PathLike) -> np.ndarray:
    """Object ids of a label map, H x W uint8 (uint16 for a 16-bit file), 0 = background.

    Palette files give their indices, greyscale files their values, 1-bit files 0 and 1. Colours must be those of
    `davis_palette`: then some tool saved a label map anew.

    Raises:
        OSError: a file that is missing or broken. ValueError: any other picture. Both name the file.
    """
    return picture_values(path, single=False)


def read_binary(path: PathLike) -> np.ndarray:
    """The mask of one object, H x W bool; a picture of several objects gives all of them together.

    Black and white pictures are split at half of their range, so that soft edges and the noise of JPEG count as what
    they are nearer to. In other pictures, palettes and 1-bit files everything but 0 is the object. A picture whose
    transparency says something is a cut-out: what is not transparent is the object.

    Raises:
        OSError: a file that is missing or broken. ValueError: a picture that is no mask, such as a photograph, or that
            holds two masks, one in its colours and one in its transparency. Both name the file.
    """
    return one_object(picture_values(path, single=True))


def read_objects(path: PathLike) -> dict[int, np.ndarray]:
    """The objects of a picture by id, each H x W bool: those of a label map, or the one of a mask, as object 1.

    In a label map of 8 bits with small numbers 255 is void.

    Raises:
        OSError, ValueError: as `read_binary`; also an empty picture, or one of more objects or bytes of masks than
            `sam2v.masks.bounds` accepts.
    """
    values = picture_values(path, single=True)
    if is_mask(values):
        found = {1: one_object(values)}
    else:  # numbers that are spread over the whole range, so as to be seen, reach 255
        numbers = objects_in(values)
        shown = numbers if is_small(numbers) else present(values)
        check_picture(path, len(shown), values.shape)
        found = {obj: values == obj for obj in shown}
    if not any(mask.any() for mask in found.values()):
        raise ValueError(f"{path}: the mask is empty, no pixel of it is an object")
    return found


def write_label_map(path: PathLike, labels: np.ndarray | torch.Tensor) -> None:
    """Write H x W ids: a palette PNG in the DAVIS colours, or 16-bit greyscale for uint16 and where an id is above 255.

    The folder is made if need be, and the file appears complete or not at all.

    Raises:
        TypeError: values that are not integers. ValueError: a wrong shape, or ids outside 0 to 65535.
    """
    from PIL import Image

    array = _array(labels, "label map", path)
    if array.min() < 0 or array.max() > 65535:
        raise ValueError(f"ids of a label map are 0 to 65535, got {array.min()} to {array.max()} for {path}")
    if array.dtype == np.uint16 or array.max() > 255:
        _save(Image.fromarray(array.astype(np.uint16)), path)
        return
    image = Image.fromarray(array.astype(np.uint8))
    image.putpalette(davis_palette().tobytes())  # turns greyscale values into palette indices
    _save(image, path)


def write_binary(path: PathLike, mask: np.ndarray | torch.Tensor) -> None:
    """Write an H x W mask, bool or integer (anything but 0 is object), as greyscale 0 / 255.

    The folder is made if need be, and the file appears complete or not at all.

    Raises:
        TypeError: a floating mask (threshold logits first). ValueError: a wrong shape.
    """
    from PIL import Image

    array = _array(mask, "mask", path)
    _save(Image.fromarray(np.where(array != 0, np.uint8(255), np.uint8(0))), path)


def _array(values: np.ndarray | torch.Tensor, what: str, path: PathLike) -> np.ndarray:
    array = values if isinstance(values, np.ndarray) else values.detach().cpu().numpy()
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"a {what} is H x W, got shape {array.shape} for {path}")
    if array.dtype.kind not in "bui":
        raise TypeError(f"a {what} holds integers, got {array.dtype} for {path}; compare logits with 0 first")
    return array


def _save(image: Image.Image, path: PathLike) -> None:
    with whole_file(path) as temporary:
        # runs of equal values are all there is to find in a mask: twice as fast as the default, and smaller
        image.save(temporary, format="PNG", compress_type=3)
