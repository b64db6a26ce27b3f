"""Masks of one video as somebody left them: what `sam2v track` writes, DAVIS pictures, COCO, SA-V."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from sam2v.data.annotations import LabelMaps, ObjectFolders
from sam2v.data.archives import Archives
from sam2v.data.coco import CocoMasks, MaskLines
from sam2v.data.masklets import SavMasklets, read_json
from sam2v.data.names import FrameNames
from sam2v.files import user_path
from sam2v.tracking.prompts import Prompt
from sam2v.video.base import FrameSource

ACCEPTED = (
    "a folder that sam2v track wrote, of label maps FRAME.png, of masks OBJECT/FRAME.png or of FRAME.npz; a COCO data "
    "set (.json), masks.jsonl, or a SA-V record (.json)"
)


class FrameMasks(Protocol):
    """Masks by frame, of one format."""

    def file(self, frame_idx: int) -> Path:
        """The file, or the folder of files, that a frame's masks come from; for messages."""

    def masks(self, frame_idx: int) -> dict[int, np.ndarray]:
        """Object id -> H x W bool of the objects visible on a frame."""


class VideoMasks:
    """The masks of a video, frame by frame; nothing is kept of them.

    Attributes:
        path: the file or folder. format: "objects", "npz", "coco", "sav" or "png".
        frames: numbers of the frames that masks are known of, ascending.
        size: (height, width) of the video.
    """

    def __init__(
        self, path: Path, format: str, known: FrameMasks, frames: Iterable[int], size: tuple[int, int]
    ) -> None:
        self.path, self.format, self.size = path, format, size
        self.frames = tuple(sorted(frames))
        self._known, self._there = known, set(self.frames)

    def masks(self, frame_idx: int) -> dict[int, np.ndarray]:
        """H x W bool by object id, of the objects that are seen on a frame; none where masks are not known.

        Raises:
            ValueError, OSError: a broken file, or masks of another size than the video; the message names the file.
        """
        if frame_idx not in self._there:
            return {}
        found = self._known.masks(frame_idx)
        for mask in found.values():
            if mask.shape != self.size:
                sizes = " and ".join(f"{width} x {height}" for height, width in (mask.shape, self.size))
                raise ValueError(f"{self._known.file(frame_idx)}: masks and video have different sizes, {sizes}")
        return found

    def missing(self, obj_ids: Collection[int]) -> tuple[set[int], set[int]]:
        """Which of some objects are on no frame, and all objects there are; reads on only as far as it takes to know.

        Raises:
            ValueError, OSError: as `masks`.
        """
        wanted, known = set(obj_ids), set()
        for index in self.frames if wanted else ():
            known |= set(self.masks(index))
            if wanted <= known:
                break
        return wanted - known, known

    def prompts(self, frames: Collection[int] | None = None) -> dict[int, dict[int, Prompt]]:
        """Masks as prompts by frame and object, as `sam2v.track` and `VideoPredictor.add_prompts` take them.

        Args:
            frames: all objects on these frames; None takes each object on the first frame where it is seen.

        Raises:
            ValueError, OSError: as `masks`; or a frame on which no mask is known.
        """
        found: dict[int, dict[int, Prompt]] = {}
        seen: set[int] = set()
        for index in self.frames if frames is None else sorted(set(frames)):
            masks = self.masks(index)
            if frames is not None and not masks:
                raise ValueError(f"{self.path}: no mask on frame {index}")
            new = {
                obj_id: Prompt(mask=mask) for obj_id, mask in masks.items() if frames is not None or obj_id not in seen
            }
            seen |= set(new)
            if new:
                found[index] = new
        return found

    def __repr__(self) -> str:
        return f"VideoMasks({str(self.path)!r}, {self.format!r}, {len(self.frames)} frames)"


def open_masks(path: str | os.PathLike[str], source: FrameSource) -> VideoMasks:
    """Open the masks of a video.

    Files belong to frames by their names, as `source.frame_name` says them. Where none does, by the number that a name
    ends with: the one that the frame's own name ends with or, if these are others, the frame's, counted from 0. Of a
    folder that holds several formats one is taken that keeps overlaps, if there is one.

    Args:
        path: a folder that `sam2v track` wrote; of label maps FRAME.png (DAVIS), of masks OBJECT/FRAME.png (SA-V) or of
            FRAME.npz; or a file: a COCO data set with run lengths or polygons, masks.jsonl, or a SA-V record.
        source: the video, as `sam2v.video.sources.open_source` gives it.

    Raises:
        FileNotFoundError: nothing there. ValueError: nothing that can be read as masks, or nothing of this video; files
            that belong to no frame beside others that do, or several to one; an object's id that stands twice; masks of
            another size than the video, or more of them than `sam2v.masks.bounds` accepts.
    """
    place = user_path(path)
    if not place.exists():
        raise FileNotFoundError(f"{place}: no such file or folder")
    names = FrameNames(source)
    if place.is_file():
        return _of_file(place, source, names)
    for format, find in _FINDERS:
        found = find(place, names)
        if found is not None:
            return _opened(place, format, *found, source)
    raise ValueError(f"{place}: holds no masks; accepted: {ACCEPTED}")


def _of_file(path: Path, source: FrameSource, names: FrameNames) -> VideoMasks:
    if path.suffix == ".jsonl":
        lines = MaskLines(path, names.size)
        return _opened(path, "coco", lines, lines.annotated, source)
    if path.suffix != ".json":
        raise ValueError(f"{path}: not a file of masks; accepted: {ACCEPTED}")
    document = read_json(path)
    if "masklet" in document:
        record = SavMasklets((path,), own_ids=True, video_size=names.size)
        return _opened(path, "sav", record, record.annotated, source)
    if not {"images", "annotations"} <= set(document):
        raise ValueError(f"{path}: neither a COCO data set nor a SA-V record; accepted: {ACCEPTED}")
    coco = CocoMasks(path, names)
    return _opened(path, "coco", coco, coco.annotated, source)


def _opened(path: Path, format: str, known: FrameMasks, frames: Iterable[int], source: FrameSource) -> VideoMasks:
    """Masks whose first frame was read, so that what is wrong shows now."""
    length = len(source)
    frames = [index for index in frames if 0 <= index < length]
    if not frames:
        raise ValueError(f"{path}: none of its masks belongs to a frame of the video, going by their names")
    masks = VideoMasks(path, format, known, frames, source.size)
    masks.masks(masks.frames[0])
    return masks


_Found = tuple[FrameMasks, Collection[int]]


def _object_folders(folder: Path, names: FrameNames) -> _Found | None:
    objects: dict[int, str] = {}
    for place in sorted(folder.iterdir()):
        if place.name.isdecimal() and any(place.glob("*.png")):
            known = objects.setdefault(int(place.name), place.name)
            if known != place.name:
                raise ValueError(f"{folder}: {known} and {place.name} are both of object {int(known)}; keep one")
    if not objects:
        return None
    files = _numbered(folder, (file.name for name in objects.values() for file in (folder / name).glob("*.png")), names)
    return ObjectFolders(folder, objects, files, names.size), files


def _archives(folder: Path, names: FrameNames) -> _Found | None:
    found = [file.name for file in folder.glob("*.npz")]
    files = _numbered(folder, found, names)
    archives = Archives({index: folder / name for index, name in files.items()}, names.size)
    return (archives, files) if found else None


def _lines(folder: Path, names: FrameNames) -> _Found | None:
    if not (folder / "masks.jsonl").is_file():
        return None
    lines = MaskLines(folder / "masks.jsonl", names.size)
    return lines, lines.annotated


def _coco(folder: Path, names: FrameNames) -> _Found | None:
    if not (folder / "masks.json").is_file():
        return None
    coco = CocoMasks(folder / "masks.json", names)
    return coco, coco.annotated


def _label_maps(folder: Path, names: FrameNames) -> _Found | None:
    found = [file.name for file in folder.glob("*.png")]
    files = _numbered(folder, found, names)
    maps = LabelMaps({index: folder / name for index, name in files.items()}, "auto", size=names.size)
    return (maps, files) if found else None


def _record(folder: Path, names: FrameNames) -> _Found | None:
    files = sorted(folder.glob("*_auto.json"))
    if len(files) > 1:
        raise ValueError(f"{folder}: holds several SA-V records, name one: {', '.join(file.name for file in files)}")
    if not files:
        return None
    record = SavMasklets((files[0],), own_ids=True, video_size=names.size)
    return record, record.annotated


#: Formats and what finds masks of them in a folder; those that keep overlaps first.
_FINDERS: list[tuple[str, Callable[[Path, FrameNames], _Found | None]]] = [
    ("objects", _object_folders),
    ("npz", _archives),
    ("coco", _lines),
    ("coco", _coco),
    ("png", _label_maps),
    ("sav", _record),  # last: it has every fourth frame
]


def _numbered(folder: Path, files: Iterable[str], names: FrameNames) -> dict[int, str]:
    """Frame's number -> file's name, in the order of frames; without hidden files, empty if none has a frame.

    Raises:
        ValueError: some files have a frame and another has none, or two have the same.
    """
    given = sorted({name for name in files if not name.startswith(".")})
    frames = names.match(given)
    found: dict[int, str] = {}
    for name in given if frames else ():
        if name not in frames:
            raise ValueError(
                f"{folder}: no frame of the video belongs to {name}, though one does to {next(iter(frames))}"
            )
        known = found.setdefault(frames[name], name)
        if known != name:
            raise ValueError(f"{folder}: {known} and {name} are both of frame {frames[name]}; keep one")
    return {index: found[index] for index in sorted(found)}
