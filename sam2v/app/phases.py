"""How the page of a data engine's project works by each phase (SAM 2 paper, section 5.1): what answers a prompt, and
what tracking knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from sam2v.app.mask_store import StoredMask
from sam2v.app.segmenter import Segmenter
from sam2v.app.state import FramePrompt
from sam2v.data_engine.refining import tracked_anew
from sam2v.masks.rle import decode_rle


class ByFrame(Segmenter):
    """Phase 1: every frame by itself, with the image model and a brush."""

    def begin_run(self, frame: int, shown: Mapping[int, StoredMask], reverse: bool) -> Iterator[object]:
        """See `Segmenter`; ValueError: nothing is tracked."""
        raise ValueError("in phase 1 every frame is annotated by itself: nothing is tracked")


class AcrossTime(Segmenter):
    """Phase 2: a frame is annotated as in phase 1; tracking from there knows its mask and nothing else."""

    def prompt(
        self, frame: int, prompts: dict[int, tuple[FramePrompt, FramePrompt]], shown: dict[int, StoredMask]
    ) -> dict[int, StoredMask]:
        """See `Segmenter`; the first prompt on a frame takes nothing from what was tracked there."""
        fresh = {obj_id for obj_id, (before, _) in prompts.items() if not before}
        with self.session.lock:
            for obj_id in fresh & self.session.tracks.keys():
                self.session.forget_result(obj_id, frame)
                self.session.tracks[obj_id].passed.pop(frame, None)
        return super().prompt(frame, prompts, {i: mask for i, mask in shown.items() if i not in fresh})

    def begin_run(self, frame: int, shown: Mapping[int, StoredMask], reverse: bool) -> Iterator[object]:
        """See `Segmenter`; the objects are forgotten, but for their masks on the frame.

        Raises:
            ValueError: one of them has none there.
        """
        absent = [obj_id for obj_id, mask in shown.items() if mask.is_absent]
        if absent or not shown:
            raise ValueError(f"in phase 2 tracking begins with the mask of a frame, and frame {frame} has none")
        size = list(self.source.size)
        for obj_id, mask in shown.items():
            self.predictor.remove_object(self.session, obj_id)
            self.predictor.add_mask(self.session, frame, obj_id, decode_rle({"size": size, "counts": mask.counts}))
        return iter(())


class FullModel(Segmenter):
    """Phase 3: prompts refine, with the memory of the frames that were edited before."""

    def begin_run(self, frame: int, shown: Mapping[int, StoredMask], reverse: bool) -> Iterator[object]:
        """See `Segmenter`; of an edited frame, memories follow from its mask, as at the bench."""
        with self.session.lock:
            tracks = [self.session.tracks[obj_id] for obj_id in shown]
            self.predictor.engine.remember_prompts(self.session, every_object=False)
            around = {track.obj_id: tracked_anew(track, frame, reverse) for track in tracks}
        each = (self.track(frames, not reverse, [obj_id]) for obj_id, frames in around.items() if frames)
        return chain.from_iterable(each)


#: By phase.
SEGMENTERS: dict[int, type[Segmenter]] = {1: ByFrame, 2: AcrossTime, 3: FullModel}
