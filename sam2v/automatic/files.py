"""What is found on pictures, as files: label maps, overlays, records, and one COCO data set of all."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2v.automatic.found import FoundMasks
from sam2v.automatic.options import OutputMode
from sam2v.files import inside, whole_file, write_text
from sam2v.masks.png import write_label_map
from sam2v.output.coco import CocoLines

if TYPE_CHECKING:
    from typing_extensions import Self

#: Folders of the results, and how their files end.
LABELS, OVERLAYS, RECORDS = ("labels", ".png"), ("overlays", ".jpg"), ("records", ".json")


class PictureResults:
    """Files of pictures in a folder; everything written stays valid if the program stops at any moment.

    For every picture `labels/NAME.png`, a label map in which small masks lie over large ones; `overlays/NAME.jpg`, the
    picture under it; `records/NAME.json`, the masks as SA-1B has them: `image` (id, size, file name) and `annotations`,
    SAM's records with run lengths. For all of them `masks.jsonl`, a line for each as it comes, and on closing
    `masks.json`, a COCO data set of the same masks.

    Args:
        folder: made if missing. mode: how run lengths are written in records.
    """

    def __init__(self, folder: Path, mode: OutputMode = "coco_rle") -> None:
        self.folder = folder
        self._mode: OutputMode = "coco_rle" if mode == "binary_mask" else mode
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = CocoLines(folder, {"description": "masks made by sam2v"}, (0, 0), resume=False)
        self._count = 0

    def write(self, name: str, file_name: str, frame: np.ndarray, found: FoundMasks) -> None:
        """Write what belongs to a picture.

        Args:
            name: of its files, without an ending. file_name: the picture's own, with its ending.
            frame: the picture, H x W x 3 uint8.

        Raises:
            OSError: the disk is full or the folder cannot be written; the message names the file.
            ValueError: a name that leads out of the folder.
        """
        from PIL import Image

        write_label_map(self._path(LABELS, name), found.label_map())
        with whole_file(self._path(OVERLAYS, name)) as temporary:
            Image.fromarray(found.overlay(frame)).save(temporary, "JPEG", quality=90)
        records = [{"id": row + 1, **record} for row, record in enumerate(found.records(self._mode))]
        height, width = found.size
        image = {"image_id": self._count, "width": width, "height": height, "file_name": file_name}
        text = json.dumps({"image": image, "annotations": records})
        write_text(self._path(RECORDS, name), text + "\n")
        about = {"frame_idx": self._count, "name": name, "file_name": file_name, "height": height, "width": width}
        self._lines.add({**about, "objects": [_object(found, row, record) for row, record in enumerate(records)]})
        self._count += 1

    def close(self) -> None:
        """Write masks.json."""
        self._lines.close()

    def _path(self, kind: tuple[str, str], name: str) -> Path:
        folder, ending = kind
        return inside(self.folder / folder, name + ending)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _object(found: FoundMasks, row: int, record: dict[str, Any]) -> dict[str, Any]:
    """A mask as the COCO data set has it: its box reaches to the outer edges of its last column and row."""
    x, y, width, height = (int(side) for side in record["bbox"])
    box = [x, y, width + 1, height + 1] if record["area"] else [0, 0, 0, 0]
    return {
        "segmentation": found.rle(row),
        "area": record["area"],
        "bbox": box,
        "score": round(record["predicted_iou"], 6),
        "stability_score": round(record["stability_score"], 6),
    }
