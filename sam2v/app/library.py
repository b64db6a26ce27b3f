"""The videos that a server offers: files under one folder, uploads, and where their projects are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sam2v.files import inside, read_json, write_text
from sam2v.video.base import FrameSource
from sam2v.video.frames import is_image_name
from sam2v.video.sources import open_source

VIDEO_SUFFIXES = frozenset([".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".ts", ".gif", ".tif", ".tiff", ".webp"])
_MOST, _DEPTH = 1000, 5
_UPLOADS = "uploads"
_PLAIN = re.compile(r"[^\w.-]+")
#: Bytes of an id that is used as it is; a longer one is cut to half of that. Disks take 255.
_LONGEST_ID = 200
#: Bytes at either end of a file that tell it from others.
_ENDS = 1 << 16


@dataclass(frozen=True)
class Video:
    """A video on offer.

    Attributes:
        id: what addresses call it. name: what people call it. path: the file, or the folder of frames.
        has_project: whether it was worked on before.
    """

    id: str
    name: str
    path: Path
    has_project: bool


class Library:
    """Videos under a folder, and the projects made of them.

    Args:
        root: the folder; or one file, or one folder of frames, which is then all that is on offer.
        out: where projects and uploads are; None: "annotations" beside the video.

    Raises:
        FileNotFoundError: no such file or folder.
    """

    def __init__(self, root: Path, out: Path | None = None) -> None:
        if not (root.is_file() or root.is_dir()):
            raise FileNotFoundError(f"{root}: no such file or folder")
        root = root.resolve()
        self.only = root if root.is_file() or _is_frames(root) else None
        self.root = root.parent if self.only else root
        self.out = (out or self.root / "annotations").resolve()
        self._coming: set[Path] = set()  # uploads on their way
        self._lock = threading.Lock()

    def videos(self) -> list[Video]:
        """Everything on offer: uploads, and what is under the folder."""
        found = [self._video(self.only, self.root)] if self.only else []
        places = [self.out / _UPLOADS] + ([] if self.only else [self.root])
        for place in places:
            found += [self._video(path, place) for path in _videos_under(place, self.out)]
        return found[:_MOST]

    def video(self, id: str) -> Video:
        """The video of an id; KeyError if none on offer has it."""
        for video in self.videos():
            if video.id == id:
                return video
        raise KeyError(f"there is no video {id[:80]!r}")

    def folder(self, video: Video) -> Path:
        """Where a video's project is."""
        return inside(self.out, video.id)

    def open(self, video: Video) -> FrameSource:
        """A video's frames; its project remembers which video it is of.

        Raises:
            ValueError: not a video, or another one than the project was made of.
        """
        source = open_source(video.path)
        try:
            remember_video(self.folder(video), source)
        except BaseException:
            source.close()
            raise
        return source

    @contextlib.contextmanager
    def upload(self, name: str) -> Iterator[Path]:
        """Where an upload of a name goes: a new file, which no other upload gets as long as the block lasts.

        Raises:
            ValueError: the name's ending is not that of a video, or there are as many uploads as are on offer.
        """
        name = _PLAIN.sub("_", Path(name.replace("\\", "/")).name)
        name = name.encode()[-100:].decode(errors="ignore").lstrip(".")
        path = Path(name)
        if path.suffix.lower() not in VIDEO_SUFFIXES or not path.stem:
            accepted = ", ".join(sorted(VIDEO_SUFFIXES))
            raise ValueError(f"{name or 'the file'}: not a video file that can be uploaded; accepted: {accepted}")
        number = 1
        with self._lock:
            self._check_room()
            while (target := inside(self.out / _UPLOADS, name)).exists() or target in self._coming:
                number += 1
                name = f"{path.stem}-{number}{path.suffix}"
            self._coming.add(target)
        try:
            yield target
        finally:
            self._coming.discard(target)

    def uploaded(self, path: Path) -> Video:
        """What is on offer once an upload is where `upload` said."""
        return self._video(path, self.out / _UPLOADS)

    def _check_room(self) -> None:
        """Raise ValueError if one more upload would not be on offer."""
        most = _MOST - (self.only is not None)
        if sum(1 for _ in _videos_under(self.out / _UPLOADS, self.out)) + len(self._coming) >= most:
            raise ValueError(f"{most} videos have been uploaded, which is the most: take some away")

    def _video(self, path: Path, place: Path) -> Video:
        name = path.relative_to(place).as_posix()
        where = f"{_UPLOADS}/{name}" if place == self.out / _UPLOADS else name
        id = _PLAIN.sub("_", where)
        if len(id.encode()) > _LONGEST_ID:
            id = id.encode()[: _LONGEST_ID // 2].decode(errors="ignore")
        if id != where or id == _UPLOADS:
            id += "-" + hashlib.sha256(where.encode(errors="surrogateescape")).hexdigest()[:8]
        return Video(id, name.encode(errors="replace").decode(), path, (self.out / id / "project.json").is_file())


def _videos_under(place: Path, without: Path) -> Iterator[Path]:
    """Videos and folders of frames below a folder, by name; hidden ones, links and what is deep inside left out."""
    count = 0
    for folder, below, names in os.walk(place):
        here = Path(folder)
        below[:] = sorted(
            n for n in below if not n.startswith(".") and here / n != without and not (here / n).is_symlink()
        )
        if len(here.relative_to(place).parts) >= _DEPTH:
            below.clear()
        for name in list(below):
            if _is_frames(here / name):
                below.remove(name)
                yield here / name
        for name in sorted(names):
            path = here / name
            if path.suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".") and not path.is_symlink():
                yield path
                count += 1
        if count >= _MOST:
            return


def remember_video(folder: Path, source: FrameSource) -> None:
    """Have a project's folder say which video it is of.

    Raises:
        ValueError: it says that it is of another one. OSError: it cannot be written.
    """
    about = {"format": 1, "video": str(source.path or ""), "size": list(source.size), "frames": len(source)}
    if source.path is not None:
        about["fingerprint"] = _fingerprint(source.path)
    record = folder / "project.json"
    if not record.exists():
        write_text(record, json.dumps(about, indent=1) + "\n")
        return
    try:
        known = read_json(record)
        same = all(known[key] == about[key] for key in ("size", "frames"))
        prints = {one["fingerprint"] for one in (known, about) if "fingerprint" in one}  # older ones have none
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{record}: not the record of a project") from None
    if not same or len(prints) > 1:
        raise ValueError(
            f"{source.path or 'the video'}: not the video that the project in {folder} was made of; put that one back, "
            "or work in another folder"
        )


def _fingerprint(path: Path) -> str:
    """Tells a video from others of the same size and length, without reading all of it."""
    found = hashlib.sha256()
    if path.is_dir():
        pictures = sorted((e.name, e.stat().st_size) for e in os.scandir(path) if is_image_name(Path(e.name)))
        found.update(repr(pictures).encode())
    else:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            found.update(str(size).encode())
            for start in (0, max(0, size - _ENDS)):
                file.seek(start)
                found.update(file.read(_ENDS))
    return found.hexdigest()[:32]


def _is_frames(folder: Path) -> bool:
    """Whether a folder holds the frames of a video: several pictures, and no film among them."""
    pictures = 0
    with contextlib.ExitStack() as stack:
        try:
            entries = stack.enter_context(os.scandir(folder))
        except OSError:  # private, gone meanwhile, on a disk that does not answer: it is not on offer then
            return False
        for number, entry in enumerate(entries):
            suffix = Path(entry.name).suffix.lower()
            if suffix in VIDEO_SUFFIXES and suffix not in (".tif", ".tiff", ".webp"):
                return False
            pictures += is_image_name(Path(entry.name))
            if number >= 200:
                break
    return pictures >= 2
