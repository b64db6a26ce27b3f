"""The masks found on a picture, kept as run lengths, and the records that are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sam2v.automatic.options import OutputMode
from sam2v.masks.draw import draw_parts
from sam2v.masks.rle import decode_rle, rle_of_turns
from sam2v.masks.window import Window

_ARRAYS = ("boxes", "iou", "stability", "points", "crops")


@dataclass(frozen=True, eq=False)
class FoundMasks:
    """N masks of a picture.

    Attributes:
        turns: where each mask's runs begin and end, as `sam2v.masks.rle.rle_of_turns` takes them.
        boxes: N x 4 int64 (x0, y0, x1, y1), pixels, ends included; zeros where a mask is empty.
        iou: N float32, predicted. stability: N float32, at the picture's size.
        points: N x 2 float32 (x, y), pixels: where each mask was proposed.
        crops: N x 4 int64 (x0, y0, x1, y1), ends excluded: what of the picture the network saw.
        size: (height, width) of the picture.
    """

    turns: tuple[np.ndarray, ...]
    boxes: np.ndarray
    iou: np.ndarray
    stability: np.ndarray
    points: np.ndarray
    crops: np.ndarray
    size: tuple[int, int]

    @classmethod
    def none(cls, size: tuple[int, int]) -> FoundMasks:
        """No masks."""
        four, one = np.zeros((0, 4), np.int64), np.zeros(0, np.float32)
        return cls((), four, one, one, np.zeros((0, 2), np.float32), four, size)

    @classmethod
    def joined(cls, parts: Sequence[FoundMasks]) -> FoundMasks:
        """The masks of several parts of one picture, at least one, one after the other."""
        turns = tuple(turns for part in parts for turns in part.turns)
        arrays: Any = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
        return replace(parts[0], turns=turns, **arrays)

    def __len__(self) -> int:
        return len(self.turns)

    def __getitem__(self, rows: np.ndarray) -> FoundMasks:
        """Some of the masks, or all in another order, by an array of indices."""
        arrays: Any = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return replace(self, turns=tuple(self.turns[row] for row in rows.tolist()), **arrays)

    def areas(self) -> list[int]:
        """Pixels of each mask."""
        return [int((turns[1::2] - turns[::2]).sum()) for turns in self.turns]

    def rle(self, row: int, compressed: bool = True) -> dict[str, Any]:
        """A mask as COCO RLE."""
        return rle_of_turns(self.turns[row], self.size, compressed)

    def mask(self, row: int) -> np.ndarray:
        """A mask as H x W bool."""
        return decode_rle(self.rle(row, compressed=False))

    def label_map(self) -> np.ndarray:
        """The number of the mask at each pixel, from 1 on in their order and 0 where there is none; of several the
        smallest. H x W uint8, or uint16 where there are 255 or more."""
        labels = np.zeros(self.size, np.uint16 if len(self) >= 255 else np.uint8)
        for row in np.argsort([-area for area in self.areas()], kind="stable").tolist():
            labels[self.mask(row)] = row + 1
        return labels

    def overlay(self, frame: np.ndarray, alpha: float = 0.45, contour: bool = True) -> np.ndarray:
        """The masks drawn over the picture, H x W x 3 uint8, as the label map shows them; see `draw_masks`."""
        return draw_parts(frame, self._seen(), alpha, contour)

    def _seen(self) -> Iterator[tuple[np.ndarray, Window, int]]:
        """What the label map shows of each mask, in its box."""
        labels = self.label_map()
        for row, (x0, y0, x1, y1) in enumerate(self.boxes.tolist()):
            window = slice(y0, y1 + 1), slice(x0, x1 + 1)
            yield labels[window] == row + 1, window, row + 1

    def records(self, mode: OutputMode) -> list[dict[str, Any]]:
        """A dictionary for each mask, with SAM's keys.

        `segmentation` is what `mode` says (see `MaskOptions.output_mode`); `bbox` and `crop_box` are (x, y, width,
        height) in pixels, the former with its last column and row as the ends; `area` counts pixels; `predicted_iou`
        and `stability_score` are floats; `point_coords` is a list with one point (x, y).
        """
        return [self._record(row, area, mode) for row, area in enumerate(self.areas())]

    def _record(self, row: int, area: int, mode: OutputMode) -> dict[str, Any]:
        return {
            "segmentation": self.mask(row) if mode == "binary_mask" else self.rle(row, mode == "coco_rle"),
            "area": area,
            "bbox": _with_sides(self.boxes[row]),
            "predicted_iou": float(self.iou[row]),
            "point_coords": [self.points[row].tolist()],
            "stability_score": float(self.stability[row]),
            "crop_box": _with_sides(self.crops[row]),
        }


def _with_sides(box: np.ndarray) -> list[float]:
    x0, y0, x1, y1 = box.tolist()
    return [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
