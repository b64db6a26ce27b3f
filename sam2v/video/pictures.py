"""Files of one picture or several: photographs, TIFF stacks, animations."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import Self

from sam2v.pillow import open_picture
from sam2v.video.media import FileLike, MediaFile
from sam2v.video.pixels import from_pil

if TYPE_CHECKING:
    from PIL import Image
    from PIL.TiffImagePlugin import TiffImageFile

_INDEPENDENT = frozenset({"TIFF", "MPO"})
_BROKEN = (OSError, SyntaxError, EOFError, struct.error)
_KIND_OF_PAGE, _DESCRIPTION, _ORIENTATION = 254, 270, 274  # tags of TIFF and EXIF
_PREVIEW_OR_MASK = 1 | 4
_FIRST_BYTES = {
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # beyond 4 GB
    b"MM\0+": "TIFF",
}


class Pictures:
    """The pictures of a file that is open. Not locked: its owner locks.

    What only accompanies a picture is not counted: previews, masks and depth maps in photographs and TIFF files, and
    the picture that an animated PNG shows where it cannot be played.

    Args:
        source: the file.

    Attributes:
        name: what messages call the file.
        format: Pillow's name of the format.
        is_sequential: whether a picture builds on those before it, so that going back starts again.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is empty, holds no image that Pillow reads, is cut short or too large.
    """

    def __init__(self, source: FileLike | MediaFile) -> None:
        media = MediaFile.of(source)
        self.name = media.name
        self._file = media.open()
        try:
            with self._naming():
                self._image = open_picture(self._file)
                self.format = self._image.format or ""
                self._pages = _pages(self._image)
            self.is_sequential = self.format not in _INDEPENDENT and len(self._pages) > 1
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._pages)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the current picture, upright; nothing is decoded for it."""
        from PIL import Image

        width, height = self._image.size
        with self._naming():
            exif = Image.Image.getexif(self._image)  # a PNG's own method would decode the whole picture
        # four EXIF orientations swap the sides; of a TIFF, Pillow gives the size as it is after turning
        turned = self.format != "TIFF" and exif.get(_ORIENTATION, 1) >= 5
        return (width, height) if turned else (height, width)

    @property
    def duration(self) -> float:
        """How long the picture that was read last is shown, in seconds; 0 if the file does not tell."""
        return float(self._image.info.get("duration") or 0) / 1000

    def read(self, page: int = 0) -> np.ndarray:
        """A picture, H x W x 3 uint8, upright (its EXIF orientation is applied).

        Raises:
            ValueError: there is no such picture, it is cut short or too large, or its values have no clear scale.
        """
        from PIL import ImageOps

        if not 0 <= page < len(self):
            raise ValueError(f"{self.name}: there is no page {page}, the file has {len(self)} (0 to {len(self) - 1})")
        with self._naming(page):
            if self.is_sequential and self._pages[page] < self._image.tell():
                self._image = open_picture(self._file)  # Pillow's own way back fails in some animations
            self._image.seek(self._pages[page])
            if self.is_sequential:  # the next picture builds on this one
                return from_pil(ImageOps.exif_transpose(self._image))
            ImageOps.exif_transpose(self._image, in_place=True)
            return from_pil(self._image)

    def only_page(self) -> int:
        """The page of the only picture. Raises ValueError if there are several."""
        if len(self) > 1:
            raise ValueError(
                f"{self.name}: the file holds {len(self)} pictures: name one by its page, 0 to {len(self) - 1}, or "
                "take the file as a video"
            )
        return 0

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def _naming(self, page: int | None = None) -> Iterator[None]:
        """Errors of Pillow become one that names the file, and the page if there are several."""
        from PIL import Image

        where = self.name if page is None or len(self) == 1 else f"{self.name}, page {page}"
        try:
            yield
        except Image.DecompressionBombError as error:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
            raise ValueError(f"{where}: the image is too large, Pillow reads {most} million pixels") from error
        except _BROKEN as error:
            is_cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
            problem = "the image is cut short" if is_cut else "not an image that can be read"
            raise ValueError(f"{where}: {problem}") from error
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error


def kind_of(media: MediaFile) -> str | None:
    """Which of the formats that hold one picture or several a file has, by its first bytes; None if none of them."""
    with media.open() as file:
        start = file.read(12)
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return "WEBP"
    if start[4:] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    return next((kind for first, kind in _FIRST_BYTES.items() if start.startswith(first)), None)


def _pages(image: Image.Image) -> Sequence[int]:
    """Which of the pictures in a file are frames."""
    from PIL.TiffImagePlugin import TiffImageFile

    pages = range(getattr(image, "n_frames", 1))
    if isinstance(image, TiffImageFile):
        _refuse_hidden_pages(image, len(pages))
        return _without_previews(image, pages)
    if image.format == "PNG" and getattr(image, "default_image", False):
        return pages[1:]
    return _of_one_size(image, pages) if image.format == "MPO" else pages


def _of_one_size(image: Image.Image, pages: range) -> list[int]:
    """The pages as large as the first: what telephones add to a photograph is smaller."""
    found = [0]
    for page in pages[1:]:
        with suppress(ValueError, *_BROKEN):
            first = image.size
            image.seek(page)
            if image.size == first:
                found.append(page)
        image.seek(0)
    return found


def _without_previews(image: TiffImageFile, pages: range) -> Sequence[int]:
    """All pages, or those that are no previews and masks, where the second one is."""

    def is_frame(page: int) -> bool:
        image.seek(page)
        return not image.tag_v2.get(_KIND_OF_PAGE, 0) & _PREVIEW_OR_MASK

    if len(pages) == 1:
        return pages
    found = pages if is_frame(1) else [page for page in pages if is_frame(page)]
    image.seek(0)
    return found


def _refuse_hidden_pages(image: TiffImageFile, count: int) -> None:
    """ImageJ writes stacks beyond 4 GB as one page, behind which the others follow without a word to other readers."""
    text = str(image.tag_v2.get(_DESCRIPTION, ""))
    announced = re.search(r"^images=(\d+)", text, re.MULTILINE) if text.startswith("ImageJ=") else None
    if announced and int(announced[1]) > count:
        raise ValueError(
            f"an ImageJ stack of {announced[1]} pictures, of which other programs see {count}: save it as an image "
            "sequence or as an AVI"
        )
