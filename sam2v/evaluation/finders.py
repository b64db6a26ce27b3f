"""Ways to find everything in a video: automatic masklets, and two baselines that say what they are worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from sam2v.automatic.finder import Finder
from sam2v.automatic.masklet_options import MaskletOptions
from sam2v.automatic.masklets import AutomaticMasklets
from sam2v.automatic.matching import distinct, match
from sam2v.automatic.sightings import Shown
from sam2v.backends.base import Backend, backend_for
from sam2v.masks.bits import MaskBits
from sam2v.masks.logits import Finish
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
    if method == "link":
        return link_masks(model, source, options)
    chosen = options.changed(propose_every=0) if method == "first" else options
    return AutomaticMasklets(model, options=chosen).track(source)


def link_masks(model: Sam2Network | Backend, source: Any, options: MaskletOptions) -> Iterator[MaskletFrame]:
    """Automatic masks of every frame by itself; a mask has the id of the one before that it overlaps most, from
    `options.match_iou` on, on one of the frames just before. The baseline without a tracker."""
    predictor = VideoPredictor(backend_for(model))
    state = predictor.init_state(source, history="window")
    with state:
        finder = Finder(predictor.engine, state, options)
        nothing = Shown([], MaskBits.none(finder.size), [])  # type: ignore[arg-type]
        known: dict[int, tuple[int, MaskBits]] = {}  # id -> when it was seen, and its mask
        count = 0
        for position in predictor.engine.encoder.read_ahead(state, forward_frames(state, 0, None)):
            proposed = finder.find(position, nothing)
            if proposed is None:
                yield predictor.engine.result(state, position)
                continue
            found, detections = proposed
            rows = distinct(detections, options.rules)[: options.max_objects]
            found, detections = found[rows], detections.select(rows)
            masks = [mask for _, mask in known.values()]
            before = Shown(list(known), MaskBits.joined(*masks) if masks else nothing.masks, nothing.quality)
            row_of = match(detections, before, rules=options.rules).row_of
            ids = {row: obj_id for obj_id, row in row_of.items()}
            for row in range(len(rows)):
                if row not in ids:
                    count += 1
                    ids[row] = count
                assert detections.masks is not None
                known[ids[row]] = position, detections.masks[[row]]
            known = {i: (seen, mask) for i, (seen, mask) in known.items() if position - seen < _REMEMBERED}
            obj_ids = [ids[row] for row in range(len(rows))]
            yield MaskletFrame.from_low_res(
                position, obj_ids, found.logits[:, None], found.iou, found.object_score, state.size, Finish()
            )
