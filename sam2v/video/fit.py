"""Frames at the size that the network takes: the one place where they are resized."""

from __future__ import annotations

import math

import numpy as np

from sam2v.arrays import Array, Device, is_torch_array, namespace, on_device, resized


def fit(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a frame by Pillow's bicubic filter, as the released models expect of a video's frames.

    Args:
        frame: H x W x 3 uint8.
        size: (height, width) wanted; the aspect ratio is not kept.

    Returns:
        h x w x 3 uint8; the frame itself if it has that size.
    """
    from PIL import Image

    if frame.shape[:2] == tuple(size):
        return frame
    height, width = size
    image = Image.fromarray(np.ascontiguousarray(frame))
    return np.array(image.resize((width, height), Image.Resampling.BICUBIC))


def fit_on_device(frames: Array, size: tuple[int, int]) -> Array:
    """Resize frames where they are, by a bicubic filter with antialiasing.

    It is `fit` up to one of 255 steps, where sums are rounded the other way.

    Args:
        frames: B x H x W x 3 uint8 on any device.
        size: (height, width) wanted.

    Returns:
        B x h x w x 3 uint8 there; the frames themselves if they have that size.
    """
    if tuple(frames.shape[1:3]) == tuple(size):
        return frames
    if not is_torch_array(frames):
        return np.stack([fit(frame, size) for frame in frames])
    from sam2v.arrays.torch_kind import bicubic

    return bicubic(frames, size)


def aspect_size(video_size: tuple[int, int], longest: int, multiple: int = 32) -> tuple[int, int]:
    """The size of a network's input that keeps a video's aspect ratio, as nearly as the network's strides allow.

    Args:
        video_size: (height, width) of the video.
        longest: the longer side wanted, a multiple of `multiple`.
        multiple: what both sides have to be a multiple of.

    Returns:
        (height, width).

    Raises:
        ValueError: `longest` is no positive multiple.
    """
    if longest < multiple or longest % multiple:
        raise ValueError(f"the longer side must be a positive multiple of {multiple}, got {longest}")
    height, width = video_size
    exact = longest * min(height, width) / max(height, width)
    shorter = min(range(multiple, longest + 1, multiple), key=lambda side: abs(math.log(side / exact)))
    return (shorter, longest) if height < width else (longest, shorter)


def fit_photograph(frame: np.ndarray, size: tuple[int, int], device: Device) -> Array:
    """H x W x 3 uint8 to h x w x 3 float32 in [0, 1] on a device, `size` being (h, w): bilinear with antialiasing,
    never rounded to 8 bits. SAM 2 brings photographs to its input's size in this way and videos' frames by `fit`, and
    the network sees the difference (logits move by about 3)."""
    pixels = on_device(np.array(frame), device)
    xp = namespace(pixels)
    pixels = xp.astype(xp.permute_dims(pixels, (2, 0, 1)), xp.float32)
    pixels /= 255
    return xp.permute_dims(resized(pixels[None], size, antialias=True)[0], (1, 2, 0))
