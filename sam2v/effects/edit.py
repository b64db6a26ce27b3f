"""A video with effects, frame by frame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from sam2v.effects.base import Effect
from sam2v.effects.canvas import Canvas, Target
from sam2v.effects.erase import Erase
from sam2v.effects.parse import Applied, parse_effects
from sam2v.effects.scene import Masks, Scene, kept
from sam2v.effects.shapes import CutOut
from sam2v.effects.trail import Trail
from sam2v.video.base import EndOfVideo, FrameSource, normal_index
from sam2v.video.sources import open_source


class Edit:
    """The frames of a video with effects: `edit[i]` is frame i, the same whichever frames were asked for before.

    Memory stays bounded: of other frames that effects look at the newest used ones are kept.

    Attributes:
        source: the video. effects: what is done, in this order; what is erased, before everything else.
        transparent: whether frames have an alpha channel.

    Args:
        source: a video, as for `sam2v.VideoPredictor.init_state`.
        masks_of: function of a frame's number that gives its masks, H x W bool by object id; None where none are known,
            which is taken as a frame without objects that nothing else is made from.
        effects: texts such as "background:blur=12", or pairs (target, effect).

    Raises:
        ValueError, TypeError, FileNotFoundError: the video or an effect is wrong; or effects that look at other frames
            and a video that cannot go back.
    """

    def __init__(
        self, source: Any, masks_of: Callable[[int], Masks | None], effects: Sequence[str | tuple[Target, Effect]]
    ) -> None:
        self.effects = sorted(parse_effects(effects), key=lambda applied: not isinstance(applied.effect, Erase))
        self.source: FrameSource = open_source(source)
        self.transparent = any(isinstance(applied.effect, CutOut) for applied in self.effects)
        looking = [applied.name for applied in self.effects if applied.effect.looks]
        if looking and not self.source.is_seekable:
            raise ValueError(f"{looking[0]} looks at other frames: it needs a video file, a folder or an array")
        self._masks_of = masks_of
        self._scene = Scene(self.source, masks_of) if looking else None
        self._canvases: OrderedDict[tuple[int, int], Canvas] = OrderedDict()

    def __getitem__(self, index: int) -> np.ndarray:
        """Frame `index`, H x W x 3 uint8; H x W x 4 with alpha if something is cut out. -1 is the last one.

        Raises:
            EndOfVideo: (an IndexError) behind the last frame. ValueError: masks of another size than the frames.
        """
        return self._canvas(normal_index(index, self.source), len(self.effects)).result()

    def __iter__(self) -> Iterator[np.ndarray]:
        index = 0
        while True:
            try:
                picture = self[index]
            except EndOfVideo:
                return
            yield picture
            index += 1

    def _canvas(self, index: int, count: int, trails: bool = True) -> Canvas:
        """A frame with the first effects of the list, with or without the trails among them."""
        frames = self._scene.frame if self._scene is not None and not trails else self.source.__getitem__
        canvas = Canvas(frames(index), self._masks_of(index) or {})
        for number, applied in enumerate(self.effects[:count]):
            if trails or not isinstance(applied.effect, Trail):
                self._apply(canvas, applied, index, number)
        return canvas

    def _apply(self, canvas: Canvas, applied: Applied, index: int, number: int) -> None:
        target, effect = applied
        scene = self._scene
        if scene is not None:
            scene = scene.seen_from(index, lambda other: self._shown(other, number))
        targets: Iterable[Target] = sorted(canvas.masks) if target == "objects" and effect.each else [target]
        for one in targets:
            effect.on(canvas, one, scene)

    def _shown(self, index: int, count: int) -> Canvas:
        """A frame as a trail shows it: with what is done before the trail."""
        most = 0 if self._scene is None else self._scene.most
        return kept(self._canvases, (index, count), lambda key: self._canvas(*key, trails=False), most)
