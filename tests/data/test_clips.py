"""The clip and batch types."""

import pytest
import torch

from sam2v.data import Clip, collate


def clip(objects=2, frames=3, size=(4, 5), name="a"):
    masks = torch.zeros(frames, objects, *size, dtype=torch.bool)
    masks[0, :, 0, 0] = True
    return Clip(torch.full((frames, 3, *size), 7, dtype=torch.uint8), masks, name)


def test_a_clip_knows_its_shape():
    it = clip()
    assert (it.num_frames, it.num_objects, it.size) == (3, 2, (4, 5))
    assert it.visible.tolist() == [[True, True], [False, False], [False, False]]


@pytest.mark.parametrize(
    "frames, masks, error, message",
    [
        ((3, 3, 4, 5), (3, 2, 4, 6), ValueError, r"clip a: masks of 4 x 6 pixels on frames of 4 x 5"),
        ((3, 3, 4, 5), (2, 2, 4, 5), ValueError, r"clip a: 3 frames and masks for 2"),
        ((3, 3, 4, 5), (3, 0, 4, 5), ValueError, r"clip a: no object"),
        ((0, 3, 4, 5), (0, 1, 4, 5), ValueError, r"clip a: 0 frames"),
        ((3, 4, 5), (3, 1, 4, 5), ValueError, r"clip a: frames are T x 3 x H x W"),
        ((3, 4, 4, 5), (3, 1, 4, 5), ValueError, r"clip a: frames are T x 3 x H x W"),
    ],
)
def test_shapes_are_checked(frames, masks, error, message):
    with pytest.raises(error, match=message):
        Clip(torch.zeros(frames, dtype=torch.uint8), torch.zeros(masks, dtype=torch.bool), "a")


def test_dtypes_are_checked():
    frames, masks = torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    with pytest.raises(TypeError, match="uint8 and masks bool"):
        Clip(frames.float(), masks, "a")
    with pytest.raises(TypeError, match="uint8 and masks bool"):
        Clip(frames, masks.float(), "a")


def test_collate_pads_objects():
    batch = collate([clip(1, name="a"), clip(3, name="b")])
    assert batch.frames.shape == (2, 3, 3, 4, 5) and batch.frames.dtype == torch.uint8
    assert batch.masks.shape == (2, 3, 3, 4, 5) and batch.masks.dtype == torch.bool
    assert batch.valid.tolist() == [[True, False, False], [True, True, True]]
    assert not batch.masks[0, :, 1:].any() and batch.visible[1, 0].all()
    assert batch.names == ("a", "b") and len(batch) == 2
    assert batch.to("cpu").names == batch.names


def test_collate_refuses_what_has_no_common_shape():
    with pytest.raises(ValueError, match=r"a is \(3, 3, 4, 5\), b is \(2, 3, 4, 5\)"):
        collate([clip(name="a"), clip(frames=2, name="b")])
    with pytest.raises(ValueError, match="at least one clip"):
        collate([])
