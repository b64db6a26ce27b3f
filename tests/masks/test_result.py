import base64
import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sam2v.masks import MaskletFrame, decode_rle, show


@pytest.fixture
def result() -> MaskletFrame:
    """Two objects that overlap in one column, one that is absent."""
    masks = torch.full((3, 1, 20, 30), -5.0)
    masks[0, :, 2:6, 3:11] = 2.0
    masks[1, :, 2:6, 10:15] = 4.0
    scores = torch.tensor([3.0, 1.0, -2.0])
    return MaskletFrame(7, [1, 4, 9], masks, torch.tensor([0.9, 1.02, 0.1]), scores)


def test_unpacks_as_the_tuple_of_three(result: MaskletFrame) -> None:
    frame_idx, obj_ids, masks = result
    assert (frame_idx, obj_ids) == (7, [1, 4, 9]) and masks is result.masks is result[2]


def test_arrays(result: MaskletFrame) -> None:
    np.testing.assert_array_equal(result.binary(), result.masks[:, 0].numpy() > 0)
    assert result.to_numpy().dtype == np.float32 and result.to_numpy().shape == (3, 20, 30)
    np.testing.assert_array_equal(result.boxes(), [[3, 2, 10, 5], [10, 2, 14, 5], [0, 0, 0, 0]])


def test_label_map_gives_overlap_to_the_higher_logit(result: MaskletFrame) -> None:
    labels = result.label_map()
    assert labels.dtype == np.uint8
    assert labels[3].tolist() == [0] * 3 + [1] * 7 + [4] * 5 + [0] * 15


def test_label_map_of_big_odd_and_no_ids(result: MaskletFrame) -> None:
    one = result.masks[:1]
    assert MaskletFrame(0, [300], one, torch.ones(1), torch.ones(1)).label_map().dtype == np.uint16
    with pytest.raises(ValueError, match="1 to 65535, got 0"):
        MaskletFrame(0, [0], one, torch.ones(1), torch.ones(1)).label_map()
    assert not MaskletFrame(0, [], result.masks[:0], torch.ones(0), torch.ones(0)).label_map().any()


def test_coco_rle_round_trip(result: MaskletFrame) -> None:
    for rle, mask in zip(result.to_coco_rle(), result.binary(), strict=True):
        np.testing.assert_array_equal(decode_rle(rle), mask)


def test_supervision(result: MaskletFrame) -> None:
    pytest.importorskip("supervision")
    detections = result.to_supervision()
    assert detections.tracker_id.tolist() == [1, 4]  # the empty one is no detection
    np.testing.assert_array_equal(detections.mask, result.binary()[:2])
    np.testing.assert_array_equal(detections.xyxy, result.boxes()[:2])
    assert detections.confidence.tolist() == pytest.approx([0.9, 1.0])
    nothing = MaskletFrame(0, [], result.masks[:0], torch.ones(0), torch.ones(0))
    assert len(nothing.to_supervision()) == 0


def test_supervision_missing_is_said_clearly(result: MaskletFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        result.to_supervision()


def test_overlay_and_notebook(result: MaskletFrame) -> None:
    frame = np.full((20, 30, 3), 50, np.uint8)
    drawn = result.with_frame(frame).overlay(labels=False)
    assert (drawn[~result.binary().any(0)] == 50).all() and (drawn[3, 5] != 50).any()
    np.testing.assert_array_equal(result.overlay(frame, labels=False), drawn)
    html = result.with_frame(frame)._repr_html_()
    data = html.split("base64,")[1].split('"')[0]
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    np.testing.assert_array_equal(np.array(picture), np.array(show(result, frame)))
    assert "frame 7" in html and "object 9: IoU 0.10, absent" in html
    with pytest.raises(ValueError, match="20 x 30"):
        result.with_frame(frame[1:])
    with pytest.raises(ValueError, match="8 bits a channel, got a picture of mode I;16"):
        result.with_frame(Image.fromarray(np.full(result.size, 4000, np.uint16)))


def test_bfloat16_results_convert(result: MaskletFrame) -> None:
    half = MaskletFrame(0, [1], result.masks[:1].bfloat16(), result.iou[:1].bfloat16(), torch.ones(1))
    assert half.to_numpy().dtype == np.float32 and half.overlay().shape == (20, 30, 3)
