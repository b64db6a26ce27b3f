"""label_studio.json: a task with predictions for Label Studio, whose videos have boxes at key frames and no masks."""

from __future__ import annotations

import json
from typing import Any, TextIO

from sam2v.masks.crops import MaskCrop
from sam2v.output.by_object import ObjectRecordWriter


class LabelStudioWriter(ObjectRecordWriter):
    """label_studio.json on close: one task with a `videorectangle` region per object.

    Every frame on which an object is seen is a key frame with its tight box in percent; frames count from 1. The last
    one before it disappears is not `enabled`, so that nothing is shown in between. The task goes with a labeling
    configuration `<Video name="video" value="$video"/>`, `<VideoRectangle name="box" toName="video"/>` and
    `<Labels name="videoLabels" toName="video">`.
    """

    format = "labelstudio"
    file_name = "label_studio.json"

    def _shape(self, crop: MaskCrop) -> dict[str, Any]:
        rows, columns = crop.window
        return {"box": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]}

    def _is_shape(self, shape: Any) -> bool:
        box = shape.get("box") if isinstance(shape, dict) else None
        return (
            isinstance(box, list) and len(box) == 4 and all(type(side) is int and 0 <= side < 1 << 30 for side in box)
        )

    def _write_record(self, file: TextIO) -> None:
        data = json.dumps({"video": self.target.video_file})
        file.write(f'[{{"data":{data},\n"predictions":[{{"model_version":"sam2v","result":[')
        for number, obj_id in enumerate(self._objects()):
            file.write((",\n" if number else "\n") + json.dumps(self._region(obj_id), separators=(",", ":")))
        file.write("]}]}]\n")

    def _region(self, obj_id: int) -> dict[str, Any]:
        frames = [(frame_idx, shape["box"]) for frame_idx, shape in self._shapes(obj_id)]
        known = {frame_idx for frame_idx, _ in frames}
        return {
            "id": f"object{obj_id}",
            "type": "videorectangle",
            "from_name": "box",
            "to_name": "video",
            "meta": {"text": [str(obj_id)]},
            "value": {
                "framesCount": self._length,
                "duration": round(self._length / self.target.rate, 6),
                "labels": [self.target.class_of(obj_id)],
                "sequence": [self._key_frame(frame_idx, box, frame_idx + 1 in known) for frame_idx, box in frames],
            },
        }

    def _key_frame(self, frame_idx: int, box: list[int], goes_on: bool) -> dict[str, Any]:
        height, width = self.target.size
        x, y, w, h = (round(100 * side / whole, 4) for side, whole in zip(box, (width, height) * 2, strict=True))
        place = {"x": x, "y": y, "width": w, "height": h, "rotation": 0}
        time = round(frame_idx / self.target.rate, 6)
        return {"frame": frame_idx + 1, "time": time, "enabled": goes_on, **place}
