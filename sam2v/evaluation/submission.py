"""Write predictions the way a benchmark takes them in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sam2v.evaluation.predictor import Mask
from sam2v.files import inside
from sam2v.masks.png import write_binary, write_label_map

if TYPE_CHECKING:
    from sam2v.data.records import VideoRecord


def write_frame(folder: Path, record: VideoRecord, frame_idx: int, masks: Mapping[int, Mask]) -> None:
    """Write one frame's masks (object -> H x W bool) below `folder`, in the layout of the record's data set.

    VIDEO/FRAME.png with object numbers (DAVIS 2017, YouTube-VOS, MOSE, LVOS) or 0 / 255 (DAVIS 2016), or
    VIDEO/OBJECT/FRAME.png, one 0 / 255 picture per object (SA-V).

    Raises:
        ValueError: the video's name, which comes from the data set, leads out of `folder`. OSError: the disk refuses.
    """
    folder = inside(folder, record.name)
    name = f"{record.frame_names[frame_idx]}.png"
    empty = np.zeros(record.size, dtype=bool)
    if record.layout == "objects":
        for obj in record.first_frame:
            write_binary(folder / record.object_name(obj) / name, masks.get(obj, empty))
    elif record.layout == "binary":
        write_binary(folder / name, masks.get(1, empty))
    else:
        # the same depth on every frame; 255 is void in 8 bits
        labels = np.zeros(record.size, dtype=np.uint16 if max(record.first_frame, default=0) >= 255 else np.uint8)
        for obj, mask in masks.items():
            labels[mask] = obj
        write_label_map(folder / name, labels)
