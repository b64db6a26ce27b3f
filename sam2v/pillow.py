"""Opening pictures with Pillow, which tells formats by a file's content, whatever its name says.

Some formats are programs: PostScript (EPS) is run by Ghostscript. Pictures come from strangers, so only photographs and
bitmaps are opened.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

#: Pillow's names of the formats that are opened. For the first five it loads nothing more; JPEG stands for MPO too, and
#: AVIF, which an older Pillow lacks, is last.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "DIB", "JPEG2000", "AVIF")


def open_picture(file: str | os.PathLike[str] | IO[bytes]) -> Image.Image:
    """`PIL.Image.open` for the formats of `FORMATS`; as there, pixels are read later.

    Raises:
        PIL.UnidentifiedImageError: (an OSError) no picture of these formats. Others: as Pillow.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(file, formats=FORMATS)
    except KeyError:  # the last format was tried, and this Pillow lacks it
        raise UnidentifiedImageError(f"cannot identify image file {file!r}") from None
