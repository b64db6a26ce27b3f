"""A folder of images as a video."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from os import PathLike
from pathlib import Path

from sam2v.files import user_path
from sam2v.video.base import check_size
from sam2v.video.cache import CACHE_BYTES
from sam2v.video.frames import image_size, is_image_name, natural_key
from sam2v.video.sequences import SequenceSource

SIZE_CHECKS = 1000
_SAME_KIND = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif", ".dib": ".bmp"}
_WORDS = r"(?:mask|matte|alpha|seg|segmentation|label|annotation|overlay|depth|gt)s?"
_MASK_OF = re.compile(rf"(.+?)[ _.-]+{_WORDS}|{_WORDS}[ _.-]+(.+)", re.IGNORECASE)


class ImageFolder(SequenceSource):
    """The images of a folder in natural order (2 before 10), whatever they are called.

    Files with an image's ending are taken (jpg, png, webp, bmp, tiff, ...); if there are none, every file that Pillow
    recognises. Hidden files are left out, and so are files named as masks of others, which a `UserWarning` says. The
    others must be of one kind: two kinds are two things.

    Raises:
        ValueError: no images, images of several kinds, a file that is no image or holds several, or images of
            different sizes (up to 1000 are compared at once, the others when they are read).
    """

    def __init__(self, path: str | PathLike, fps: float | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        self.path = user_path(path).absolute()
        files = _images_in(user_path(path))
        self._files = [file.name for file in files]
        self._names = names_of(files)
        super().__init__([file.absolute() for file in files], fps, cache_bytes)
        for index in range(0, len(files), -(-len(files) // SIZE_CHECKS)):
            check_size(self, index, image_size(files[index]))
        check_size(self, len(files) - 1, image_size(files[-1]))

    def frame_name(self, index: int) -> str:
        return self._names[index]

    def file_name(self, index: int) -> str:
        return self._files[index]


def _images_in(folder: Path) -> list[Path]:
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    named = [file for file in files if is_image_name(file)]
    images = _without_masks(folder, named) if named else [file for file in files if _looks_like_image(file)]
    if not images:
        raise ValueError(f"{folder}: the folder holds no images (jpg, png, webp, bmp, tiff)")
    kinds = Counter(map(_kind, images))
    if named and len(kinds) > 1:
        found = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        raise ValueError(
            f"{folder}: the folder holds images of several kinds ({found}), and only one can be the video: move the "
            "others elsewhere, or pass a list of the files"
        )
    return sorted(images, key=lambda file: (natural_key(file.stem), file.name))


def _without_masks(folder: Path, images: list[Path]) -> list[Path]:
    """The images that are not named as the mask of another, as f0_mask.png is beside f0.jpg."""
    stems = {file.stem for file in images}
    found = {file: _MASK_OF.fullmatch(file.stem) for file in images}
    masks = [file for file, match in found.items() if match and (match[1] or match[2]) in stems]
    if masks:
        warnings.warn(
            f"{folder}: {len(masks)} images named as masks of others are left out ({min(masks).name}); pass a list of "
            "the files to have them",
            stacklevel=6,
        )
    return [file for file in images if file not in set(masks)]


def _kind(file: Path) -> str:
    suffix = file.suffix.lower()
    return _SAME_KIND.get(suffix, suffix)


def _looks_like_image(file: Path) -> bool:
    try:
        image_size(file)
    except ValueError:
        return False
    return True


def names_of(files: list[Path]) -> list[str]:
    """Names for what is made of pictures: stems, or whole names with the last dot replaced where two files share a
    stem."""
    stems = [file.stem for file in files]
    return stems if len(set(stems)) == len(stems) else ["_".join(file.name.rsplit(".", 1)) for file in files]
