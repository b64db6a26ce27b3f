"""Which frames of a video files belong to, going by their names."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from sam2v.video.base import FrameSource


class FrameNames:
    """The names of a video's frames.

    Attributes:
        video: what the video itself may be called: its file or folder, with and without ending.
        size: (height, width) of its frames.
    """

    def __init__(self, source: FrameSource) -> None:
        self.video = set() if source.path is None else {source.path.name, source.path.stem}
        self.size = source.size
        self._length = len(source)
        self._stems: dict[str, int] = {}
        self._numbers: dict[int, int] = {}
        for index in range(self._length):
            stems = {source.frame_name(index), Path(source.file_name(index)).stem}
            self._stems |= dict.fromkeys(stems, index)
            self._numbers |= {number: index for number in map(_number, stems) if number is not None}

    def match(self, names: Collection[str]) -> dict[str, int]:
        """File's name -> frame's number, of those files that have one.

        Names are compared whole. Only if none is a frame's, the numbers that all of them end with count: as those that
        the frames' names end with or else, if they are none of these, as the frames' numbers from 0.
        """
        found = {name: self._stems[stem] for name in names if (stem := Path(name).stem) in self._stems}
        if found:
            return found
        numbers = {name: _number(Path(name).stem) for name in names}
        for known in (self._numbers, range(self._length)):
            if all(number is not None and number in known for number in numbers.values()):
                return {name: known[number] for name, number in numbers.items() if number is not None}
        return {}


def _number(stem: str) -> int | None:
    """The number that a name ends with."""
    found = re.search(r"(\d{1,9})$", stem)
    return None if found is None else int(found[1])
