"""masks.json: a COCO data set of all frames' masks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from sam2v.files import whole_file
from sam2v.masks.crops import MaskCrop
from sam2v.masks.result import MaskletFrame
from sam2v.masks.rle import encode_crop
from sam2v.output.base import NO_CLASS, MaskWriter, Target, is_object
from sam2v.output.journal import Journal

_DATA_SET, _LINES = "masks.json", "masks.jsonl"


class CocoWriter(MaskWriter):
    """masks.jsonl while tracking, one line per frame; masks.json on close, a COCO data set of the same masks.

    In masks.json an image is a frame (its id is the frame's index, `file_name` the name of the picture) and an
    annotation is an object on it, with `track_id` the object's id, its class as category, `score` the predicted IoU and
    `object_score` the presence logit. Empty masks are in the lines only.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        about = {"description": "masklets made by sam2v", "fps": target.rate}
        self._lines = CocoLines(target.folder, about, target.size, target.resume, target)
        self.path = self._lines.path

    @staticmethod
    def record_path(folder: Path, format: str) -> Path:
        return folder / _LINES

    @staticmethod
    def remove_results(folder: Path, format: str) -> None:
        if (folder / _LINES).is_file():  # names of their own, whatever the lines say
            for name in (_LINES, _DATA_SET):
                (folder / name).unlink(missing_ok=True)

    def done_frames(self) -> set[int]:
        return self._lines.done()

    def _write(self, result: MaskletFrame) -> None:
        index = result.frame_idx
        scores = zip(result.obj_ids, *result.scores().T.tolist(), strict=True)
        objects = [
            {"id": int(obj_id), **_shape(crop, result.size), "score": round(iou, 6), "object_score": round(presence, 6)}
            for crop, (obj_id, iou, presence) in zip(result.crops, scores, strict=True)
        ]
        names = {"name": self.target.frame_name(index), "file_name": self.target.file_name(index)}
        self._lines.add({"frame_idx": index, **names, "objects": objects})

    def _finish(self, finished: bool) -> None:
        self._lines.close()


class CocoLines:
    """The masks of many pictures: a line of masks.jsonl for each as it comes, and masks.json on closing.

    Attributes:
        path: of masks.json.

    Args:
        folder: where both are. about: the data set's `info`. resume: go on with the lines that are there.
        size: (height, width) of the pictures whose line does not tell. target: knows the classes of objects.

    Raises:
        ValueError: lines that hold no masks, or a link in their place.
    """

    def __init__(
        self, folder: Path, about: dict[str, Any], size: tuple[int, int], resume: bool, target: Target | None = None
    ) -> None:
        self._class_of = (lambda obj_id: NO_CLASS) if target is None else target.class_of
        self._classes = [NO_CLASS] if target is None else target.class_names
        self.path, self._about, self._size = folder / _DATA_SET, about, size
        self._journal = Journal(folder / _LINES, resume)
        self._line_of: dict[int, int] = {}
        for number, (start, entry) in enumerate(self._journal.entries(), 1):
            if not _is_line(entry):
                raise ValueError(f"{self._journal.path}: line {number} holds no masks as this writer leaves them")
            if target is not None:
                target.check_entry(entry, self._journal.path, number)
            self._line_of[entry["frame_idx"]] = start

    def done(self) -> set[int]:
        """Numbers of the pictures that have a line."""
        return set(self._line_of)

    def add(self, line: dict[str, Any]) -> None:
        """Write the line of a picture; a later one about the same picture counts.

        Args:
            line: `frame_idx`, its number; `name` and `file_name`; `height` and `width` if it has a size of its own;
                `objects`, each with `segmentation`, `area`, `bbox`, and whatever else is known of it (`id` becomes
                `track_id`).
        """
        self._line_of[line["frame_idx"]] = self._journal.append(line)

    def close(self) -> None:
        """Write masks.json."""
        self._journal.close()
        with whole_file(self.path) as temporary, temporary.open("w", encoding="utf-8") as file:
            # line by line, so that memory does not grow with the number of pictures
            categories = [{"id": number, "name": name} for number, name in enumerate(self._classes, 1)]
            file.write('{"info":' + json.dumps(self._about))
            file.write(',\n"categories":' + json.dumps(categories, separators=(",", ":")) + ',\n"images":[')
            _write_list(file, self._images())
            file.write('],\n"annotations":[')
            _write_list(file, self._annotations())
            file.write("]}\n")

    def _newest(self) -> Iterator[dict[str, Any]]:
        """The newest line of every picture, in order."""
        if not self._line_of:
            return
        with open(self._journal.path, "rb") as file:
            for _, start in sorted(self._line_of.items()):
                file.seek(start)
                yield json.loads(file.readline())

    def _images(self) -> Iterator[dict[str, Any]]:
        for line in self._newest():
            index = line["frame_idx"]
            yield {
                "id": index,
                "frame_idx": index,
                "file_name": line.get("file_name", line["name"]),
                "height": line.get("height", self._size[0]),
                "width": line.get("width", self._size[1]),
            }

    def _annotations(self) -> Iterator[dict[str, Any]]:
        number = 0
        for line in self._newest():
            for item in line["objects"]:
                if item["area"]:
                    number += 1
                    own = {key: value for key, value in item.items() if key != "id"}
                    track = {"track_id": item["id"]} if "id" in item else {}
                    head = {"id": number, "image_id": line["frame_idx"], **track}
                    category = self._classes.index(self._class_of(item.get("id", 0))) + 1
                    yield head | {"category_id": category, "iscrowd": 0} | own


def _is_line(entry: Mapping[str, Any]) -> bool:
    """Whether a line has all that masks.json tells of its picture."""
    objects, sides = entry.get("objects"), (entry.get("height", 1), entry.get("width", 1))
    return (
        isinstance(entry.get("name"), str)
        and isinstance(entry.get("file_name", ""), str)
        and all(type(side) is int and side > 0 for side in sides)
        and isinstance(objects, list)
        and all(is_object(item, ("segmentation", "area", "bbox")) and type(item["area"]) is int for item in objects)
    )


def _shape(crop: MaskCrop | None, size: tuple[int, int]) -> dict[str, Any]:
    """Run lengths, area and box (x, y, width, height) of a mask on a frame of `size`."""
    rle = encode_crop(crop, size)
    if crop is None:
        return {"segmentation": rle, "area": 0, "bbox": [0, 0, 0, 0]}
    rows, columns = crop.window
    box = [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
    return {"segmentation": rle, "area": crop.area, "bbox": box}


def _write_list(file: TextIO, items: Iterable[dict[str, Any]]) -> None:
    for number, item in enumerate(items):
        file.write(",\n" if number else "\n")
        json.dump(item, file, separators=(",", ":"))
