"""Whether a recipe's data is there, before anything slow begins."""

from __future__ import annotations

from typing import Any

from sam2v.data import open_dataset
from sam2v.data.selection import select_records
from sam2v.files import user_path
from sam2v.training.config import SourceConfig, TrainConfig, ValidationConfig

#: What only drawn clips, and what only data sets take from a source and from a validation.
_DRAWN = (
    "length photographs regions motion smallest largest bodies limbs clutter look_alike leaving camouflage cutouts "
    "frames image_size"
)
_READ = "root split only without weights strides augment per_clip per_frame edits lend"


def check_data(config: TrainConfig) -> None:
    """Open every data set of a recipe and look for its folders of pictures.

    Raises:
        ValueError, FileNotFoundError: a source or a validation without what its kind needs, or with what its kind does
            not take; an empty data set, a pattern that matches nothing in it, or a folder that is not there. The
            message names the entry.
    """
    for number, source in enumerate(config.sources):
        _check(source, f"train.sources.{number}")
        if source.kind == "synthetic":
            _check_pictures(source, f"train.sources.{number}")
    for number, entry in enumerate(config.validation):
        _check(entry, f"train.validation.{number}")


def _check(entry: SourceConfig | ValidationConfig, name: str) -> None:
    _check_kind(entry, name)
    if entry.kind == "synthetic":
        return
    if entry.root is None:
        raise ValueError(f"{name}: kind {entry.kind!r} needs a root folder, {name.removeprefix('train.')}.root=FOLDER")
    _check_folder(entry.root, f"{name}.root")
    try:
        records: Any = open_dataset(entry.kind, entry.root, entry.split)
        select_records(records, entry.only, entry.without)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error


def _check_kind(entry: SourceConfig | ValidationConfig, name: str) -> None:
    """Raise ValueError for a value that would change nothing."""
    drawn, usual = entry.kind == "synthetic", type(entry)()
    for key in (_READ if drawn else _DRAWN).split():
        if getattr(entry, key, None) != getattr(usual, key, None):
            of = "data sets, not of drawn clips" if drawn else "drawn clips, not of data sets"
            raise ValueError(f"{name}.{key} is a value of {of} (kind {entry.kind!r})")


def _check_pictures(source: SourceConfig, name: str) -> None:
    if source.regions is not None and source.photographs is None:
        raise ValueError(f"{name}: regions need the photographs that they belong to")
    for key, folder in (("photographs", source.photographs), ("regions", source.regions)):
        if folder is not None:
            _check_folder(folder, f"{name}.{key}")


def _check_folder(folder: str, name: str) -> None:
    if not user_path(folder).is_dir():
        raise FileNotFoundError(f"{name}: no folder {folder}")
