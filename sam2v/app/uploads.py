"""Taking files from strangers: bounded, checked by really opening them, and absent unless they are videos."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from pathlib import Path

from sam2v.files import whole_file
from sam2v.pillow import open_picture
from sam2v.video.media import MediaFile
from sam2v.video.pictures import kind_of
from sam2v.video.sources import open_source
from sam2v.video.streams import OpenVideo

#: Bytes that an upload may have, and pixels that a frame may have.
MOST_BYTES, MOST_PIXELS = 4 * 2**30, 64 * 2**20


async def receive(chunks: AsyncIterator[bytes], path: Path, most: int = MOST_BYTES) -> None:
    """Write an upload to a file, which is there only when it is whole and a video.

    Raises:
        ValueError: too large, or not a video. OSError: it cannot be written.
    """
    from starlette.concurrency import run_in_threadpool

    with whole_file(path) as temporary:
        size = 0
        with temporary.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > most:
                    raise ValueError(
                        f"{path.name}: larger than {most / 2**20:g} MiB, which is the most that is accepted"
                    )
                await run_in_threadpool(file.write, chunk)
        try:
            await run_in_threadpool(check_video, temporary)
        except (ValueError, OSError) as error:
            raise ValueError(str(error).replace(str(temporary), path.name)) from None


def check_video(path: Path) -> None:
    """Open a file as a video and decode its first frame, but only if its frames are of a size that one can have.

    Raises:
        ValueError: it is no video, or its frames are too large.
    """
    media = MediaFile(path)
    width, height = _size(media)
    if width * height > MOST_PIXELS:
        raise ValueError(f"{path}: frames of {width} x {height} pixels are larger than is accepted")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        open_source(path).close()


def _size(media: MediaFile) -> tuple[int, int]:
    """(width, height) by the file's head, without decoding anything."""
    if kind_of(media) is not None:
        from PIL import Image, UnidentifiedImageError

        try:
            with media.open() as file, open_picture(file) as image:
                return image.size
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
            raise ValueError(f"{media.name}: not a picture that can be read ({error})") from None
    video = OpenVideo(media)
    try:
        context = video.stream.codec_context
        return context.width, context.height
    finally:
        video.close()
