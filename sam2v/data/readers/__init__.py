"""One small reader per data set, over one record type."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sam2v.data.readers.folder import folder_pair
from sam2v.data.readers.images import sa1b
from sam2v.data.readers.project import project
from sam2v.data.readers.sav import sav
from sam2v.data.readers.vos import davis, lvos, mose
from sam2v.data.readers.youtube import youtube_vos
from sam2v.data.records import ImageRecord, Records, VideoRecord
from sam2v.files import user_path

DATASETS: dict[str, Callable[..., Records[Any]]] = {
    "davis2016": partial(davis, year=2016),
    "davis2017": partial(davis, year=2017),
    "mose": mose,
    "lvos": lvos,
    "youtube-vos": youtube_vos,
    "sav": sav,
    "sa1b": sa1b,
    "folder": folder_pair,
    "project": project,
}

__all__ = ["DATASETS", "davis", "folder_pair", "lvos", "mose", "open_dataset", "project", "sa1b", "sav", "youtube_vos"]


def open_dataset(
    kind: str, root: str | Path, split: str | None = None, **options: Any
) -> Records[VideoRecord] | Records[ImageRecord]:
    """Open a data set by name.

    Args:
        kind: davis2016, davis2017, mose, lvos, youtube-vos, sav, sa1b, folder or project.
        root: its folder.
        split: e.g. "val"; None = the reader's own default.
        options: of the reader, e.g. `all_frames=True` for youtube-vos; every reader has `videos=[names]`.

    Raises ValueError for an unknown kind, TypeError for an option that the reader does not have, and what the
    reader raises: FileNotFoundError showing the expected tree, if the folder looks otherwise.
    """
    if kind not in DATASETS:
        raise ValueError(f"no data set named {kind!r}; there are {', '.join(DATASETS)}")
    if split is not None:
        options["split"] = split
    known = [name for name in inspect.signature(DATASETS[kind]).parameters if name not in ("root", "year")]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise TypeError(f"data set {kind} has no option {unknown[0]!r}; its options are {', '.join(known)}")
    return DATASETS[kind](user_path(root), **options)
