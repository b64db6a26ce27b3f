"""Which objects of a clip are learnt: parts and wholes, and a few of many."""

from __future__ import annotations

import numpy as np
import torch

from sam2v.data.clips import Clip
from sam2v.data.edits.fill import grow

_TOUCH = 2  # pixels between objects that count as touching
_LEAST = 12  # pixels along which they touch at least
_VISIBLE = 32  # pixels of an object on the first frame, at least


def add_union(clip: Clip, rng: np.random.Generator, parts: bool = True) -> Clip:
    """The clip with one more object: two of its objects that touch on the first frame, as one; unchanged without such.

    Args:
        clip: any clip.
        rng: draws the pair.
        parts: the two stay objects by themselves, so that a click on one of them is ambiguous.
    """
    first = clip.masks[0]
    grown = grow(first, _TOUCH)
    pairs = [
        (a, b)
        for a in range(clip.num_objects)
        for b in range(a + 1, clip.num_objects)
        if int((grown[a] & grown[b]).sum()) >= _LEAST and first[a].any() and first[b].any()
    ]
    if not pairs:
        return clip
    a, b = pairs[int(rng.integers(len(pairs)))]
    union = clip.masks[:, a] | clip.masks[:, b]
    others = [obj for obj in range(clip.num_objects) if parts or obj not in (a, b)]
    return Clip(clip.frames, torch.cat([union[:, None], clip.masks[:, others]], dim=1), clip.name)


def keep_some(clip: Clip, most: int, rng: np.random.Generator, first: int = 0) -> Clip:
    """At most so many objects that the first frame shows, drawn at random.

    Args:
        clip: any clip.
        most: objects at most.
        rng: draws them.
        first: the first so many objects are taken before the others, all but one time in five.
    """
    areas = clip.masks[0].flatten(1).sum(dim=1)
    seen = (areas >= min(_VISIBLE, int(areas.max()))).nonzero().flatten().tolist()
    seen = [obj for obj in seen if areas[obj]]
    if not seen:
        return clip
    order = rng.permutation(seen).tolist()
    if first and rng.uniform() < 0.8:
        order.sort(key=lambda obj: obj >= first)
    return Clip(clip.frames, clip.masks[:, order[:most]].contiguous(), clip.name)
