"""`open_source`: one door for everything that can be tracked."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sam2v.video.base import CACHE_BYTES, EndOfVideo, FrameDropped, FrameSource
from sam2v.video.file import VideoFile
from sam2v.video.frames import FrameLike, as_frame, is_image_name
from sam2v.video.sequences import STREAM_WINDOW, ArraySource, ImageFile, ImageFolder, SequenceSource, StreamSource

__all__ = [
    "ArraySource",
    "EndOfVideo",
    "FrameDropped",
    "FrameLike",
    "FrameSource",
    "ImageFolder",
    "SequenceSource",
    "StreamSource",
    "VideoFile",
    "as_frame",
    "open_source",
]

ACCEPTED = (
    "a video file, a folder of images, an array or tensor T x H x W x 3, "
    "a list of arrays, PIL images or paths, or an iterator of frames"
)


def open_source(source: Any, fps: float | None = None, cache_bytes: int = CACHE_BYTES) -> FrameSource:
    """Open whatever holds a video as a `FrameSource`. Nothing is decoded beyond the first frame.

    Args:
        source: path of a video file (mp4, webm, mov, gif, ...) or of a folder of images; array or tensor
            T x H x W x 3; list or other sequence of arrays, tensors, PIL images or paths; an iterator or
            generator of frames; or a `FrameSource`, which is returned as it is.
        fps: frames per second of a source that does not know its own.
        cache_bytes: decoded frames kept by files and folders.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: nothing in it that can be tracked; the message names the file and what is wrong with it.
        TypeError: none of the accepted kinds.
    """
    if isinstance(source, FrameSource):
        return source
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source), fps, cache_bytes)
    if isinstance(source, np.ndarray | torch.Tensor):
        return ArraySource(source, fps)
    if isinstance(source, bytes | bytearray | memoryview | dict | set):
        raise _not_a_source(source)
    if isinstance(source, Sequence) or (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
        return SequenceSource(source, fps, cache_bytes)
    if isinstance(source, Iterable):
        return StreamSource(source, fps, STREAM_WINDOW)
    raise _not_a_source(source)


def _not_a_source(source: object) -> TypeError:
    return TypeError(f"cannot open a video from {type(source).__name__}; accepted: {ACCEPTED}")


def _open_path(path: Path, fps: float | None, cache_bytes: int) -> FrameSource:
    if path.is_dir():
        return ImageFolder(path, fps, cache_bytes)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if is_image_name(path):  # one image is a video of one frame
        return ImageFile(path, fps)
    source = VideoFile(path, cache_bytes)
    source.fps = source.fps or fps
    return source
