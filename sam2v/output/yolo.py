"""A data set for YOLO segmentation: a polygon per object, beside the pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from sam2v.files import inside, read_text, whole_file, write_text
from sam2v.masks.outline import polygon_of
from sam2v.masks.result import MaskletFrame
from sam2v.output.base import Target
from sam2v.output.mask_files import FileWriter

_ABOUT = "data.yaml"
_QUALITY = 95
#: Where in its pixel a corner lies: readers that cut places down to numbers of pixels and those that round find it.
_WITHIN = 0.25


class YoloWriter(FileWriter):
    """labels/FRAME.txt with a line per object, images/FRAME.jpg, and data.yaml with the classes.

    A line is the number of the class and a polygon through the outermost pixels, in shares of the picture; parts and
    holes are joined by lines. Results must carry their picture.
    """

    format = "yolo"
    draws = True

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        # YAML takes what JSON writes, but for characters that JSON writes as two halves
        quoted = (json.dumps(name, ensure_ascii=False) for name in target.class_names)
        names = "".join(f"  {number}: {name}\n" for number, name in enumerate(quoted))
        text, path = f"train: images\nval: images\nnames:\n{names}", target.folder / _ABOUT
        if target.resume and path.exists() and self.done_frames() and read_text(path) != text:
            self.close(finished=False)
            raise ValueError(f"{path}: has other classes than these, {', '.join(target.class_names)}; use a new folder")
        write_text(path, text)

    @staticmethod
    def remove_results(folder: Path, format: str) -> None:
        if FileWriter.record_path(folder, format).is_file():
            (folder / _ABOUT).unlink(missing_ok=True)
        FileWriter.remove_results(folder, format)

    def check(self, result: MaskletFrame) -> None:
        super().check(result)
        if result.frame is None:
            raise ValueError(f"frame {result.frame_idx} has no picture to write: pass result.with_frame(frame)")

    def _write_files(self, result: MaskletFrame, stem: str) -> Iterator[str]:
        from PIL import Image

        assert result.frame is not None
        picture, label = f"images/{stem}.jpg", f"labels/{stem}.txt"
        with whole_file(inside(self.path, picture)) as temporary:
            Image.fromarray(result.frame).save(temporary, format="JPEG", quality=_QUALITY)
        yield picture
        write_text(inside(self.path, label), "".join(self._lines(result)))
        yield label

    def _lines(self, result: MaskletFrame) -> Iterator[str]:
        height, width = result.size
        for obj_id, crop in zip(result.obj_ids, result.crops, strict=True):
            if crop is None:
                continue
            polygon = polygon_of(crop.mask, centres=True)
            assert polygon is not None  # a crop is not empty
            corners = polygon.tolist()
            corners += corners[-1:] * (3 - len(corners))  # of a pixel or two, readers want three corners
            rows, columns = crop.window
            left, top = columns.start + _WITHIN, rows.start + _WITHIN
            shares = (f"{(x + left) / width:.6f} {(y + top) / height:.6f}" for x, y in corners)
            number = self.target.class_names.index(self.target.class_of(obj_id))
            yield f"{number} {' '.join(shares)}\n"
