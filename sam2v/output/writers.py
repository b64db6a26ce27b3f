"""The formats that masks can be written in, and opening writers of one or of several."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from sam2v.files import user_path
from sam2v.output.background import BackgroundWriter
from sam2v.output.base import MaskWriter, Target
from sam2v.output.coco import CocoWriter
from sam2v.output.cvat import CvatWriter
from sam2v.output.label_studio import LabelStudioWriter
from sam2v.output.mask_files import LabelMapWriter, NpzWriter, ObjectWriter
from sam2v.output.overlay import OverlayWriter
from sam2v.output.sav import SavWriter
from sam2v.output.yolo import YoloWriter
from sam2v.video.base import FrameSource

if TYPE_CHECKING:
    from typing_extensions import Unpack

Format = Literal["png", "objects", "coco", "sav", "yolo", "cvat", "labelstudio", "npz", "mp4", "webm", "gif"]
Names = Sequence[str] | Callable[[int], str]

FORMATS: dict[Format, str] = {
    "png": "one palette PNG per frame, a pixel's value is the object's id (DAVIS)",
    "objects": "one black and white PNG per object and frame, in a folder per object (SA-V)",
    "coco": "masks.json, a COCO data set with run-length masks, and masks.jsonl, its lines as they come",
    "sav": "ID_auto.json, the masklets of every fourth frame (SA-V)",
    "yolo": "labels/FRAME.txt, polygons for YOLO segmentation, with images/FRAME.jpg and data.yaml",
    "cvat": "annotations.xml, a track of polygons per object (CVAT for video 1.1)",
    "labelstudio": "label_studio.json, a task with boxes at key frames (Label Studio has no masks in videos)",
    "npz": "one NumPy archive per frame with masks, ids and scores",
    "mp4": "overlay.mp4, the masks drawn over the video (H.264)",
    "webm": "overlay.webm, the masks drawn over the video (VP9)",
    "gif": "overlay.gif, the masks drawn over the video",
}
_DATA_WRITERS: dict[str, type[MaskWriter]] = {
    "png": LabelMapWriter,
    "objects": ObjectWriter,
    "coco": CocoWriter,
    "sav": SavWriter,
    "yolo": YoloWriter,
    "cvat": CvatWriter,
    "labelstudio": LabelStudioWriter,
    "npz": NpzWriter,
}


class Style(TypedDict, total=False):
    """How overlays are drawn: options of `sam2v.masks.draw_masks`."""

    alpha: float
    contour: bool
    labels: bool


class WriterOptions(Style, total=False):
    """What writers are told besides: the keyword arguments of `open_writer`."""

    source: FrameSource | None
    size: tuple[int, int] | None
    fps: float | None
    frame_names: Names | None
    file_names: Names | None
    classes: Mapping[int, str] | None
    resume: bool


def open_writer(
    format: Format,
    out_dir: str | Path,
    *,
    source: FrameSource | None = None,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    frame_names: Names | None = None,
    file_names: Names | None = None,
    classes: Mapping[int, str] | None = None,
    resume: bool = False,
    **style: Unpack[Style],
) -> MaskWriter:
    """Open a writer of one of the `FORMATS`.

    Args:
        format: a key of `FORMATS`.
        out_dir: folder for the output, made if missing. Writers of different formats may share one.
        source: the video (`Session.frames`), which knows its name, the size, the rate and the names of frames.
        size: (height, width) of the video, needed without a source.
        fps: frame rate of overlays; None = the source's, or 25. Times in other formats go by the source's, if known.
        frame_names: what files about a frame are called: a sequence, or a function of the frame's index; None = the
            source's names, or "00000", "00001", ...
        file_names: likewise the names, with endings, of the pictures that the frames are; None = the source's, or the
            frame's name and ".png".
        classes: what objects are, by their ids, for formats that hold classes; "object" for all others.
        resume: continue what an earlier run left here. Otherwise this format's earlier record is forgotten and its
            files are overwritten.
        style: for overlays: alpha, contour, labels.

    Raises:
        ValueError: unknown format, no size, or one that is not positive, a rate below 0.001, an impossible style; with
            `resume`, a record that is none or names files outside of the folder.
        TypeError: style options for a format that draws nothing.
        OSError: the folder cannot be made.
    """
    (format,) = checked_formats([format])
    size = size or (source.size if source is not None else None)
    if size is None:
        raise ValueError("a writer needs the video's size, or the video as source")
    if min(size) < 1 or (fps is not None and not 0.001 <= fps < math.inf):
        raise ValueError(f"size must be positive and fps at least 0.001, got size {size}, fps {fps}")
    name = _namer(frame_names, "{:05d}".format if source is None else source.frame_name)
    file_name = _namer(file_names, (lambda index: f"{name(index)}.png") if source is None else source.file_name)
    folder = user_path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    rate = fps or (source.fps if source is not None else None) or 25.0
    video_name = source.path.stem if source is not None and source.path is not None else "video"
    video_file = source.path.name if source is not None and source.path is not None else "video.mp4"
    target = Target(
        folder,
        size,
        rate,
        name,
        file_name,
        resume,
        video_name,
        video_file,
        _checked_classes(classes),
        video_fps=None if source is None else source.fps,
        length=Target.length if source is None else source.known_length,
        pixel_aspect=Target.pixel_aspect if source is None else source.pixel_aspect,
        count=Target.count if source is None else partial(_count, source),
    )
    if format in ("mp4", "webm", "gif"):
        return OverlayWriter(target, format, style)
    if style:
        raise TypeError(f"format {format!r} draws nothing and takes no option {', '.join(style)}")
    return _DATA_WRITERS[format](target)


def open_writers(
    formats: str | Sequence[Format], out_dir: str | Path, **options: Unpack[WriterOptions]
) -> BackgroundWriter:
    """Open writers of several formats, which write in a thread of their own while the next frames are tracked.

    Args:
        formats: a list, or names separated by commas.
        options: as for `open_writer`, which also says what is raised; the style goes to those of the formats that draw.
    """
    plain: Any = {name: value for name, value in options.items() if name not in Style.__annotations__}
    writers = [
        open_writer(name, out_dir, **(plain if name in _DATA_WRITERS else options)) for name in checked_formats(formats)
    ]
    return BackgroundWriter(writers)


def checked_formats(formats: str | Sequence[str]) -> list[Format]:
    """Formats from a list, or from names separated by commas, each once.

    Raises:
        ValueError: an unknown one, or none; the accepted ones are listed.
    """
    parts = map(str.strip, formats.split(",")) if isinstance(formats, str) else None
    names = list(formats) if parts is None else [name for name in parts if name]
    for name in names or [""]:
        if name not in FORMATS:
            raise ValueError(f"unknown output format {name!r}; accepted: {', '.join(FORMATS)}")
    return cast(list[Format], list(dict.fromkeys(names)))


def remove_results(format: str, folder: Path) -> None:
    """Remove what a writer of one of the `FORMATS` left in a folder, as its record tells; nothing else.

    Raises:
        ValueError: no such format, or a record that is none or names files outside of the folder.
    """
    (format,) = checked_formats([format])
    _writer_of(format).remove_results(folder, format)


def results_in(folder: Path) -> list[Format]:
    """The formats of which a writer left a record in a folder."""
    return [format for format in FORMATS if _writer_of(format).record_path(folder, format).is_file()]


def _writer_of(format: Format) -> type[MaskWriter]:
    return _DATA_WRITERS.get(format, OverlayWriter)


#: Control characters, halves of characters and ends of lines, which XML or YAML cannot hold.
_NO_TEXT = ("Cc", "Cs", "Zl", "Zp")


def _checked_classes(classes: Mapping[int, str] | None) -> dict[int, str]:
    """Classes by object id; TypeError or ValueError for what is none."""
    found = dict(classes or {})
    for obj_id, name in found.items():
        if isinstance(obj_id, bool) or not isinstance(obj_id, int) or not isinstance(name, str):
            raise TypeError(f"classes map object ids to names, got {obj_id!r}: {name!r}")
        if not name.strip() or any(unicodedata.category(sign) in _NO_TEXT or sign in "\ufffe\uffff" for sign in name):
            raise ValueError(f"the class of object {obj_id} is no name: {name!r}")
    return found


def _count(source: FrameSource) -> int | None:
    """How many frames a video has; None where that cannot be found out (any more)."""
    if source.is_seekable:
        with suppress(OSError, ValueError):  # it was closed
            return len(source)
    return source.known_length()


def _namer(names: Names | None, default: Callable[[int], str]) -> Callable[[int], str]:
    if names is None:
        return default
    if callable(names):
        return names
    known = list(names)

    def name(frame_idx: int) -> str:
        if not 0 <= frame_idx < len(known):
            raise ValueError(f"frame_names has {len(known)} names, none for frame {frame_idx}")
        return known[frame_idx]

    return name
