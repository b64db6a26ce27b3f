"""A real clip seen by a moving camera."""

from __future__ import annotations

import numpy as np
import torch

from sam2v.data.clips import Clip
from sam2v.data.edits.config import EditConfig
from sam2v.data.edits.view import aspect_of, draw_camera, lattice_of, look_at, middle_of

_FILL = torch.tensor([124.0, 116.0, 104.0]).view(3, 1, 1)  # the mean colour, outside the picture


def move_camera(clip: Clip, config: EditConfig, rng: np.random.Generator) -> Clip:
    """Look at a part of the clip, closer, and drift, turn and shake on the way; the first view shows an object.

    The clip is returned as it is where its objects would not be visible on the first frame.
    """
    aspect = aspect_of(clip.size)
    seen = clip.masks[0].flatten(1).any(dim=1).nonzero().flatten()
    if len(seen) == 0:
        return clip
    target = middle_of(clip.masks[0, int(seen[int(rng.integers(len(seen)))])], aspect)
    camera = draw_camera(rng, clip.num_frames, aspect, config.zoom, config.motion, target)
    lattice = lattice_of(camera, clip.size) / aspect
    frames = look_at(clip.frames.float() - _FILL, lattice, clip.size) + _FILL
    masks = look_at(clip.masks.float(), lattice, clip.size) > 0.5
    if not bool(masks[0].any()):
        return clip
    return Clip(frames.round_().clamp_(0, 255).to(torch.uint8), masks, clip.name)
