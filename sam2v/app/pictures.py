"""Frames as pages get them."""

from __future__ import annotations

import io

import numpy as np


def encoded(picture: np.ndarray) -> tuple[bytes, str]:
    """A picture H x W x 3 uint8 as JPEG, or with alpha as PNG: its bytes, and their type."""
    from PIL import Image

    buffer = io.BytesIO()
    if picture.shape[2] == 4:
        Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue(), "image/png"
    Image.fromarray(picture).save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue(), "image/jpeg"
