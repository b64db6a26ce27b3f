"""The formats that masks can be written in, and opening a writer of one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sam2v.output.base import MaskWriter, Target
from sam2v.output.coco import CocoWriter
from sam2v.output.mask_files import LabelMapWriter, NpzWriter, ObjectWriter
from sam2v.output.overlay import OverlayWriter

FORMATS: dict[str, str] = {
    "png": "one palette PNG per frame, a pixel's value is the object's id (DAVIS)",
    "objects": "one black and white PNG per object and frame, in a folder per object (SA-V)",
    "coco": "masks.json, a COCO data set with run-length masks, and masks.jsonl, its lines as they come",
    "npz": "one NumPy archive per frame with masks, ids and scores",
    "mp4": "overlay.mp4, the masks drawn over the video (H.264)",
    "webm": "overlay.webm, the masks drawn over the video (VP9)",
    "gif": "overlay.gif, the masks drawn over the video",
}
_DATA_WRITERS: dict[str, type[MaskWriter]] = {
    "png": LabelMapWriter,
    "objects": ObjectWriter,
    "coco": CocoWriter,
    "npz": NpzWriter,
}


def open_writer(
    format: str,
    out_dir: str | Path,
    *,
    size: tuple[int, int],
    fps: float | None = None,
    frame_names: Sequence[str] | Callable[[int], str] | None = None,
    resume: bool = False,
    **style: Any,
) -> MaskWriter:
    """Open a writer of one of the `FORMATS`.

    Args:
        format: a key of `FORMATS`.
        out_dir: folder for the output, made if missing. Writers of different formats may share one.
        size: (height, width) of the video.
        fps: frame rate of overlays; None = 25.
        frame_names: what files about a frame are called: a sequence, or a function of the frame's index; default
            "00000", "00001", ...
        resume: continue what an earlier run left here. Otherwise this format's earlier record is forgotten and its
            files are overwritten.
        style: for overlays, options of `sam2v.masks.draw_masks`: alpha, contour, labels.

    Raises:
        ValueError: unknown format, a size that is not positive, a rate below 0.001, an impossible style.
        TypeError: style options for a format that draws nothing.
        OSError: the folder cannot be made.
    """
    if format not in FORMATS:
        raise ValueError(f"unknown output format {format!r}; accepted: {', '.join(FORMATS)}")
    if min(size) < 1 or (fps is not None and not 0.001 <= fps < math.inf):
        raise ValueError(f"size must be positive and fps at least 0.001, got size {size}, fps {fps}")
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    target = Target(folder, size, fps or 25.0, _namer(frame_names), resume)
    if format in ("mp4", "webm", "gif"):
        return OverlayWriter(target, format, style)
    if style:
        raise TypeError(f"format {format!r} draws nothing and takes no option {', '.join(style)}")
    return _DATA_WRITERS[format](target)


def remove_results(format: str, folder: Path) -> None:
    """Remove what a writer of one of the `FORMATS` left in a folder, as its record tells; nothing else."""
    _DATA_WRITERS.get(format, OverlayWriter).remove_results(folder, format)


def _namer(names: Sequence[str] | Callable[[int], str] | None) -> Callable[[int], str]:
    if names is None:
        return "{:05d}".format
    if callable(names):
        return names
    known = list(names)

    def name(frame_idx: int) -> str:
        if not 0 <= frame_idx < len(known):
            raise ValueError(f"frame_names has {len(known)} names, none for frame {frame_idx}")
        return known[frame_idx]

    return name
