"""Anybody's own data: a folder of frames (or video files) and a folder of masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from sam2v.data.annotations import Style
from sam2v.data.frames import FrameFolder, Frames, VideoFrames
from sam2v.data.readers.common import any_masks, open_records
from sam2v.data.readers.trees import need_folder, subfolders, wrong_layout
from sam2v.data.records import Records, VideoRecord
from sam2v.files import user_path
from sam2v.masks.png import write_label_map
from sam2v.video.frames import is_image_name

_TREE = "folder pair"
_VIDEO_SUFFIXES = frozenset([".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif"])


def folder_pair(
    root: str | Path,
    images: str | Path = "images",
    masks: str | Path = "masks",
    fps: float = 24.0,
    style: Style = "auto",
    videos: Sequence[str] | None = None,
) -> Records[VideoRecord]:
    """Videos in one folder, masks of the same names in another.

    Args:
        root: the folder that holds both.
        images: below root (or an absolute path): a folder of frames or a video file per video, or frames directly.
        masks: below root (or an absolute path): per video a folder of PNGs named after the frames, or of folders of
            them per object. Frames without a PNG carry no annotation; videos without a folder are left out.
        fps: frames per second of folders of frames.
        style: "ids" (255 is void), "binary" (anything but 0 is the one object), or "auto" (binary where a video's
            first annotation that is not empty holds nothing but 0 and 255).
        videos: only these, in this order.

    Raises:
        FileNotFoundError: another layout (the message shows the expected one), or masks without frames.
        ValueError: unknown videos, a mask that belongs to no frame, masks that belong to two videos or frames.
    """
    if style not in ("ids", "binary", "auto"):
        raise ValueError(f"style is ids, binary or auto, not {style!r}")
    root = need_folder(user_path(root), _TREE)
    frames, truth = need_folder(root / images, _TREE), need_folder(root / masks, _TREE)
    if any(is_image_name(path) for path in frames.iterdir()):
        sources = {frames.name: (frames, truth)}
    else:
        sources = _pairs(frames, truth)
    return open_records(list(sources), videos, partial(_video, sources=sources, fps=fps, style=style), root, _TREE)


def write_pair(root: Path, name: str, frames: np.ndarray, masks: np.ndarray) -> None:
    """Write a clip as `folder_pair` reads it: JPEG pictures, and a label map for each.

    Args:
        root: the folder that holds images/ and masks/. name: of the clip.
        frames: T x H x W x 3 uint8. masks: T x M x H x W bool; where objects overlap, the last one has the pixel.
    """
    for folder in ("images", "masks"):
        (root / folder / name).mkdir(parents=True, exist_ok=True)
    ids = np.arange(1, masks.shape[1] + 1, dtype=np.uint8)[:, None, None]
    for t, (frame, shown) in enumerate(zip(frames, masks, strict=True)):
        Image.fromarray(frame).save(root / "images" / name / f"{t:05d}.jpg", quality=93)
        write_label_map(root / "masks" / name / f"{t:05d}.png", (shown * ids).max(axis=0, initial=0))


def _pairs(frames: Path, truth: Path) -> dict[str, tuple[Path, Path]]:
    """Name -> (folder of frames or video file, folder of masks)."""
    found = {name: frames / name for name in subfolders(frames)}
    names = subfolders(truth)
    for path in sorted(frames.iterdir()):
        if path.suffix.lower() in _VIDEO_SUFFIXES and path.is_file():
            if path.stem in found and path.stem in names:
                raise ValueError(f"{path} and {found[path.stem]}: which of them has the masks in {truth / path.stem}?")
            found[path.stem] = path
    for name in names:
        if name not in found:
            raise wrong_layout(_TREE, f"{truth / name}: masks of a video that is not in {frames}")
    return {name: (found[name], truth / name) for name in names}


def _video(name: str, sources: dict[str, tuple[Path, Path]], fps: float, style: Style) -> VideoRecord:
    source, masks = sources[name]
    video: Frames = FrameFolder.scan(source) if source.is_dir() else VideoFrames.probe(source)
    if isinstance(video, VideoFrames):
        fps = video.fps or fps
    annotations, annotated = any_masks(video, masks, style)
    return VideoRecord(name, video, annotated, fps, annotations)
