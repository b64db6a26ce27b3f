"""Find what there is to score in a pair of folders: sequences, their frames and their objects."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sam2v.evaluation.protocol import Protocol, objects_of_first
from sam2v.evaluation.stamps import files_in
from sam2v.files import read_text, user_path
from sam2v.masks.grey import is_mask, objects_in
from sam2v.masks.png import read_label_map
from sam2v.video.frames import natural_key

_ANNOTATION_FOLDERS = ("Annotations/480p", "Annotations_6fps", "Annotations/Full-Resolution", "Annotations")


@dataclass(frozen=True)
class Track:
    """Frames of one sequence that are scored together: the objects of its label maps, or one object's folder.

    others: annotated frames that are left out. obj: the object's folder name, or None for label maps. labels: objects
    to score; None = every one that is annotated. binary: the pictures are masks of one object. guessed: nobody said so,
    the first annotation looks like it.
    """

    sequence: str
    gt: Path
    pred: Path
    frames: tuple[str, ...]
    others: tuple[str, ...] = ()
    obj: str | None = None
    labels: tuple[int, ...] | None = None
    binary: bool = False
    guessed: bool = False


def plan(
    pred: Path,
    gt: Path,
    protocol: Protocol,
    sequences: str | Path | Iterable[str] | None,
    binary: bool | None,
) -> dict[str, list[Track]]:
    """Tracks of every sequence of the annotation folder `gt`, or of those listed, in name order.

    Raises FileNotFoundError or ValueError naming the folder or file that is missing, empty or one too many.
    """
    gt, pred = annotation_root(gt), annotation_root(pred)
    names = _sequence_names(gt, sequences)
    absent = [name for name in names if not (pred / name).is_dir()]
    if absent:
        more = f" (nor for {len(absent) - 1} more)" if len(absent) > 1 else ""
        raise FileNotFoundError(
            f"{pred / absent[0]}: no predictions for sequence {absent[0]!r}{more}; --sequences chooses"
        )
    return {name: _tracks(name, pred / name, gt / name, protocol, binary) for name in names}


def annotation_root(folder: Path) -> Path:
    """The folder of sequences in `folder`: itself, or the usual place below a data set's root."""
    folder = user_path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    for below in _ANNOTATION_FOLDERS:
        if (folder / below).is_dir():
            return folder / below
    return folder


def read_sequence_list(sequences: str | Path | Iterable[str]) -> list[str]:
    """Names given in Python, comma-separated, or one a line in a text file."""
    if isinstance(sequences, Path) or (isinstance(sequences, str) and sequences.endswith(".txt")):
        path = user_path(sequences)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such list of sequences")
        names = read_text(path).split()
    else:
        names = sequences.split(",") if isinstance(sequences, str) else list(sequences)
    names = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not names:
        raise ValueError(f"the list of sequences is empty: {sequences!r}")
    return names


def png_stems(folder: Path) -> list[str]:
    """Stems of the PNG files of a folder in the order of frames: by their numbers, 9 before 10."""
    with os.scandir(folder) as entries:
        return sorted((entry.name[:-4] for entry in entries if entry.name.endswith(".png")), key=natural_key)


def stamp(track: Track) -> list[object]:
    """Changes with the size or time of any file of a track."""
    seen: list[object] = [track.obj, track.labels, track.binary]
    wanted = {f"{frame}.png" for frame in (*track.frames, *track.others)}
    for folder in (track.gt, track.pred):
        seen += [str(folder.resolve()), files_in(folder, wanted)]
    return seen


def _sequence_names(gt: Path, sequences: str | Path | Iterable[str] | None) -> list[str]:
    if sequences is None:
        names = sorted(entry.name for entry in os.scandir(gt) if entry.is_dir() and not entry.name.startswith("."))
        if not names:
            raise ValueError(f"{gt}: holds no sequence folders; expected {gt}/SEQUENCE/00000.png")
        return names
    names = read_sequence_list(sequences)
    for name in names:
        if not (gt / name).is_dir():
            raise FileNotFoundError(f"{gt / name}: sequence {name!r} is listed but has no annotation folder")
    return sorted(names)


def _tracks(name: str, pred: Path, gt: Path, protocol: Protocol, binary: bool | None) -> list[Track]:
    stems = png_stems(gt)
    if stems:
        frames, others = _checked_frames(pred, gt, stems, protocol)
        labels, one = _objects(gt, stems, protocol, binary)
        return [Track(name, gt, pred, frames, others, None, labels, one, one and binary is None)]
    objects = sorted(entry.name for entry in os.scandir(gt) if entry.is_dir())
    if not objects:
        raise ValueError(f"{gt}: holds neither PNG files nor one folder of PNG files per object")
    return [_object_track(name, pred / obj, gt / obj, obj, protocol) for obj in objects]


def _object_track(name: str, pred: Path, gt: Path, obj: str, protocol: Protocol) -> Track:
    stems = png_stems(gt)
    if not stems:
        raise ValueError(f"{gt}: holds no PNG files")
    if not pred.is_dir():
        raise FileNotFoundError(
            f"{pred}: no such folder; annotations have one folder per object, so predictions need it too"
        )
    return Track(name, gt, pred, *_checked_frames(pred, gt, stems, protocol), obj, (1,), True)


def _checked_frames(
    pred: Path, gt: Path, stems: list[str], protocol: Protocol
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Annotated frames to score, once the prediction has them all and no unexpected ones; and those that are left
    out.
    """
    predicted = set(png_stems(pred))
    chosen = stems[1:-1] if protocol.frames == "inner" else stems
    if not chosen:
        raise ValueError(f"{gt}: has {len(stems)} annotated frames, none left without the first and the last")
    missing = [stem for stem in chosen if stem not in predicted]
    if missing:
        raise FileNotFoundError(
            f"{pred / missing[0]}.png: missing; {len(missing)} of the"
            f" {len(chosen)} frames to score in {gt} have no prediction"
        )
    extra = sorted(predicted - set(stems), key=natural_key)
    if extra and not protocol.sparse:
        raise ValueError(
            f"{pred / extra[0]}.png: predicted but not annotated in {gt} ({len(predicted)} predictions,"
            f" {len(stems)} annotations); protocols for sparse annotations: youtube, sav"
        )
    return tuple(chosen), tuple(stem for stem in stems if stem not in set(chosen))


def _objects(
    gt: Path, stems: list[str], protocol: Protocol, binary: bool | None
) -> tuple[tuple[int, ...] | None, bool]:
    """(labels to score, whether the pictures are masks of one object), read off the first annotation that is not
    empty.
    """
    if binary:
        return (1,), True
    first = read_label_map(gt / f"{stems[0]}.png")
    later = (read_label_map(gt / f"{stem}.png") for stem in stems[1:])
    if binary is None and is_mask(first if first.any() else next((map_ for map_ in later if map_.any()), first)):
        return (1,), True
    if protocol.objects == "all":
        return None, False
    if not objects_in(first):
        raise ValueError(f"{gt / stems[0]}.png: annotates no object (objects that enter later: protocol youtube)")
    return tuple(objects_of_first(objects_in(first), map(objects_in, later))), False
