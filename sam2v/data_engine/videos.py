"""Which videos a project is made of: files and folders of frames, under names that are safe as names of folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from sam2v.video.frames import is_image_name

SUFFIXES = frozenset([".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".ts", ".gif"])
_ODD = re.compile(r"[^\w.-]+")
_SAFE = re.compile(r"[\w-][\w.-]*")
_LONGEST, _DEPTH = 80, 5


def named(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    """(name, absolute path) of all videos at some places; nothing is opened.

    A place is a file, a folder of frames, or a folder that holds such. Hidden files and links in folders are left out.

    Raises:
        FileNotFoundError: no such place, or no video there. ValueError: a file that no video can be called.
    """
    found: dict[Path, str] = {}
    for place in paths:
        place = Path(os.path.abspath(place))  # one video has one name, whichever way leads to it
        if not place.exists():
            raise FileNotFoundError(f"{place}: no such file or folder")
        here = list(_videos(place, 0))
        if not here:
            raise FileNotFoundError(f"{place}: no video in it; accepted: {', '.join(sorted(SUFFIXES))}, frames")
        for path in here:
            try:
                str(path).encode()
            except UnicodeEncodeError:
                raise ValueError(f"{str(path)!r}: the name is no text; rename it") from None
            found.setdefault(path, safe_name(path.name if path.is_dir() else path.stem))
    return [(name, path) for path, name in found.items()]


def safe_name(text: str) -> str:
    """Letters, digits, `_`, `.` and `-`, at most 80 of them, not hidden and never empty."""
    return _ODD.sub("_", text).lstrip(".")[:_LONGEST].rstrip(".") or "video"


def is_safe_name(name: object) -> bool:
    """Whether something is a name as `safe_name` makes them, with a number behind it or not."""
    return isinstance(name, str) and _SAFE.fullmatch(name) is not None


def _videos(place: Path, depth: int) -> Iterator[Path]:
    if place.is_file():
        if depth == 0 or place.suffix.lower() in SUFFIXES:
            yield place
        return
    if not place.is_dir():  # a pipe, say
        return
    children = sorted(path for path in place.iterdir() if not path.name.startswith(".") and not path.is_symlink())
    if not any(path.suffix.lower() in SUFFIXES for path in children) and any(
        is_image_name(path) and path.is_file() for path in children
    ):
        yield place
    elif depth < _DEPTH:
        for path in children:
            yield from _videos(path, depth + 1)
