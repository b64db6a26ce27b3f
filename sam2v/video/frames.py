"""One frame from whatever a user has: array, tensor, PIL image or image file, as H x W x 3 uint8 RGB."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
import torch

if TYPE_CHECKING:
    from PIL import Image

FrameLike = Union[np.ndarray, torch.Tensor, "Image.Image", str, os.PathLike]

IMAGE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"]
    + [".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"]
)


def as_frame(frame: FrameLike) -> np.ndarray:
    """Bring one frame to H x W x 3 uint8 RGB.

    Args:
        frame: a PIL image, the path of an image file, or an array or tensor H x W, H x W x C or C x H x W
            with C of 1 (grey), 3 (RGB) or 4 (RGBA, alpha is dropped). uint8 is taken as it is, uint16 is
            divided by 256, bool becomes 0 and 255, floats must lie in [0, 1].

    Returns:
        H x W x 3 uint8, contiguous; the same memory when nothing had to change.

    Raises:
        TypeError: not a frame, or a dtype that has no clear meaning.
        ValueError: a shape that is no image, floats outside [0, 1], or a file that is no image.
        OSError: a file that cannot be read.
    """
    if isinstance(frame, str | os.PathLike):
        return read_image(frame)
    if isinstance(frame, torch.Tensor):
        frame = frame.detach().cpu()
        frame = (frame.float() if frame.is_floating_point() else frame).numpy()  # NumPy knows no bfloat16
    if isinstance(frame, np.ndarray):
        return _to_bytes(_channels_last(frame))
    if hasattr(frame, "getbands") and hasattr(frame, "convert"):  # a PIL image, without importing PIL
        return _from_pil(frame)
    raise TypeError(
        "a frame must be a numpy array, a torch tensor, a PIL image or the path of an image, "
        f"got {type(frame).__name__}"
    )


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image file as H x W x 3 uint8 RGB, upright (its EXIF orientation is applied).

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is empty or holds no image that Pillow reads, or is cut short.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            return _from_pil(ImageOps.exif_transpose(image))
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: {_image_problem(path, error)}") from error


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """(height, width) of an image file as `read_image` returns it; only the header is read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
            exif = Image.Image.getexif(image)  # a PNG's own method would decode the whole picture
            # four EXIF orientations swap the sides; of a TIFF, Pillow gives the size as it is after turning
            turned = image.format != "TIFF" and exif.get(0x0112, 1) >= 5
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: {_image_problem(path, error)}") from error
    return (width, height) if turned else (height, width)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that orders runs of digits by value: frame2 < frame10, 9 < 010."""
    parts = re.split(r"(\d+)", name)
    key = [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in parts if part]
    return [*key, (-1, 0, name)]  # a name comes before those that go on from it


def is_image_name(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _image_problem(path: str | os.PathLike, error: Exception) -> str:
    if os.path.getsize(path) == 0:
        return "the file is empty"
    if "truncated" in str(error).lower():
        return "the image is cut short"
    return "not an image that can be read"


def _from_pil(image: "Image.Image") -> np.ndarray:
    if image.mode == "F":
        return _to_bytes(np.asarray(image))
    if image.mode.startswith("I"):  # 16-bit grey; converting to RGB directly would clip at 255
        return _to_bytes(np.clip(np.asarray(image), 0, 65535).astype(np.uint16))
    return np.array(image.convert("RGB"))


def _channels_last(frame: np.ndarray) -> np.ndarray:
    """H x W x C with C of 1 or 3."""
    shape = frame.shape
    if frame.ndim == 2:
        frame = frame[..., None]
    elif frame.ndim == 3 and shape[-1] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        frame = frame.transpose(1, 2, 0)
    if frame.ndim != 3 or frame.shape[-1] not in (1, 3, 4) or 0 in frame.shape:
        raise ValueError(f"a frame must be H x W x 3 (or H x W, H x W x 4, 3 x H x W), got shape {shape}")
    return frame[..., :3]


def _to_bytes(frame: np.ndarray) -> np.ndarray:
    if frame.dtype == np.uint16:
        frame = (frame >> 8).astype(np.uint8)
    elif frame.dtype == np.bool_:
        frame = frame.astype(np.uint8) * 255
    elif np.issubdtype(frame.dtype, np.floating):
        low, high = float(frame.min()), float(frame.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"a frame of floats must lie in [0, 1], got {low:g} to {high:g}; or pass uint8")
        frame = (frame * 255).round().astype(np.uint8)
    elif frame.dtype != np.uint8:
        raise TypeError(f"a frame must be uint8 (or uint16, bool, floats in [0, 1]), got {frame.dtype}")
    if frame.ndim == 2:
        frame = frame[..., None]
    return np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))
