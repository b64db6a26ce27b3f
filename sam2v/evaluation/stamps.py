"""Whether a video is still the one that was scored: what an interrupted run goes on with counts for its files alone."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from sam2v.data.annotations import ObjectFolders
from sam2v.data.records import VideoRecord
from sam2v.jobs.run import Run


def stamp(video: Any) -> list[object]:
    """Changes with the size or time of any file of a record's frames and annotations; of a drawn clip, with what it is
    drawn by."""
    if not isinstance(video, VideoRecord):
        return [repr(video)]
    return [str(video.source), [_stamp(path) for path in (video.source, *_annotations(video))]]


def key_of(run: Run, video: Any, *how: object) -> tuple[object, ...]:
    """What an earlier run's part of a video must have been made of and by; empty where no parts are kept."""
    return (*how, stamp(video)) if run.parts else ()


def _annotations(record: VideoRecord) -> Iterable[Path]:
    """The files, or folders of files, of a record's masks."""
    known = record.annotations
    if isinstance(known, ObjectFolders):
        return [known.root / name for name in known.objects.values()]
    files = getattr(known, "files", (known.file(record.annotated[0]),))
    return list(files.values()) if isinstance(files, Mapping) else files


def files_in(folder: Path, wanted: Collection[str] | None = None) -> list[list[object]]:
    """Names, sizes and times of the files in a folder, of those that are wanted; None: of all."""
    with os.scandir(folder) as entries:
        files = (entry for entry in entries if (wanted is None or entry.name in wanted) and entry.is_file())
        return sorted(_entry(entry.name, entry.stat()) for entry in files)


def _stamp(path: Path) -> list[object]:
    """Name, size and time of a file, or of those in a folder."""
    if path.is_dir():
        return [str(path), files_in(path)]
    return _entry(path.name, path.stat()) if path.exists() else [path.name]


def _entry(name: str, found: os.stat_result) -> list[object]:
    return [name, found.st_size, found.st_mtime_ns]
