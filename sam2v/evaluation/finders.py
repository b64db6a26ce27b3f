"""Ways to find everything in a video: automatic masklets, and two baselines that say what they are worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch

from sam2v.automatic.finder import Finder
from sam2v.automatic.masklet_options import MaskletOptions
from sam2v.automatic.masklets import AutomaticMasklets
from sam2v.automatic.matching import distinct, match
from sam2v.automatic.proposals import Proposals
from sam2v.automatic.sightings import Detections, Shown
from sam2v.backends.base import Backend, backend_for
from sam2v.masks.bits import MaskBits
from sam2v.masks.result import MaskletFrame
from sam2v.model.network import Sam2Network
from sam2v.predict.video import VideoPredictor, forward_frames

Method = Literal["masklets", "first", "link"]

METHODS: dict[Method, str] = {
    "masklets": "automatic masklets",
    "first": "the automatic masks of the first frame alone, tracked",
    "link": "automatic masks on every frame, linked by mask IoU",
}
#: Frames for which linking remembers what it does not see.
_REMEMBERED = 8


def find_everything(
    method: Method, model: Sam2Network | Backend, source: Any, options: MaskletOptions
) -> Iterator[MaskletFrame]:
    """The frames of a video with what a method finds; all methods propose masks with the same options."""
    if method == "masklets":
        return AutomaticMasklets(model, options=options).track(source)
    backend = backend_for(model)
    options = options.suited(backend.config.name)
    return (track_first if method == "first" else link_masks)(VideoPredictor(backend), source, options)


def track_first(predictor: VideoPredictor, source: Any, options: MaskletOptions) -> Iterator[MaskletFrame]:
    """The automatic masks of the first frame, tracked to the video's end: the baseline that looks once."""
    state = predictor.init_state(source, history="window")
    with state:
        finder = Finder(predictor.engine, state, options)
        found = _distinct_masks(finder, 0, options)
        if found is None:
            for position in predictor.engine.encoder.read_ahead(state, forward_frames(state, 0, None)):
                yield predictor.engine.result(state, position)
            return
        masks = found[0]
        predictor.engine.prompt(state, 0, finder.prompts(masks, {row + 1: row for row in range(len(masks))}))
        yield from predictor.propagate_in_video(state)


def link_masks(predictor: VideoPredictor, source: Any, options: MaskletOptions) -> Iterator[MaskletFrame]:
    """Automatic masks of every frame by itself; a mask has the id of the one that it overlaps most on one of the frames
    just before, from `options.match_iou` on: the baseline without a tracker."""
    state = predictor.init_state(source, history="window")
    with state:
        finder, linker = Finder(predictor.engine, state, options), _Linker(options)
        for position in predictor.engine.encoder.read_ahead(state, forward_frames(state, 0, None)):
            found = _distinct_masks(finder, position, options)
            if found is None:
                yield predictor.engine.result(state, position)
                continue
            masks, detections = found
            ids = linker.ids(position, detections)
            parts = (masks.logits[:, None], masks.iou, masks.object_score)
            yield MaskletFrame.from_low_res(position, ids, *parts, state.size, predictor.options.finish)


class _Linker:
    """Gives masks the ids of those that they overlap."""

    def __init__(self, options: MaskletOptions) -> None:
        self._rules = options.rules
        self._known: dict[int, tuple[int, MaskBits]] = {}  # id -> when it was seen, and its mask
        self._count = 0

    def ids(self, position: int, detections: Detections) -> list[int]:
        """The ids of a frame's masks."""
        assert detections.masks is not None
        self._known = {i: old for i, old in self._known.items() if position - old[0] <= _REMEMBERED}
        masks = [detections.masks[:0], *(mask for _, mask in self._known.values())]
        before = Shown(list(self._known), MaskBits.joined(*masks), np.ones(len(self._known)))
        row_of = match(detections, before, rules=self._rules).row_of
        ids = {row: obj_id for obj_id, row in row_of.items()}
        for row in range(len(detections)):
            if row not in ids:
                self._count += 1
                ids[row] = self._count
            self._known[ids[row]] = position, detections.masks[[row]]
        return [ids[row] for row in range(len(detections))]


def _distinct_masks(finder: Finder, position: int, options: MaskletOptions) -> tuple[Proposals, Detections] | None:
    """The masks proposed all over a frame that are told apart, the best first; None if there are none."""
    found = finder.find(position, Shown([], MaskBits.none(finder.size), np.zeros(0)))
    if found is None:
        return None
    rows = distinct(found[1], options.rules)[: options.max_objects]
    return found[0][torch.tensor(rows)], found[1].select(rows)
