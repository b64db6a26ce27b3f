"""Masks of one masklet in a file: run lengths and scores by frame."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sam2v.files import read_json, write_text
from sam2v.masks.rle import decode_rle, encode_rle, rle_area

#: Bytes of a file of masks; a larger one is refused.
_MOST_BYTES = 1 << 28
_SCORES = ("iou", "score", "stability")


class MaskRow(NamedTuple):
    """A mask on one frame.

    Attributes:
        counts: of its COCO RLE, compressed.
        iou: predicted. score: the object score's logit. stability: see `sam2v.output.sav.stability_of`.
    """

    counts: str
    iou: float = 1.0
    score: float = 10.0
    stability: float = 1.0


@dataclass
class MaskletMasks:
    """The masks of one object on the annotated frames of a video.

    Attributes:
        size: (height, width) in pixels. rows: by frame index; empty masks have a row as well.
        about: what else is known, as JSON holds it.
    """

    size: tuple[int, int]
    rows: dict[int, MaskRow] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, masks: Mapping[int, np.ndarray], size: tuple[int, int]) -> MaskletMasks:
        """Masks that are known to be right: H x W bool by frame index."""
        return cls(size, {index: MaskRow(str(encode_rle(mask)["counts"])) for index, mask in sorted(masks.items())})

    @property
    def frames(self) -> list[int]:
        """Indices of the annotated frames, ascending."""
        return sorted(self.rows)

    def rle(self, frame_idx: int) -> dict[str, Any]:
        """The COCO RLE on an annotated frame; KeyError on others."""
        return {"size": list(self.size), "counts": self.rows[frame_idx].counts}

    def mask(self, frame_idx: int) -> np.ndarray:
        """H x W bool on an annotated frame."""
        return decode_rle(self.rle(frame_idx))

    def areas(self) -> list[int]:
        """Pixels on every annotated frame, in order."""
        return [rle_area(self.rle(index)) for index in self.frames]

    def save(self, path: Path) -> None:
        """Write a file, whole or not at all: the same masks give the same bytes.

        Raises:
            OSError: the disk refuses; the message names the file.
        """
        rows = {str(index): [row[0], *(round(score, 6) for score in row[1:])] for index, row in self.rows.items()}
        document = {"size": list(self.size), "about": self.about, "frames": rows}
        write_text(path, json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n")

    @classmethod
    def load(cls, path: Path) -> MaskletMasks:
        """Read a file.

        Raises:
            OSError: none there. ValueError: it is no file of masks; the message names it.
        """
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{path}: more than {_MOST_BYTES >> 20} MB of masks of one object")
        try:
            document = read_json(path)
            height, width = (int(side) for side in document["size"])
            rows = {int(index): _row(values) for index, values in document["frames"].items()}
            masks = cls((height, width), dict(sorted(rows.items())), dict(document["about"]))
            masks.areas()  # looks at every run length
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise ValueError(f"{path}: not a file of masks ({error})") from None
        return masks


def _row(values: Sequence[Any]) -> MaskRow:
    counts, *scores = values
    if not isinstance(counts, str) or len(scores) != len(_SCORES):
        raise ValueError(f"a mask is run lengths and {', '.join(_SCORES)}")
    return MaskRow(counts, *(float(score) for score in scores))


def frames_at(length: int, fps: float | None, rate: float) -> list[int]:
    """Indices of the frames that are annotated: `rate` a second, from the first one on.

    Args:
        length: frames of the video. fps: frames per second, None: 24. rate: annotated ones per second.
    """
    step = max(1.0, (fps or 24.0) / rate)
    return list(dict.fromkeys(index for k in range(int(length / step) + 1) if (index := round(k * step)) < length))
