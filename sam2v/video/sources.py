"""`open_source`: one door for everything that can be tracked."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any, BinaryIO, Literal, get_args

import numpy as np

from sam2v.arrays import is_torch_array
from sam2v.files import user_path
from sam2v.video.base import EndOfVideo, FrameDropped, FrameSource
from sam2v.video.cache import CACHE_BYTES
from sam2v.video.file import VideoFile
from sam2v.video.folder import ImageFolder
from sam2v.video.frames import FrameLike, as_frame, is_image_name
from sam2v.video.media import MediaFile, is_file_object
from sam2v.video.pictures import kind_of
from sam2v.video.sequences import ArraySource, SequenceSource
from sam2v.video.stack import PictureFile
from sam2v.video.streams import OpenVideo
from sam2v.video.windows import LiveSource, StreamSource

__all__ = [
    "ArraySource",
    "EndOfVideo",
    "FrameDropped",
    "FrameLike",
    "FrameSource",
    "ImageFolder",
    "LiveSource",
    "PictureFile",
    "SequenceSource",
    "StreamSource",
    "VideoFile",
    "as_frame",
    "open_source",
]

VideoDecoderName = Literal["pyav", "torchcodec"]
ACCEPTED = (
    "a video file, a folder of images, an array or tensor T x H x W x 3, "
    "a list of arrays, PIL images or paths, an iterator of frames, or an open binary file such as io.BytesIO"
)


def open_source(
    source: Any,
    fps: float | None = None,
    cache_bytes: int = CACHE_BYTES,
    stream: int | None = None,
    decoder: VideoDecoderName = "pyav",
    decoder_device: str | None = None,
) -> FrameSource:
    """Open whatever holds a video as a `FrameSource`. Nothing is decoded beyond the first frame.

    Args:
        source: path of a video file (mp4, webm, mov, avi, ...), of a file of pictures (TIFF stack, GIF, WebP, one
            image) or of a folder of images; such a file that is open in binary mode (an upload, `io.BytesIO`); array
            or tensor T x H x W x 3; list or other sequence of arrays, tensors, PIL images or paths; an iterator or
            generator of frames; or a `FrameSource`, which is returned as it is.
        fps: frames per second of a source that does not know its own, above 0.
        cache_bytes: decoded frames kept by files and folders.
        stream: number of the stream of a video file that has several; None takes the best.
        decoder: what decodes a video file: "pyav", which reads every file that FFmpeg does, or "torchcodec", see
            `TorchcodecFile`.
        decoder_device: for torchcodec, where it decodes: "cpu" (None), or "cuda" for NVDEC.

    Raises:
        ImportError: torchcodec is asked for, and is not there.
        FileNotFoundError: no such file or folder.
        ValueError: nothing in it that can be tracked; the message names the file and what is wrong with it.
        TypeError: none of the accepted kinds.
    """
    if decoder not in get_args(VideoDecoderName):
        raise ValueError(f"unknown decoder {decoder!r}; accepted: {', '.join(get_args(VideoDecoderName))}")
    if fps is not None and not 0 < fps < math.inf:
        raise ValueError(f"fps must be a number above 0, got {fps}")
    if decoder_device is not None and decoder == "pyav":
        raise ValueError("decoder_device is for decoder='torchcodec': PyAV decodes on the CPU")
    if isinstance(source, str | os.PathLike) or is_file_object(source):
        return _open_file(source, fps, cache_bytes, stream, decoder, decoder_device)
    if stream is not None:
        raise ValueError(f"stream chooses among those of a video file, {type(source).__name__} has none")
    if isinstance(source, FrameSource):
        return source
    if isinstance(source, np.ndarray) or is_torch_array(source):
        return ArraySource(source, fps)
    if isinstance(source, bytes | bytearray | memoryview | dict | set):
        raise _not_a_source(source)
    if isinstance(source, Sequence) or (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
        return SequenceSource(source, fps, cache_bytes)
    if isinstance(source, Iterable):
        return StreamSource(source, fps)
    raise _not_a_source(source)


def _not_a_source(source: object) -> TypeError:
    hint = " (wrap bytes in io.BytesIO)" if isinstance(source, bytes | bytearray | memoryview) else ""
    return TypeError(f"cannot open a video from {type(source).__name__}{hint}; accepted: {ACCEPTED}")


def _open_file(
    source: str | os.PathLike | BinaryIO,
    fps: float | None,
    cache_bytes: int,
    stream: int | None,
    decoder: VideoDecoderName,
    device: str | None,
) -> FrameSource:
    if isinstance(source, str | os.PathLike):
        path = user_path(source)
        if path.is_dir() and stream is None:
            return ImageFolder(path, fps, cache_bytes)
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
    media = MediaFile(source)
    if _holds_pictures(media):
        if stream is not None:
            raise ValueError(f"{media.name}: stream chooses among those of a video file, this one holds pictures")
        return PictureFile(media, fps, cache_bytes)
    video: FrameSource
    if decoder == "torchcodec":
        from sam2v.video.torchcodec_file import TorchcodecFile

        video = TorchcodecFile(media, cache_bytes, stream, device)
    else:
        video = VideoFile(media, cache_bytes, stream)
    video.fps = video.fps or fps
    return video


def _holds_pictures(media: MediaFile) -> bool:
    """Whether a file holds images and no video, by its ending, or by its first bytes where it has another one."""
    if media.path is not None and is_image_name(media.path):
        return True
    kind = kind_of(media)
    if kind != "JPEG":
        return kind is not None
    with closing(OpenVideo(media)) as video:
        return video.format_name != "mjpeg"  # many JPEGs in a row
