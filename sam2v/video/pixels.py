"""Pixels of any kind as H x W x 3 uint8."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

DARK = (
    "a 16-bit picture uses less than a sixteenth of its range: 16-bit values are divided by 256, for all frames alike, "
    "so that it becomes nearly black; scale the pictures to the whole range"
)


def from_pil(image: Image.Image) -> np.ndarray:
    """The pixels of a PIL image of any mode, H x W x 3 uint8. What is transparent keeps its colour."""
    if image.mode == "F":
        return to_bytes(np.asarray(image))
    if not image.mode.startswith("I"):
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    values = np.asarray(image)  # 16-bit grey; Pillow's own conversion to RGB would clip it at 255
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"a picture of integers must lie in [0, 65535], got {low} to {high}; scale it to 8 or 16 bits")
    return to_bytes(values.astype(np.uint16))


def channels_last(frame: np.ndarray) -> np.ndarray:
    """H x W x C with C of 1 or 3, from H x W, H x W x C or C x H x W."""
    shape = frame.shape
    if frame.ndim == 2:
        frame = frame[..., None]
    elif frame.ndim == 3 and shape[-1] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        frame = frame.transpose(1, 2, 0)
    if frame.ndim != 3 or frame.shape[-1] not in (1, 3, 4) or 0 in frame.shape:
        raise ValueError(f"a frame must be H x W x 3 (or H x W, H x W x 4, 3 x H x W), got shape {shape}")
    return frame[..., :3]


def to_bytes(frame: np.ndarray) -> np.ndarray:
    """H x W or H x W x C of any type that has a clear meaning, as H x W x 3 uint8, by the same scale for every frame.

    uint8 is taken as it is, uint16 is divided by 256, bool becomes 0 and 255, floats must lie in [0, 1].
    """
    frame = frame.astype(frame.dtype.newbyteorder("="), copy=False)
    if frame.dtype == np.uint16:
        if 0 < frame.max() < 4096:
            warnings.warn(DARK, stacklevel=3)
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
