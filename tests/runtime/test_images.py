"""Pictures: exported graphs answer as torch does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sam2v import ImagePredictor

LOGITS = 2e-3
PROMPTS: dict[str, dict[str, Any]] = {
    "click": {"point_coords": [(20, 30)]},
    "single": {"point_coords": [(20, 30), (50, 10)], "point_labels": [1, 0], "multimask_output": False},
    "box": {"box": (10, 12, 60, 50)},
    "boxes": {"box": [(10, 12, 60, 50), (0, 0, 20, 20), (30, 5, 70, 44)], "multimask_output": False},
    "box and clicks": {"box": (10, 12, 60, 50), "point_coords": [[(20, 30)], [(40, 20)]], "point_labels": [[1], [0]]},
}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Larger than the network's input."""
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return np.repeat(np.repeat(coarse, 25, 0), 21, 1)


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts(
    name: str, images_on_graphs: ImagePredictor, images_on_torch: ImagePredictor, picture: np.ndarray
) -> None:
    answers = []
    for predictor in (images_on_graphs, images_on_torch):
        predictor.set_image(picture)
        answer = predictor.predict(return_logits=True, **PROMPTS[name])
        best = answer.low_res_logits.reshape(-1, 1, *answer.low_res_logits.shape[-2:])[:1]
        answers.append((answer, predictor.predict(mask_input=best[0], return_logits=True, **PROMPTS["click"])))
    for ours, theirs in zip(*answers, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_allclose(a, b, atol=LOGITS, rtol=0)
        both, any_of = (
            op(ours.result.binary(), theirs.result.binary()).sum() for op in (np.logical_and, np.logical_or)
        )
        assert both >= 0.999 * any_of


def test_several_pictures(
    images_on_graphs: ImagePredictor, images_on_torch: ImagePredictor, picture: np.ndarray
) -> None:
    pictures = [picture, picture[:60, :90], picture[::-1]]
    embedded = [predictor.embed_batch(pictures) for predictor in (images_on_graphs, images_on_torch)]
    for ours, theirs in zip(*embedded, strict=True):
        assert ours.size == theirs.size
        for a, b in zip(ours.features, theirs.features, strict=True):
            np.testing.assert_allclose(a, b.numpy(), atol=1e-4)
    images_on_graphs.set_image_batch(pictures)
    images_on_torch.set_image_batch(pictures)
    clicks = [np.array([(5, 5)])] * 3
    for ours, theirs in zip(images_on_graphs.predict_batch(clicks), images_on_torch.predict_batch(clicks), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=LOGITS)
    np.testing.assert_allclose(
        images_on_graphs.get_image_embedding(), images_on_torch.get_image_embedding().numpy(), atol=1e-4
    )


def test_photographs_are_not_rounded(images_on_graphs: ImagePredictor, picture: np.ndarray) -> None:
    """The features of a picture at the network's size are those of its bytes; of others, of numbers in between."""
    calls = images_on_graphs.model.calls
    random = np.random.default_rng(0).random((1, 64, 96, 3), np.float32)
    exact, rounded = (calls.encode_image(x).stride16 for x in (random, (random * 255).round().astype(np.uint8)))
    assert abs(exact - rounded).max() > 1e-4
    as_floats = calls.encode_image((random * 255).round().astype(np.uint8).astype(np.float32) / 255).stride16
    np.testing.assert_allclose(as_floats, rounded, atol=1e-4)
