"""The video around a frame: its pictures and masks, for effects that look at more than one frame."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from sam2v.effects.canvas import Canvas
from sam2v.video.base import FrameSource

Masks = Mapping[int, np.ndarray]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
#: Bytes of pictures of other frames that are kept.
_KEPT_BYTES = 96 << 20
_KEPT_MASKS = 64


class Scene:
    """A video and its masks, seen from one of its frames.

    Pictures and masks of other frames are kept within bounds, the newest used ones.

    Attributes:
        index: number of the frame.
        most: how many pictures of other frames are kept.

    Args:
        source: the video; frames are read by number.
        masks_of: masks (H x W bool by object id) of a frame by its number; None where none are known.
    """

    def __init__(self, source: FrameSource, masks_of: Callable[[int], Masks | None]) -> None:
        self.source, self.index = source, 0
        self._masks_of = masks_of
        self.most = int(np.clip(_KEPT_BYTES // (3 * source.size[0] * source.size[1]), 4, 16))
        self._frames: OrderedDict[int, np.ndarray] = OrderedDict()
        self._masks: OrderedDict[int, Masks | None] = OrderedDict()
        self._shown: Callable[[int], Canvas] | None = None

    def seen_from(self, index: int, shown: Callable[[int], Canvas]) -> Scene:
        """The same video seen from another frame.

        Args:
            shown: function of a frame's number that gives it with the effects that come before the one that looks.
        """
        scene = copy.copy(self)  # what is kept of other frames is shared
        scene.index, scene._shown = index, shown
        return scene

    @property
    def length(self) -> int:
        """Frames of the video."""
        return len(self.source)

    def frame(self, index: int) -> np.ndarray:
        """The picture of a frame, H x W x 3 uint8; not to be changed."""
        return kept(self._frames, index, self.source.__getitem__, self.most)

    def masks(self, index: int) -> Masks | None:
        """H x W bool by object id, not to be changed; None where it is not known what is to be seen."""
        return kept(self._masks, index, self._masks_of, _KEPT_MASKS)

    def shown(self, index: int) -> Canvas:
        """A frame with the effects that come before the one that looks; not to be changed."""
        return Canvas(self.frame(index), self.masks(index) or {}) if self._shown is None else self._shown(index)


def kept(known: OrderedDict[_Key, _Value], key: _Key, get: Callable[[_Key], _Value], most: int) -> _Value:
    """What is known by a key, or got now; of the others the newest used are kept."""
    if key in known:
        known.move_to_end(key)
        return known[key]
    value = known[key] = get(key)
    while len(known) > max(most, 1):
        known.popitem(last=False)
    return value
