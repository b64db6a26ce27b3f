"""Find what there is to score in a pair of folders: sequences, their frames and their objects."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sam2v.evaluation.labels import VOID, is_binary, present, read_labels
from sam2v.evaluation.protocol import Protocol

_ANNOTATION_FOLDERS = ("Annotations/480p", "Annotations_6fps", "Annotations/Full-Resolution", "Annotations")


@dataclass(frozen=True)
class Track:
    """Frames of one sequence that are scored together: the objects of its label maps, or one object's folder.

    obj: the object's folder name, or None for label maps.
    labels: objects to score; None = every label that appears.
    binary: non-zero pixels are the one object. guessed: nobody said so, the first annotation looks like it.
    """

    sequence: str
    gt: Path
    pred: Path
    frames: tuple[str, ...]
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
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    for below in _ANNOTATION_FOLDERS:
        if (folder / below).is_dir():
            return folder / below
    return folder


def read_sequence_list(sequences: str | Path | Iterable[str]) -> list[str]:
    """Names given in Python, comma-separated, or one a line in a text file."""
    if isinstance(sequences, Path) or (isinstance(sequences, str) and sequences.endswith(".txt")):
        path = Path(sequences)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such list of sequences")
        names = path.read_text().split()
    else:
        names = sequences.split(",") if isinstance(sequences, str) else list(sequences)
    names = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not names:
        raise ValueError(f"the list of sequences is empty: {sequences!r}")
    return names


def png_stems(folder: Path) -> list[str]:
    """Stems of the PNG files of a folder in name order."""
    with os.scandir(folder) as entries:
        return sorted(entry.name[:-4] for entry in entries if entry.name.endswith(".png"))


def stamp(track: Track) -> list[object]:
    """Changes with the size or time of any file of a track."""
    seen: list[object] = [track.obj, track.labels, track.binary]
    wanted = {f"{frame}.png" for frame in track.frames}
    for folder in (track.gt, track.pred):
        with os.scandir(folder) as entries:
            found = [(e.name, e.stat().st_size, e.stat().st_mtime_ns) for e in entries if e.name in wanted]
        seen += [str(folder.resolve()), sorted(found)]
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
        frames = _checked_frames(pred, gt, stems, protocol)
        labels, two_valued = _objects(gt, stems, protocol, binary)
        return [Track(name, gt, pred, frames, None, labels, two_valued, two_valued and binary is None)]
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
    return Track(name, gt, pred, _checked_frames(pred, gt, stems, protocol), obj, (1,), True)


def _checked_frames(pred: Path, gt: Path, stems: list[str], protocol: Protocol) -> tuple[str, ...]:
    """Annotated frames to score, once the prediction has them all and no unexpected ones."""
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
    extra = sorted(predicted - set(stems))
    if extra and not protocol.sparse:
        raise ValueError(
            f"{pred / extra[0]}.png: predicted but not annotated in {gt} ({len(predicted)} predictions,"
            f" {len(stems)} annotations); protocols for sparse annotations: youtube, sav"
        )
    return tuple(chosen)


def _objects(
    gt: Path, stems: list[str], protocol: Protocol, binary: bool | None
) -> tuple[tuple[int, ...] | None, bool]:
    """(labels to score, whether non-zero is the object), read off the first annotation that is not empty."""
    if binary:
        return (1,), True
    first = present(read_labels(gt / f"{stems[0]}.png"))
    if binary is None:
        later = (present(read_labels(gt / f"{stem}.png")) for stem in stems[1:])
        if is_binary(first or next(filter(None, later), [])):
            return (1,), True
    if protocol.objects == "all":
        return None, False
    highest = max((value for value in first if value != VOID), default=0)
    if highest == 0:
        raise ValueError(f"{gt / stems[0]}.png: annotates no object (objects that enter later: protocol youtube)")
    return tuple(range(1, highest + 1)), False
