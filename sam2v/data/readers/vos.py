"""DAVIS, MOSE and LVOS: folders of frames beside folders of label maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sam2v.data.annotations import Style
from sam2v.data.readers.common import check_listed, folder_video, open_records, read_list
from sam2v.data.readers.trees import need_folder, split_names, split_root, subfolders, wrong_layout
from sam2v.data.records import Records, VideoRecord
from sam2v.files import user_path


def davis(
    root: str | Path,
    year: int = 2017,
    split: str | None = "val",
    resolution: str = "480p",
    videos: Sequence[str] | None = None,
) -> Records[VideoRecord]:
    """DAVIS 2016 (one object, 0 / 255) or 2017 (ids by palette, 255 void), 24 fps (Perazzi 2016, Pont-Tuset 2017).

    Args:
        root: the folder with ImageSets, JPEGImages and Annotations.
        year: 2016 or 2017.
        split: the list in ImageSets to read; None, or no folder ImageSets: every annotated video.
        resolution: "480p" or "Full-Resolution".
        videos: only these, in this order.

    Raises:
        FileNotFoundError: another layout (the message shows the expected one), or a listed video that is absent.
        ValueError: another year, or unknown videos.
    """
    if year not in (2016, 2017):
        raise ValueError(f"DAVIS is of the year 2016 or 2017, not {year}")
    root = need_folder(user_path(root), "DAVIS")
    frames = need_folder(root / "JPEGImages" / resolution, "DAVIS")
    masks = need_folder(root / "Annotations" / resolution, "DAVIS")
    names = subfolders(masks)
    if split is not None and (root / "ImageSets").is_dir():
        listing = _davis_list(root, year, split)
        names = read_list(listing)
        check_listed(names, listing, frames, masks)
    style: Style = "binary" if year == 2016 else "ids"
    make = partial(_label_video, frames=frames, masks=masks, fps=24.0, style=style, appearing=False)
    return open_records(names, videos, make, root, "DAVIS")


def mose(
    root: str | Path, split: str = "valid", fps: float = 6.0, videos: Sequence[str] | None = None
) -> Records[VideoRecord]:
    """MOSE (Ding et al. 2023). In the valid split only the first frame is annotated.

    The frame rate is no part of the release: `fps` is what the paper's counts of frames and seconds give.
    Raises as `davis`.
    """
    return _split_folders(root, split, fps, videos, "MOSE")


def lvos(
    root: str | Path, split: str = "valid", fps: float = 6.0, videos: Sequence[str] | None = None
) -> Records[VideoRecord]:
    """LVOS v1 or v2 (Hong et al. 2023, 2024): videos of minutes at 6 fps, with objects that appear later.

    Both releases have this layout. Raises as `davis`.
    """
    return _split_folders(root, split, fps, videos, "LVOS")


def _split_folders(
    root: str | Path, split: str, fps: float, videos: Sequence[str] | None, tree: str
) -> Records[VideoRecord]:
    root = need_folder(user_path(root), tree)
    base = split_root(root, split, tree)
    frames, masks = need_folder(base / "JPEGImages", tree), need_folder(base / "Annotations", tree)
    names = subfolders(masks)
    check_listed(names, masks, frames)
    make = partial(_label_video, frames=frames, masks=masks, fps=fps, style="ids", appearing=True)
    return open_records(names, videos, make, base, tree)


def _davis_list(root: Path, year: int, split: str) -> Path:
    folders = (f"ImageSets/{year}", "ImageSets", "ImageSets/480p")
    places = [f"{folder}/{name}.txt" for name in split_names(split) for folder in folders]
    for place in places:
        if (root / place).is_file():
            return root / place
    raise wrong_layout("DAVIS", f"{root}: no list of the split {split!r} ({' or '.join(places)})")


def _label_video(name: str, frames: Path, masks: Path, fps: float, style: Style, appearing: bool) -> VideoRecord:
    video, labels, fields = folder_video(name, frames / name, masks / name, fps, style=style, appearing=appearing)
    return VideoRecord(frames=video, annotations=labels, **fields)
