"""Writers of masks as files of each frame: PNG and NumPy archives."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.files import inside, whole_file
from sam2v.masks.overlap import check_label_ids
from sam2v.masks.png import write_binary, write_label_map
from sam2v.masks.result import MaskletFrame
from sam2v.output.base import MaskWriter, Target
from sam2v.output.journal import Journal


class FileWriter(MaskWriter):
    """One or more files per frame, each complete or absent; a hidden journal says which frames have all theirs."""

    format = ""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.path = target.folder
        self._journal = Journal(self.record_path(target.folder, self.format), target.resume)

    @staticmethod
    def remove_results(folder: Path, format: str) -> None:
        journal = Journal(MaskWriter.record_path(folder, format), resume=True)
        emptied = set()
        for path in [path for _, entry in journal.entries() for path in _files_of(folder, entry)]:
            path.unlink(missing_ok=True)
            emptied.add(path.parent)
        for place in emptied - {folder}:
            with contextlib.suppress(OSError):  # something else is in it
                place.rmdir()
        journal.path.unlink(missing_ok=True)

    def done_frames(self) -> set[int]:
        done: set[int] = set()
        for _, entry in self._journal.entries():
            there = all(path.is_file() for path in _files_of(self.path, entry))
            (done.add if there else done.discard)(entry["frame_idx"])
        return done

    def _write(self, result: MaskletFrame) -> None:
        names = list(self._write_files(result, self.target.frame_name(result.frame_idx)))
        self._journal.append({"frame_idx": result.frame_idx, "files": names})

    def _finish(self, finished: bool) -> None:
        self._journal.close()

    @abstractmethod
    def _write_files(self, result: MaskletFrame, stem: str) -> Iterator[str]:
        """Write the frame's files and yield their names, relative to the folder."""


def _files_of(folder: Path, entry: Mapping[str, Any]) -> list[Path]:
    """The files that an entry names, none of them outside of the folder (ValueError)."""
    names = entry.get("files")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{folder}: the record of frame {entry['frame_idx']} does not name its files")
    return [inside(folder, name) for name in names]


class LabelMapWriter(FileWriter):
    """FRAME.png with a palette: a pixel's value is the id of the object with the highest logit there, 0 = none."""

    format = "png"

    def check(self, result: MaskletFrame) -> None:
        super().check(result)
        check_label_ids(result.obj_ids)

    def _write_files(self, result: MaskletFrame, stem: str) -> Iterator[str]:
        name = f"{stem}.png"
        write_label_map(inside(self.path, name), result.label_map())
        yield name


class ObjectWriter(FileWriter):
    """OBJECT/FRAME.png, 0 and 255, overlaps kept; OBJECT is the id with three digits."""

    format = "objects"

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        entries = (entry for _, entry in self._journal.entries())
        self._folders = {path.parent.name for entry in entries for path in _files_of(self.path, entry)}

    def _write_files(self, result: MaskletFrame, stem: str) -> Iterator[str]:
        now = {f"{obj_id:03d}" for obj_id in result.obj_ids}
        for gone in self._folders - now:  # of objects that the frame had when it was written before
            inside(self.path, f"{gone}/{stem}.png").unlink(missing_ok=True)
        self._folders |= now
        for obj_id, mask in zip(result.obj_ids, result.binary(), strict=True):
            name = f"{obj_id:03d}/{stem}.png"
            write_binary(inside(self.path, name), mask)
            yield name


class NpzWriter(FileWriter):
    """FRAME.npz: masks N x H x W bool, obj_ids N, iou N, object_score N, frame_idx."""

    format = "npz"

    def _write_files(self, result: MaskletFrame, stem: str) -> Iterator[str]:
        path = inside(self.path, f"{stem}.npz")
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **_arrays(result))
        yield f"{stem}.npz"


def _arrays(result: MaskletFrame) -> dict[str, Any]:
    iou, object_score = result.scores().T
    return {
        "masks": result.binary(),
        "obj_ids": np.array(result.obj_ids, np.int64),
        "iou": iou,
        "object_score": object_score,
        "frame_idx": np.int64(result.frame_idx),
    }
