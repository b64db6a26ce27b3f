"""SA-1B: images with segments in one JSON each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sam2v.data.masklets import SegmentFile
from sam2v.data.readers.common import open_records
from sam2v.data.readers.trees import need_folder, subfolders, wrong_layout
from sam2v.data.records import ImageRecord, Records
from sam2v.files import user_path


def sa1b(
    root: str | Path, folders: Sequence[str] | None = None, videos: Sequence[str] | None = None
) -> Records[ImageRecord]:
    """SA-1B (Kirillov et al. 2023): an image and its segments per record, named after the image ("sa_1").

    Args:
        root: the folder of the parts (sa_000000, ...), or of images and JSON files themselves.
        folders: only these parts.
        videos: only the images of these names, in this order.

    Raises:
        FileNotFoundError: another layout (the message shows the expected one), or a JSON file without its image.
        ValueError: unknown names, a name that two parts have; a broken JSON file (when its segments are read).
    """
    root = need_folder(user_path(root), "SA-1B")
    parts = [root, *(root / name for name in subfolders(root))]
    if folders is not None:
        parts = [need_folder(root / name, "SA-1B") for name in folders]
    found: dict[str, Path] = {}
    for part in parts:
        names = {path.name for path in part.iterdir()}
        for name in sorted(names):
            if name.endswith(".json"):
                stem = name[: -len(".json")]
                if f"{stem}.jpg" not in names:
                    raise FileNotFoundError(f"{part / stem}.jpg: no such image, but {name} describes it")
                if stem in found:
                    raise ValueError(f"{part / name} and {found[stem] / name}: images are told apart by their names")
                found[stem] = part
    if not found:
        raise wrong_layout("SA-1B", f"{root}: no JSON file in it")
    return open_records(list(found), videos, partial(_image, found=found), root, "SA-1B")


def _image(name: str, found: dict[str, Path]) -> ImageRecord:
    return ImageRecord(name, found[name] / f"{name}.jpg", SegmentFile(found[name] / f"{name}.json"))
