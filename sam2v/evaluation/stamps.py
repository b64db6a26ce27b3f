"""Whether a video is still the one that was scored: what an interrupted run goes on with counts for its files alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sam2v.data.annotations import ObjectFolders
from sam2v.data.records import VideoRecord


def stamp(video: Any) -> list[object]:
    """Changes with the size or time of any file of a record's frames and annotations; of a drawn clip, with what it is
    drawn by."""
    if not isinstance(video, VideoRecord):
        return [repr(video)]
    return [str(video.source), [_stamp(path) for path in (video.source, *_annotations(video))]]


def _annotations(record: VideoRecord) -> Iterable[Path]:
    """The files, or folders of files, of a record's masks."""
    known = record.annotations
    if isinstance(known, ObjectFolders):
        return [known.root / name for name in known.objects.values()]
    files = getattr(known, "files", (known.file(record.annotated[0]),))
    return list(files.values()) if isinstance(files, Mapping) else files


def _stamp(path: Path) -> list[object]:
    """Name, size and time of a file, or of those in a folder."""
    if not path.is_dir():
        return _entry(path.name, path.stat()) if path.exists() else [path.name]
    with os.scandir(path) as entries:
        return [str(path), sorted(_entry(entry.name, entry.stat()) for entry in entries if entry.is_file())]


def _entry(name: str, found: os.stat_result) -> list[object]:
    return [name, found.st_size, found.st_mtime_ns]
