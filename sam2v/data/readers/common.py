"""What the readers of frame folders share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sam2v.data.annotations import Annotations, LabelMaps, ObjectFolders, Style
from sam2v.data.frames import FrameFolder, Frames
from sam2v.data.masklets import read_json
from sam2v.data.readers.trees import wrong_layout
from sam2v.data.records import Record, Records
from sam2v.files import read_text
from sam2v.video.frames import natural_key


def open_records(
    names: Sequence[str], videos: Sequence[str] | None, make: Callable[[str], Record], root: Path, tree: str
) -> Records[Record]:
    """Records of all names, or of those the caller chose. An empty data set is an error."""
    if not names:
        raise wrong_layout(tree, f"{root}: nothing in it, the data set is empty")
    records = Records(names, make)
    return records if videos is None else records.select([videos] if isinstance(videos, str) else videos)


def check_listed(names: Sequence[str], listing: Path, *folders: Path) -> None:
    """Every listed video has its folder. Raises FileNotFoundError naming the first folder that is absent."""
    for folder in folders:
        absent = [name for name in names if not (folder / name).is_dir()]
        if absent:
            more = f" (nor {len(absent) - 1} more)" if len(absent) > 1 else ""
            raise FileNotFoundError(f"{folder / absent[0]}: no such folder{more}, but {listing} lists it")


def read_list(path: Path) -> list[str]:
    """Names of videos in a text file, one a line, each once.

    A line may also be "/JPEGImages/480p/VIDEO/00000.jpg ..." (DAVIS 2016), which names the folder before the
    file. Raises ValueError for a name that leads out of a folder: what is made of a video is called as it is.
    """
    names = []
    for line in read_text(path).splitlines():
        if line.strip():
            first = line.split()[0]
            names.append(Path(first).parent.name if Path(first).suffix and "/" in first else first)
            if Path(names[-1]).is_absolute() or ".." in Path(names[-1]).parts:
                raise ValueError(f"{path}: {first!r} is not the name of a video in a folder of videos")
    return list(dict.fromkeys(names))


def folder_video(
    name: str,
    frames: Path,
    masks: Path,
    fps: float,
    style: Style = "ids",
    first: Mapping[int, int] | None = None,
    appearing: bool = True,
) -> tuple[FrameFolder, LabelMaps, dict[str, Any]]:
    """Frames and label maps of one video, and the remaining fields of its record."""
    video = FrameFolder.scan(frames)
    files = match_masks(video, masks)
    return (
        video,
        LabelMaps(files, style, first, appearing),
        {"name": name, "fps": fps, "annotated": tuple(files)},
    )


def match_masks(video: Frames, masks: Path) -> dict[int, Path]:
    """Frame index -> PNG of that frame's name, in order.

    Raises FileNotFoundError for no folder or no PNG in it, ValueError for a PNG that belongs to no frame or to two, or
    two PNGs of one frame.
    """
    if not masks.is_dir():
        raise FileNotFoundError(f"{masks}: no such folder of annotations (frames are in {video.source})")
    paths = sorted((path for path in masks.iterdir() if path.suffix.lower() == ".png"), key=_by_name)
    if not paths:
        raise FileNotFoundError(f"{masks}: no PNG in this folder of annotations")
    index = {name: position for position, name in enumerate(video.names)}
    if len(index) < len(video.names):
        twice = next(name for position, name in enumerate(video.names) if index[name] != position)
        raise ValueError(f"{video.source}: two frames are called {twice}, which annotations in {masks} are named after")
    found: dict[int, Path] = {}
    for path in paths:
        if path.stem not in index:
            raise ValueError(f"{path}: an annotation without a frame {path.stem} in {video.source}")
        known = found.setdefault(index[path.stem], path)
        if known != path:
            raise ValueError(f"{path} and {known.name}: both are of frame {path.stem}")
    return dict(sorted(found.items()))


def match_objects(video: Frames, masks: Path) -> ObjectFolders:
    """Masks in a folder per object, the folders' names numbers ("000"). Raises as `match_masks`."""
    objects: dict[int, str] = {}
    files: dict[int, str] = {}
    for folder in sorted((path for path in masks.iterdir() if path.is_dir()), key=_by_name):
        if not folder.name.isdigit():
            raise ValueError(f"{folder}: folders of objects are named by their number, as in 000")
        if int(folder.name) in objects:
            raise ValueError(f"{folder}: the same object as {folder.with_name(objects[int(folder.name)])}")
        objects[int(folder.name)] = folder.name
        files |= {index: path.name for index, path in match_masks(video, folder).items()}
    return ObjectFolders(masks, objects, dict(sorted(files.items())))


def any_masks(video: Frames, masks: Path, style: Style) -> tuple[Annotations, tuple[int, ...]]:
    """Label maps or folders of objects, whichever is there, and the annotated frames."""
    if masks.is_dir() and any(path.is_dir() for path in masks.iterdir()):
        folders = match_objects(video, masks)
        return folders, tuple(folders.files)
    files = match_masks(video, masks)
    return LabelMaps(files, style), tuple(files)


def read_meta(path: Path) -> dict[str, Any]:
    """`videos` of a meta.json, by video name; empty if there is no such file."""
    if not path.is_file():
        return {}
    videos = read_json(path, ("videos",))["videos"]
    if not isinstance(videos, dict):
        raise ValueError(f"{path}: 'videos' is an object by video name, got {type(videos).__name__}")
    return videos


def _by_name(path: Path) -> list[tuple[int, int, str]]:
    return natural_key(path.name)
