"""Automatic masks beside the reference's generator, on the same weights and pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from automatic.comparing import assert_same
from golden.pictures import photograph
from golden.weights import manifests, weights_by_rule

import sam2v
from sam2v.compat import SAM2AutomaticMaskGenerator
from sam2v.config import load_model_config
from sam2v.data.synthetic import demo_clip
from sam2v.model.build import build_model
from sam2v.weights.load import embedded_checkpoint

pytestmark = [pytest.mark.peers, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {"points_per_side": 10},
    "loose": {"points_per_side": 12, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.6},
    "crops": {
        "points_per_side": 6,
        "crop_n_layers": 2,
        "crop_n_points_downscale_factor": 2,
        "pred_iou_thresh": 0.3,
        "stability_score_thresh": 0.6,
    },
    "refined": {"points_per_side": 6, "use_m2m": True, "pred_iou_thresh": 0.4, "stability_score_thresh": 0.7},
    "single": {
        "points_per_side": 8,
        "points_per_batch": 7,
        "multimask_output": False,
        "mask_threshold": 0.5,
        "stability_score_offset": 0.7,
        "stability_score_thresh": 0.7,
        "pred_iou_thresh": 0.4,
        "box_nms_thresh": 0.9,
        "output_mode": "uncompressed_rle",
    },
    "arrays": {"points_per_side": 4, "pred_iou_thresh": 0.2, "stability_score_thresh": 0.5},
}


@pytest.fixture(scope="module")
def reference() -> Any:
    pytest.importorskip("sam2")
    from golden import reference

    return reference


@pytest.fixture(scope="module")
def trained() -> sam2v.model.network.Sam2Network:
    if embedded_checkpoint("sam2v_nano") is None:
        pytest.skip("the embedded model is not there")
    return sam2v.load_model("sam2v_nano", device="cpu", dtype="float32")


@pytest.mark.parametrize("size", [(180, 320), (501, 333)])
@pytest.mark.parametrize("name", OPTIONS)
def test_with_trained_weights(reference: Any, trained: Any, name: str, size: tuple[int, int]) -> None:
    picture = demo_clip(size, 2).frames[0].permute(1, 2, 0).contiguous().numpy()
    options = OPTIONS[name] if name == "arrays" else {"output_mode": "coco_rle", **OPTIONS[name]}
    expected = reference.mask_generator(reference.build_nano(trained.state_dict()), **options).generate(picture)
    assert_same(SAM2AutomaticMaskGenerator(trained, **options).generate(picture), expected)


@pytest.mark.full
@pytest.mark.parametrize("config", ["sam2.1_hiera_tiny", "sam2_hiera_small", "sam2.1_hiera_base_plus"])
def test_with_released_sizes(reference: Any, config: str) -> None:
    """Weights by rule on a large network: masks are noise, and still the same."""
    picture = photograph(600, 800)
    options = {"points_per_side": 3, "pred_iou_thresh": 0.2, "stability_score_thresh": 0.3, "box_nms_thresh": 1.0}
    options |= {"mask_threshold": 4.0}
    network = build_model(load_model_config(config)).eval()
    network.load_state_dict(weights_by_rule(manifests()[config], "img-1-"))
    expected = reference.mask_generator(reference.build_reference(config, "img-1-"), **options).generate(picture)
    assert len(expected) > 3
    found = SAM2AutomaticMaskGenerator(network, **options).generate(picture)
    assert_same(found, expected)
    assert all(np.array_equal(own["segmentation"].shape, picture.shape[:2]) for own in found)
