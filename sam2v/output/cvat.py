"""annotations.xml: CVAT for video 1.1, a track of polygons per object."""

from __future__ import annotations

import re
from typing import Any, TextIO
from xml.sax.saxutils import escape, quoteattr

from sam2v.masks.crops import MaskCrop
from sam2v.masks.outline import polygon_of
from sam2v.output.base import Target
from sam2v.output.by_object import ObjectRecordWriter

_HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <name>{name}</name>
      <size>{length}</size>
      <mode>interpolation</mode>
      <start_frame>0</start_frame>
      <stop_frame>{last}</stop_frame>
      <labels>
{labels}
      </labels>
      <original_size>
        <width>{width}</width>
        <height>{height}</height>
      </original_size>
    </task>
  </meta>
"""
#: What XML 1.0 cannot hold; names of files can.
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_POINTS = re.compile(r"-?[0-9.]+,-?[0-9.]+(;-?[0-9.]+,-?[0-9.]+)*")
_LABEL = "        <label>\n          <name>{name}</name>\n          <attributes></attributes>\n        </label>"


class CvatWriter(ObjectRecordWriter):
    """annotations.xml on close.

    A track's id is the object's. Every frame on which it is seen has a polygon of its own, in pixels along the edges of
    pixels; parts and holes are joined by lines that enclose nothing. Where it disappears its last polygon is `outside`.
    """

    format = "cvat"
    file_name = "annotations.xml"

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._name = escape(_NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", target.video_name))

    def _shape(self, crop: MaskCrop) -> dict[str, Any]:
        rows, columns = crop.window
        polygon = polygon_of(crop.mask)
        assert polygon is not None  # a crop is not empty
        points = polygon + (columns.start, rows.start)
        return {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in points.tolist())}

    def _is_shape(self, shape: Any) -> bool:
        points = shape.get("points") if isinstance(shape, dict) else None
        return isinstance(points, str) and _POINTS.fullmatch(points) is not None

    def _write_record(self, file: TextIO) -> None:
        height, width = self.target.size
        objects = self._objects()
        names = dict.fromkeys(map(self.target.class_of, objects)) or {self.target.class_of(0): None}
        labels = "\n".join(_LABEL.format(name=escape(name)) for name in names)
        about = {"name": self._name, "length": self._length, "last": max(self._length - 1, 0)}
        file.write(_HEAD.format(labels=labels, width=width, height=height, **about))
        for obj_id in objects:
            label = quoteattr(self.target.class_of(obj_id))
            file.write(f'  <track id="{obj_id}" label={label} source="auto">\n')
            before: tuple[int, str] | None = None
            for frame_idx, shape in self._shapes(obj_id):
                if before is not None and frame_idx > before[0] + 1:
                    file.write(_polygon(before[0] + 1, before[1], outside=True))
                before = (frame_idx, shape["points"])
                file.write(_polygon(*before))
            if before is not None and before[0] + 1 < self._length:
                file.write(_polygon(before[0] + 1, before[1], outside=True))
            file.write("  </track>\n")
        file.write("</annotations>\n")


def _polygon(frame_idx: int, points: str, outside: bool = False) -> str:
    where = f'frame="{frame_idx}" keyframe="1" outside="{int(outside)}" occluded="0"'
    return f'    <polygon {where} points="{points}" z_order="0"></polygon>\n'
