"""Writers of masks as data: PNG files, COCO run-length JSON and NumPy archives."""

import contextlib
import json
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from sam2v.masks.boxes import mask_to_box
from sam2v.masks.png import write_binary, write_label_map
from sam2v.masks.result import MaskletFrame
from sam2v.masks.rle import encode_rle
from sam2v.video.journal import Journal, writing
from sam2v.video.writers import MaskWriter, Target

_DATA_SET, _LINES = "masks.json", "masks.jsonl"  # of COCO


class FileWriter(MaskWriter):
    """One or more files per frame, each complete or absent; a hidden journal says which frames have all theirs."""

    format = ""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.path = target.folder
        self._journal = Journal(_journal_path(target.folder, self.format), target.resume)

    @staticmethod
    def remove_results(folder: Path, format: str) -> None:
        journal = Journal(_journal_path(folder, format), resume=True)
        emptied = set()
        for _, entry in journal.entries():
            for name in entry["files"]:
                (folder / name).unlink(missing_ok=True)
                emptied.add((folder / name).parent)
        for place in emptied - {folder}:
            with contextlib.suppress(OSError):  # something else is in it
                place.rmdir()
        journal.path.unlink(missing_ok=True)

    def done_frames(self) -> set[int]:
        done: set[int] = set()
        for _, entry in self._journal.entries():
            there = all((self.path / name).is_file() for name in entry["files"])
            (done.add if there else done.discard)(entry["frame_idx"])
        return done

    def _write(self, result: MaskletFrame) -> None:
        names = list(self._write_files(result, self.target.frame_name(result.frame_idx)))
        self._journal.append({"frame_idx": result.frame_idx, "files": names})

    def _finish(self) -> None:
        self._journal.close()

    @abstractmethod
    def _write_files(self, result: MaskletFrame, stem: str) -> Iterator[str]:
        """Write the frame's files and yield their names, relative to the folder."""


def _journal_path(folder: Path, format: str) -> Path:
    return folder / f".sam2v-{format}.jsonl"


class LabelMapWriter(FileWriter):
    """FRAME.png with a palette: a pixel's value is the id of the object with the highest logit there, 0 = none."""

    format = "png"

    def _write_files(self, result: MaskletFrame, stem: str) -> Iterator[str]:
        name = f"{stem}.png"
        with writing(self.path / name):
            write_label_map(self.path / name, result.label_map())
        yield name


class ObjectWriter(FileWriter):
    """OBJECT/FRAME.png, 0 and 255, overlaps kept; OBJECT is the id with three digits."""

    format = "objects"

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._folders = {name.split("/")[0] for _, entry in self._journal.entries() for name in entry["files"]}

    def _write_files(self, result: MaskletFrame, stem: str) -> Iterator[str]:
        now = {f"{obj_id:03d}" for obj_id in result.obj_ids}
        for gone in self._folders - now:  # of objects that the frame had when it was written before
            (self.path / gone / f"{stem}.png").unlink(missing_ok=True)
        self._folders |= now
        for obj_id, mask in zip(result.obj_ids, result.binary(), strict=True):
            name = f"{obj_id:03d}/{stem}.png"
            with writing(self.path / name):
                write_binary(self.path / name, mask)
            yield name


class NpzWriter(FileWriter):
    """FRAME.npz: masks N x H x W bool, obj_ids N, iou N, object_score N, frame_idx."""

    format = "npz"

    def _write_files(self, result: MaskletFrame, stem: str) -> Iterator[str]:
        path = self.path / f"{stem}.npz"
        partial = path.with_name(f".{path.name}.part")
        with writing(path):
            try:
                with open(partial, "wb") as file:
                    np.savez_compressed(file, **_arrays(result))
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)
        yield path.name


def _arrays(result: MaskletFrame) -> dict[str, Any]:
    return {
        "masks": result.binary(),
        "obj_ids": np.array(result.obj_ids, np.int64),
        "iou": result.iou.detach().float().cpu().numpy(),
        "object_score": result.object_score.detach().float().cpu().numpy(),
        "frame_idx": np.int64(result.frame_idx),
    }


class CocoWriter(MaskWriter):
    """masks.jsonl while tracking, one line per frame; masks.json on close, a COCO data set of the same masks.

    In masks.json an image is a frame (its id is the frame's index) and an annotation is an object on it, with
    `track_id` the object's id, `score` the predicted IoU and `object_score` the presence logit. Empty masks are in
    the lines only.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.path = target.folder / _DATA_SET
        self._journal = Journal(target.folder / _LINES, target.resume)
        self._line_of = {entry["frame_idx"]: start for start, entry in self._journal.entries()}

    @staticmethod
    def remove_results(folder: Path, format: str) -> None:
        if (folder / _LINES).is_file():
            for name in (_LINES, _DATA_SET):
                (folder / name).unlink(missing_ok=True)

    def done_frames(self) -> set[int]:
        return set(self._line_of)

    def _write(self, result: MaskletFrame) -> None:
        masks = result.binary()
        boxes = mask_to_box(masks).tolist()
        scores = zip(result.iou.tolist(), result.object_score.tolist(), strict=True)
        objects = [
            {
                "id": int(obj_id),
                "segmentation": encode_rle(mask),
                "area": int(mask.sum()),
                "bbox": [x0, y0, x1 - x0 + 1, y1 - y0 + 1] if mask.any() else [0, 0, 0, 0],
                "score": round(iou, 6),
                "object_score": round(presence, 6),
            }
            for obj_id, mask, (x0, y0, x1, y1), (iou, presence) in zip(
                result.obj_ids, masks, boxes, scores, strict=True
            )
        ]
        name = self.target.frame_name(result.frame_idx)
        line = {"frame_idx": result.frame_idx, "name": name, "objects": objects}
        self._line_of[result.frame_idx] = self._journal.append(line)

    def _finish(self) -> None:
        self._journal.close()
        partial = self.path.with_name(f".{self.path.name}.part")
        with writing(self.path):
            try:
                with open(partial, "w") as file:
                    self._write_data_set(file)
                partial.replace(self.path)
            finally:
                partial.unlink(missing_ok=True)

    def _write_data_set(self, file: TextIO) -> None:
        """Line by line, so that memory does not grow with the video."""
        about = {"description": "masklets made by sam2v", "fps": self.target.fps}
        file.write('{"info":' + json.dumps(about) + ',\n"categories":[{"id":1,"name":"object"}],\n"images":[')
        _write_list(file, self._images())
        file.write('],\n"annotations":[')
        _write_list(file, self._annotations())
        file.write("]}\n")

    def _lines(self) -> Iterator[dict[str, Any]]:
        """The newest line of every frame, in the order of frames."""
        if not self._line_of:
            return
        with open(self._journal.path, "rb") as file:
            for _, start in sorted(self._line_of.items()):
                file.seek(start)
                yield json.loads(file.readline())

    def _images(self) -> Iterator[dict[str, Any]]:
        height, width = self.target.size
        for line in self._lines():
            index = line["frame_idx"]
            yield {
                "id": index,
                "frame_idx": index,
                "file_name": line["name"],
                "height": height,
                "width": width,
            }

    def _annotations(self) -> Iterator[dict[str, Any]]:
        number = 0
        for line in self._lines():
            for item in line["objects"]:
                if item["area"]:
                    number += 1
                    own = {key: value for key, value in item.items() if key != "id"}
                    head = {"id": number, "image_id": line["frame_idx"], "track_id": item["id"]}
                    yield head | {"category_id": 1, "iscrowd": 0} | own


def _write_list(file: TextIO, items: Iterable[dict[str, Any]]) -> None:
    for number, item in enumerate(items):
        file.write(",\n" if number else "\n")
        json.dump(item, file, separators=(",", ":"))
