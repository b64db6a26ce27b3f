"""One frame from whatever a user has: array, tensor, PIL image or image file, as H x W x 3 uint8 RGB."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Union, cast

import numpy as np

from sam2v.arrays import is_torch_array, to_numpy
from sam2v.video.media import is_file_object
from sam2v.video.pictures import Pictures
from sam2v.video.pixels import channels_last, from_pil, to_bytes

if TYPE_CHECKING:
    import torch
    from PIL import Image

FrameLike = Union[np.ndarray, "torch.Tensor", "Image.Image", str, os.PathLike, BinaryIO]

IMAGE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"]
    + [".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".mpo"]
)


def as_frame(frame: FrameLike) -> np.ndarray:
    """Bring one frame to H x W x 3 uint8 RGB.

    Args:
        frame: a PIL image, the path of an image file or an image file that is open, or an array or tensor H x W,
            H x W x C or C x H x W with C of 1 (grey), 3 (RGB) or 4 (RGBA, alpha is dropped). uint8 is taken as it is,
            uint16 is divided by 256, bool becomes 0 and 255, floats must lie in [0, 1].

    Returns:
        H x W x 3 uint8, contiguous; the same memory when nothing had to change.

    Raises:
        TypeError: not a frame, or a dtype that has no clear meaning.
        ValueError: a shape that is no image, floats outside [0, 1], or a file that is no image or holds several.
        OSError: a file that cannot be read.
    """
    if is_torch_array(frame):
        frame = to_numpy(frame.float() if frame.is_floating_point() else frame)
    if isinstance(frame, np.ndarray):
        return to_bytes(channels_last(frame))
    if hasattr(frame, "getbands") and hasattr(frame, "convert"):  # a PIL image, without importing PIL
        return from_pil(cast("Image.Image", frame))
    if isinstance(frame, str | os.PathLike) or is_file_object(frame):
        return read_image(frame)
    raise TypeError(
        "a frame must be a numpy array, a torch tensor, a PIL image or the path of an image, "
        f"got {type(frame).__name__}"
    )


def read_image(path: str | os.PathLike | BinaryIO, page: int | None = None) -> np.ndarray:
    """Read an image file as H x W x 3 uint8 RGB, upright (its EXIF orientation is applied).

    Args:
        path: the file, or an image file that is open in binary mode.
        page: which of its pictures, from 0; needed where there are several (a TIFF stack, an animation).

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is empty, holds no image that Pillow reads, is cut short or too large; or it holds several
            pictures and none is named, or not the one that is.
    """
    with Pictures(path) as pictures:
        return pictures.read(pictures.only_page() if page is None else page)


def image_size(path: str | os.PathLike | BinaryIO) -> tuple[int, int]:
    """(height, width) of an image file as `read_image` returns it; only the header is read."""
    with Pictures(path) as pictures:
        pictures.only_page()
        return pictures.size


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that orders runs of digits by value: frame2 < frame10, 9 < 010."""
    parts = re.split("([0-9]+)", name)  # text and digits in turn; of digits, the longer number is the larger one
    runs = [(part.lstrip("0"), number % 2 == 1) for number, part in enumerate(parts) if part]
    key = [(0, len(run), run) if digits else (1, 0, run.lower()) for run, digits in runs]
    return [*key, (-1, 0, name)]  # a name comes before those that go on from it


def is_image_name(path: Path) -> bool:
    """Whether the name's ending is that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES
