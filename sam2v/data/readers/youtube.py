"""YouTube-VOS: sparse or all frames, objects that appear later, categories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sam2v.data.readers.common import check_listed, folder_video, open_records, read_meta
from sam2v.data.readers.trees import need_folder, split_root, subfolders, wrong_layout
from sam2v.data.records import Records, VideoRecord
from sam2v.files import user_path
from sam2v.video.frames import natural_key


def youtube_vos(
    root: str | Path, split: str = "valid", all_frames: bool = False, videos: Sequence[str] | None = None
) -> Records[VideoRecord]:
    """YouTube-VOS 2018 or 2019 (Xu et al. 2018).

    Every fifth frame is annotated (train) or has to be predicted (valid, test), objects from the frame on in
    which meta.json first lists them. With `all_frames` the record holds all frames at 30 fps, else every
    fifth, at 6 fps; `scored` are the frames that count in both cases, `categories` what meta.json calls
    the objects.

    Raises:
        FileNotFoundError: another layout (the message shows the expected one), or an absent video.
        ValueError: unknown videos, a broken meta.json.
    """
    root = need_folder(user_path(root), "YouTube-VOS")
    base = split_root(root, split, "YouTube-VOS")
    sparse = base / "JPEGImages"
    frames = _all_frames(root, base) if all_frames else need_folder(sparse, "YouTube-VOS")
    masks = need_folder(base / "Annotations", "YouTube-VOS")
    names = subfolders(masks)
    check_listed(names, masks, frames)
    about = base / "meta.json"
    fps = 30.0 if all_frames else 6.0
    make = partial(_video, frames=frames, masks=masks, fps=fps, sparse=sparse, about=about, meta=read_meta(about))
    return open_records(names, videos, make, base, "YouTube-VOS")


def _all_frames(root: Path, base: Path) -> Path:
    places = [root / f"{base.name}_all_frames", root / "all_frames" / f"{base.name}_all_frames"]
    for place in places:
        if (place / "JPEGImages").is_dir():
            return place / "JPEGImages"
    raise wrong_layout("YouTube-VOS", f"{places[0] / 'JPEGImages'}: no such folder, needed for all_frames=True")


def _video(
    name: str, frames: Path, masks: Path, fps: float, sparse: Path, about: Path, meta: Mapping[str, Any]
) -> VideoRecord:
    video, labels, fields = folder_video(name, frames / name, masks / name, fps, first=None)
    index = {stem: position for position, stem in enumerate(video.names)}
    try:
        objects = {int(obj): entry for obj, entry in meta.get(name, {}).get("objects", {}).items()}
        listed = {obj: _known(entry.get("frames", ()), index) for obj, entry in objects.items()}
        categories = {obj: str(entry["category"]) for obj, entry in objects.items() if "category" in entry}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{about}: the objects of {name!r} are no categories and frames by number ({error})") from None
    # an object is introduced by the first of its frames whose annotation shows it; those before need not be looked at
    introduced = {obj: next((i for i in frames_of if i in labels.files), None) for obj, frames_of in listed.items()}
    first = {obj: i for obj, i in introduced.items() if i is not None}
    if first and len(first) == len(objects):
        labels = replace(labels, first=first)
    wanted = sorted(set().union(*listed.values())) if any(listed.values()) else _sparse(sparse / name, index)
    return VideoRecord(frames=video, annotations=labels, scored=tuple(wanted), categories=categories, **fields)


def _known(stems: Iterable[str], index: Mapping[str, int]) -> list[int]:
    return sorted(index[stem] for stem in stems if stem in index)


def _sparse(folder: Path, index: Mapping[str, int]) -> list[int]:
    """Without a list of frames: those that the sparse release holds, else all."""
    if not folder.is_dir():
        return sorted(index.values())
    return _known(sorted((path.stem for path in folder.iterdir()), key=natural_key), index)
