"""SA-V (Ravi et al. 2024): masklets in JSON over mp4 (train), PNGs per object over folders of frames (val, test)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from sam2v.data.frames import FrameFolder, VideoFrames
from sam2v.data.masklets import SavMasklets
from sam2v.data.readers.common import check_listed, match_objects, open_records, read_list
from sam2v.data.readers.trees import need_folder, subfolders, wrong_layout
from sam2v.data.records import Records, VideoRecord
from sam2v.files import user_path

Masklets = Literal["manual", "auto", "both"]

_FPS = 24.0
_STEP = 4  # annotations come at 6 fps


def sav(
    root: str | Path,
    split: str = "val",
    masklets: Masklets = "manual",
    need_videos: bool = True,
    videos: Sequence[str] | None = None,
) -> Records[VideoRecord]:
    """SA-V. Frames at 24 fps, every fourth annotated; objects may overlap and appear later.

    Args:
        root: the folder of the data set, or of the split.
        split: "train" (mp4 and JSON), "val" or "test" (frames and PNGs).
        masklets: of the train split, which ones: drawn by people, found automatically, or both (the automatic
            ones' ids then follow after the manual ones').
        need_videos: of the train split, whether every JSON must have its mp4 beside it; without, masks can
            be read all the same.
        videos: only these, in this order.

    Raises:
        FileNotFoundError: another layout (the message shows the expected one), or an absent video, named.
        ValueError: an unknown split, kind of masklets or video, a name that two videos have; a broken JSON file (when
            its record is made).
    """
    root = user_path(root)
    if split == "train":
        return _train(root, masklets, need_videos, videos)
    if split in ("val", "valid", "test"):
        return _frames(root, "test" if split == "test" else "val", videos)
    raise ValueError(f"a split of SA-V is train, val or test, not {split!r}")


def _train(root: Path, masklets: Masklets, need_videos: bool, videos: Sequence[str] | None) -> Records[VideoRecord]:
    if masklets not in ("manual", "auto", "both"):
        raise ValueError(f"masklets is manual, auto or both, not {masklets!r}")
    kinds = ("manual", "auto") if masklets == "both" else (masklets,)
    need_folder(root, "SA-V train")
    found: dict[str, list[Path]] = {}
    for kind in kinds:
        for depth in ("", "*/", "*/*/"):
            for path in root.glob(f"{depth}*_{kind}.json"):
                paths = found.setdefault(path.name[: -len(f"_{kind}.json")], [])
                if (known := next((known for known in paths if known.name == path.name), None)) is not None:
                    raise ValueError(f"{path} and {known}: videos are told apart by their names")
                paths.append(path)
    if not found:
        raise wrong_layout("SA-V train", f"{root}: no file *_{kinds[0]}.json in it")
    if need_videos:
        for name in sorted(found):
            if not (mp4 := found[name][0].with_name(f"{name}.mp4")).is_file():
                raise FileNotFoundError(f"{mp4}: no such video, but {found[name][0].name} describes it")
    return open_records(sorted(found), videos, partial(_train_video, found=found), root, "SA-V train")


def _train_video(name: str, found: dict[str, list[Path]]) -> VideoRecord:
    annotations = SavMasklets(tuple(found[name]), _STEP)
    mp4 = found[name][0].with_name(f"{name}.mp4")
    frames = VideoFrames(mp4, annotations.num_frames, annotations.size)
    return VideoRecord(name, frames, annotations.annotated, _FPS, annotations)


def _frames(root: Path, split: str, videos: Sequence[str] | None) -> Records[VideoRecord]:
    tree = "SA-V val or test"
    base = need_folder(root, tree)
    if (root / f"sav_{split}").is_dir():
        base = root / f"sav_{split}"
    frames, masks = need_folder(base / "JPEGImages_24fps", tree), need_folder(base / "Annotations_6fps", tree)
    listing = base / f"sav_{split}.txt"
    names = read_list(listing) if listing.is_file() else subfolders(masks)
    check_listed(names, listing if listing.is_file() else masks, frames, masks)
    return open_records(names, videos, partial(_frames_video, frames=frames, masks=masks), base, tree)


def _frames_video(name: str, frames: Path, masks: Path) -> VideoRecord:
    video = FrameFolder.scan(frames / name)
    annotations = match_objects(video, masks / name)
    if not annotations.objects:
        raise FileNotFoundError(f"{masks / name}: no folder of an object in it")
    annotated = tuple(annotations.files)
    return VideoRecord(name, video, annotated, _FPS, annotations, scored=annotated)
