"""A short clip to show: a fox, a child and a bird in a meadow, with exact masks."""

from __future__ import annotations

import torch

from sam2v.data.clips import Clip


def demo_clip(size: tuple[int, int] = (360, 640), frames: int = 48, seed: int = 2) -> Clip:
    """Draw the demonstration clip.

    Object 0, a fox, trots through the picture and passes in front of object 1, a child that strolls the other way;
    object 2, a bird, leaves on the right for the middle third of the clip and returns. The camera is held by hand and
    follows the fox. A pixel belongs to an object where at least half of it is covered by what is seen of the object.

    Args:
        size: (height, width) in pixels, at least 32 each.
        frames: number of frames, at least 2.
        seed: a whole number; it decides the hour of the day, colours and what grows where, not the story.

    Returns:
        frames T x 3 x H x W and masks T x 3 x H x W; all three objects are visible on frame 0.

    Raises:
        ValueError: a size or number of frames that is too small, or a negative seed.
    """
    from sam2v.data.meadow.clip import MeadowClip

    if frames < 2 or seed < 0 or min(size) < 32:
        raise ValueError(
            f"size={size}, frames={frames}, seed={seed}: a demonstration takes sides of at least 32 pixels, "
            "at least 2 frames and a seed of at least 0"
        )
    with torch.inference_mode(False), torch.no_grad():
        pictures, masks = MeadowClip(size, frames, seed).draw()
    return Clip(pictures, masks, name=f"demo-{seed}")
