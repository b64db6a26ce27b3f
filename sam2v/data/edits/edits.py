"""All changes of one source's clips, in order."""

from __future__ import annotations

import numpy as np
import torch

from sam2v.data.clips import Clip
from sam2v.data.edits.animate import animate
from sam2v.data.edits.blur import blur
from sam2v.data.edits.camera import move_camera
from sam2v.data.edits.config import EditConfig
from sam2v.data.edits.light import relight
from sam2v.data.edits.objects import add_union, keep_some
from sam2v.data.edits.paste import paste
from sam2v.data.edits.sprites import SpritePool


class ClipEdits:
    """Clip in, clip out: unions, motion of photographs or the camera's, pasted objects, blur, light, choice of objects.

    Args:
        config: what is done, and how often.
        objects: objects of a clip at most, in the end.
        pool: where pasted objects come from; needed if any are pasted.

    Raises ValueError for pasting without a pool.
    """

    def __init__(self, config: EditConfig, objects: int, pool: SpritePool | None = None) -> None:
        if config.paste and pool is None:
            raise ValueError("edits.paste needs data sets to take objects from")
        self.config, self.objects, self.pool = config, objects, pool

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """A changed clip of the same frames and size, with at least one object on its first frame."""
        config = self.config
        animated = clip.num_frames > 1 and rng.uniform() < config.animate and _is_still(clip)
        if rng.uniform() < config.union:
            clip = add_union(clip, rng, parts=not animated)  # what moves by itself is one thing or the other
        if animated:
            clip = animate(keep_some(clip, self.objects + 1, rng), config, rng)
        elif rng.uniform() < config.camera:
            clip = move_camera(clip, config, rng)
        own = clip.num_objects
        learn = True
        if self.pool is not None and rng.uniform() < config.paste:
            clip = paste(clip, config, self.pool, rng)
            learn = rng.uniform() < config.learn
        if rng.uniform() < config.blur:
            clip = blur(clip, rng)
        if rng.uniform() < config.light:
            clip = relight(clip, rng)
        if not learn:
            clip = Clip(clip.frames, clip.masks[:, :own].contiguous(), clip.name)
        return keep_some(clip, self.objects, rng, first=own)


def _is_still(clip: Clip) -> bool:
    """Whether a clip shows one picture throughout; a video has motion of its own."""
    return all(torch.equal(frame, clip.frames[0]) for frame in clip.frames[1:])
