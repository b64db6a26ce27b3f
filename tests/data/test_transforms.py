"""Transforms of clips keep masks on their pixels, and depend on the seed alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2v.data import PER_CLIP, PER_FRAME, Augment, Clip, ClipTransforms
from sam2v.data.transforms import resize_masks

NOTHING = Augment()
MOVES = Augment(flip=0.5, degrees=25, shear=20, scale=(0.8, 1.5), translate=0.1)


def disc_clip(height=60, width=90, frames=3, objects=2):
    """White discs on black that move by 4 pixels a frame; masks are where the white is."""
    y, x = np.mgrid[:height, :width]
    masks = np.stack(
        [
            np.stack([(x - 25 - 30 * obj - 4 * t) ** 2 + (y - 30) ** 2 < 13**2 for obj in range(objects)])
            for t in range(frames)
        ]
    )
    white = torch.from_numpy(masks.any(1)[:, None].repeat(3, 1))
    return Clip(white.to(torch.uint8) * 255, torch.from_numpy(masks), "discs")


def overlap(clip):
    """IoU of the pixels that are more than half white and the masks, per frame."""
    white, masks = clip.frames[:, 0] > 127, clip.masks.any(1)
    either = (white | masks).flatten(1).sum(1)
    return torch.where(either > 0, (white & masks).flatten(1).sum(1) / either, 1.0)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**60), st.sampled_from([32, 64, 128]), st.booleans())
def test_masks_stay_on_their_pixels(seed, size, per_frame):
    moved = ClipTransforms(size, *((NOTHING, MOVES) if per_frame else (MOVES, NOTHING)))(disc_clip(objects=1), seed)
    assert moved.size == (size, size) and moved.masks[0].any()
    assert overlap(moved).min() > 0.85


def test_the_recipe_changes_frames_and_keeps_types():
    clip = disc_clip()
    moved = ClipTransforms(40)(clip, 1)
    assert moved.frames.shape == (3, 3, 40, 40) and moved.frames.dtype == torch.uint8
    assert moved.masks.shape[0] == 3 and moved.masks.dtype == torch.bool and moved.name == "discs"
    assert type(moved.frames) is torch.Tensor and type(moved.masks) is torch.Tensor
    assert (PER_CLIP.degrees, PER_CLIP.shear, PER_CLIP.grey, PER_FRAME.contrast) == (25, 20, 0.05, 0.05)


def test_one_seed_one_result_and_global_randomness_untouched():
    clip, transforms = disc_clip(), ClipTransforms(40)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = transforms(clip, 1), transforms(clip, 1), transforms(clip, 2)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.frames, again.frames) and torch.equal(first.masks, again.masks)
    assert not torch.equal(first.frames, other.frames)


def still(clip):
    """The clip with its first frame repeated."""
    return Clip(clip.frames[:1].expand(3, -1, -1, -1), clip.masks[:1].expand(3, -1, -1, -1), "still")


def test_per_clip_moves_all_frames_alike_and_per_frame_does_not():
    clip = still(disc_clip())
    alike = ClipTransforms(40, Augment(degrees=25, brightness=0.5), NOTHING)(clip, 3)
    assert (alike.frames == alike.frames[:1]).all() and (alike.masks == alike.masks[:1]).all()
    moved = ClipTransforms(40, NOTHING, Augment(degrees=25))(clip, 3)
    assert not torch.equal(moved.masks[0], moved.masks[1])
    lit = ClipTransforms(40, NOTHING, Augment(brightness=0.5))(clip, 3)
    assert not torch.equal(lit.frames[0], lit.frames[1]) and torch.equal(lit.masks[0], lit.masks[1])


def test_flip_and_grey():
    clip = disc_clip(40, 40, objects=1)
    flipped = ClipTransforms(40, Augment(flip=1), NOTHING)(clip, 0)
    assert torch.equal(flipped.masks, clip.masks.flip(-1)) and torch.equal(flipped.frames, clip.frames.flip(-1))
    red = Clip(clip.frames * torch.tensor([1, 0, 0], dtype=torch.uint8).view(3, 1, 1), clip.masks, "red")
    grey = ClipTransforms(40, Augment(grey=1), NOTHING)(red, 0)
    assert torch.equal(grey.frames[:, 0], grey.frames[:, 2])


def test_nothing_to_do_changes_nothing():
    clip = disc_clip(60, 60, objects=1)
    same = ClipTransforms(60, NOTHING, NOTHING)(clip, 0)
    assert torch.equal(same.frames, clip.frames) and torch.equal(same.masks, clip.masks)


def test_objects_that_left_the_first_frame_are_dropped():
    """A corner object goes out of sight in some draws; a clip always keeps at least one object."""
    masks = torch.zeros(2, 2, 40, 40, dtype=torch.bool)
    masks[:, 0, :4, :4] = True
    masks[:, 1, 18:22, 18:22] = True
    clip = Clip(torch.zeros(2, 3, 40, 40, dtype=torch.uint8), masks, "corner")
    transforms = ClipTransforms(40, Augment(degrees=25, scale=(1, 2)), NOTHING)
    assert {transforms(clip, seed).num_objects for seed in range(20)} == {1, 2}
    only = Clip(clip.frames, masks[:, :1], "corner")
    far = ClipTransforms(40, Augment(scale=(4, 4)), NOTHING)(only, 0)  # every draw loses it: only resized
    assert torch.equal(far.masks, only.masks)


def test_thin_masks_survive_and_empty_ones_stay_empty():
    masks = torch.zeros(1, 2, 64, 64, dtype=torch.bool)
    masks[0, 0, 33, 10] = True
    small = resize_masks(masks, (8, 8))
    assert small[0, 0].nonzero().tolist() == [[4, 1]] and not small[0, 1].any()


def test_halving_does_not_shift():
    """A mask symmetric about the centre stays so."""
    masks = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    masks[0, 0, 11:53, 11:53] = True
    small = resize_masks(masks, (32, 32))
    assert torch.equal(small, small.flip(-1)) and torch.equal(small, small.flip(-2))


def test_bad_values():
    clip = disc_clip()
    hidden = Clip(clip.frames, clip.masks & (torch.arange(3) > 0).view(3, 1, 1, 1), "hidden")
    with pytest.raises(ValueError, match="clip hidden: no object is visible"):
        ClipTransforms(40)(hidden, 0)
    with pytest.raises(ValueError, match="size"):
        ClipTransforms(0)
    for options in ({"flip": 1.5}, {"degrees": -1}, {"scale": (2, 1)}, {"hue": 0.7}, {"scale": (0, 1)}):
        with pytest.raises(ValueError, match=next(iter(options))):
            Augment(**options)
