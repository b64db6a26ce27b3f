"""The image predictor against recorded answers of the reference implementation."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden.pictures import checksum, photograph
from golden.replay import Fixture, assert_close, golden_network

from sam2v import ImagePredictor
from sam2v.backends import base
from sam2v.backends.fused import FUSED_KINDS
from sam2v.backends.graphs import graph_network

LOGITS, SCORES, FEATURES = 2e-3, 1e-4, 1e-4
TWINS = Path(__file__).parent.parent / "golden" / "images"


@lru_cache(maxsize=1)
def predictor_of(config: str, salt: str, device: torch.device) -> ImagePredictor:
    return ImagePredictor(golden_network(config, salt, device=device))


def arguments_of(case: dict[str, Any], low_res: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arguments of `predict`; a mask prompt is an earlier answer's low-resolution mask."""
    names = ("point_coords", "point_labels", "box", "multimask_output", "normalize_coords")
    arguments = {name: case[name] for name in names if name in case}
    if "mask_input_from" in case:
        source, index = case["mask_input_from"]
        arguments["mask_input"] = low_res[source][case.get("mask_input_index", index)][None]
    return arguments


def replay(fixture: Fixture, picture: Any, predictor: ImagePredictor) -> None:
    """Make all recorded calls on one image."""
    meta = fixture.meta
    predictor.set_image(picture)
    low_res: dict[str, np.ndarray] = {}
    for case in meta["cases"]:
        name = case["name"]
        masks, iou, low = predictor.predict(return_logits=True, **arguments_of(case, low_res))
        low_res[name] = low
        step, coarse = low.shape[-1] // fixture[f"{name}/low_res"].shape[-1], meta["full_res_stride"]
        assert_close(low[..., ::step, ::step], fixture[f"{name}/low_res"], LOGITS, f"{name}: low-resolution logits")
        assert_close(masks[..., ::coarse, ::coarse], fixture[f"{name}/full_res"], LOGITS, f"{name}: masks")
        assert_close(iou, fixture[f"{name}/ious"], SCORES, f"{name}: predicted IoU")
        pixels = masks.shape[-1] * masks.shape[-2]
        assert_close((masks > 0).sum((-1, -2)), fixture[f"{name}/area"], 40e-6 * pixels, f"{name}: area")


def test_twin(device: torch.device) -> None:
    fixture, picture = Fixture(TWINS / "sam2.1_hiera_tiny.npz"), photograph()
    assert checksum(picture) == fixture.meta["picture"], "the picture is drawn differently than when this was recorded"
    predictor = predictor_of(fixture.meta["config"], fixture.meta["salt"], device)
    replay(fixture, picture, predictor)
    embedding = predictor.get_image_embedding()
    assert_close(embedding[0, ::11, ::9, ::9], fixture["image_embed"], FEATURES, "embedding")


def test_as_on_cuda(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    """By the calls of a GPU, as graphs."""
    monkeypatch.setattr(base, "kinds_for", lambda _: FUSED_KINDS)
    fixture = Fixture(TWINS / "sam2.1_hiera_tiny.npz")
    made = graph_network(golden_network(fixture.meta["config"], fixture.meta["salt"], device=device))
    replay(fixture, photograph(), ImagePredictor(made))
    assert made.calls.recordings.made


def test_masks_are_the_logits_above_zero(device: torch.device) -> None:
    fixture = Fixture(TWINS / "sam2.1_hiera_tiny.npz")
    predictor = predictor_of(fixture.meta["config"], fixture.meta["salt"], device)
    predictor.set_image(photograph())
    arguments = arguments_of(fixture.meta["cases"][0], {})
    masks, logits = predictor.predict(**arguments).masks, predictor.predict(return_logits=True, **arguments).masks
    assert masks.dtype == bool and np.array_equal(masks, logits > 0)


@pytest.mark.parametrize(
    "config", ["sam2.1_hiera_tiny", pytest.param("sam2.1_hiera_base_plus", marks=pytest.mark.full)]
)
def test_photograph(shared_dir: Path, config: str, device: torch.device) -> None:
    from PIL import Image

    fixture = Fixture(shared_dir / "golden" / "public" / f"image_{config}.npz")
    predictor = predictor_of(config, fixture.meta["salt"], device)
    replay(fixture, Image.open(shared_dir / "data" / "images" / fixture.meta["image"]), predictor)
    embedding = predictor.get_image_embedding()
    assert_close(embedding[0, ::7, ::5, ::5], fixture["image_embed"], FEATURES, "embedding")
