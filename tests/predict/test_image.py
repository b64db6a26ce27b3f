"""The image predictor's interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from models import nano_by_rule
from PIL import Image

import sam2v
from sam2v import ImagePredictor
from sam2v.model.network import Sam2Network

HEIGHT, WIDTH, LOW = 48, 64, 24
POINT = {"point_coords": [[20, 20]], "point_labels": [1]}


@pytest.fixture(scope="module")
def model() -> Sam2Network:
    return nano_by_rule()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return drawn_clip(1, HEIGHT, WIDTH)[0]


@pytest.fixture
def predictor(model: Sam2Network, picture: np.ndarray) -> ImagePredictor:
    predictor = ImagePredictor(model)
    predictor.set_image(picture)
    return predictor


def same(a: Any, b: Any, tolerance: float = 1e-4) -> None:
    for mine, other in zip(a, b, strict=True):
        np.testing.assert_allclose(np.asarray(mine, float), np.asarray(other, float), atol=tolerance, rtol=0)


# -- what comes back ---------------------------------------------------------------------------------------------------


def test_shapes_and_kinds(predictor: ImagePredictor) -> None:
    masks, iou, low = predictor.predict(**POINT)
    assert (masks.shape, iou.shape, low.shape) == ((3, HEIGHT, WIDTH), (3,), (3, LOW, LOW))
    assert (masks.dtype, iou.dtype, low.dtype) == (bool, np.float32, np.float32)
    assert abs(low).max() <= 32
    single = predictor.predict(**POINT, multimask_output=False)
    assert single.masks.shape == (1, HEIGHT, WIDTH)
    boxes = predictor.predict(box=[[5, 5, 30, 30], [20, 10, 60, 40]], multimask_output=False)
    assert (boxes.masks.shape, boxes.iou.shape) == ((2, 1, HEIGHT, WIDTH), (2, 1))
    assert boxes.low_res_logits.shape == (2, 1, LOW, LOW)
    logits = predictor.predict(**POINT, return_logits=True).masks
    assert logits.dtype == np.float32 and np.array_equal(logits > 0, masks)
    assert 0 < masks.mean() < 1


@settings(max_examples=5)
@given(st.lists(st.tuples(st.integers(0, WIDTH), st.integers(0, HEIGHT)), min_size=2, max_size=4))
def test_prompts_in_a_batch_are_prompts_alone(model: Sam2Network, picture: np.ndarray, points: list) -> None:
    predictor = ImagePredictor(model)
    predictor.set_image(picture)
    together = predictor.predict(np.array(points)[:, None], np.ones((len(points), 1)), return_logits=True)
    for row, point in enumerate(points):
        same((part[row] for part in together), predictor.predict([point], [1], return_logits=True))


def test_one_encoding_and_one_decoding(
    model: Sam2Network, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    for name in ("encode_image", "decode_prompts"):
        work = getattr(model, name)

        def counted(*args: Any, _name: str = name, _work: Any = work, **kwargs: Any) -> Any:
            calls.append(_name)
            return _work(*args, **kwargs)

        monkeypatch.setattr(model, name, counted)
    predictor = ImagePredictor(model)
    predictor.set_image(picture)
    predictor.predict(box=[[1, 1, 20, 20], [5, 5, 40, 40], [20, 10, 60, 40]])
    predictor.predict(**POINT)
    assert calls == ["encode_image", "decode_prompts", "decode_prompts"]


def test_images_in_a_batch_are_images_alone(model: Sam2Network, picture: np.ndarray) -> None:
    other = drawn_clip(1, 60, 40, seed=3)[0]
    predictor = ImagePredictor(model)
    predictor.set_image_batch([picture, other])
    assert predictor.get_image_embedding().shape == (2, 128, 6, 6)
    points = [np.array([[20, 20]]), np.array([[10, 30], [30, 50]])]
    batch = predictor.predict_batch(points, [np.array([1]), np.array([1, 0])], return_logits=True)
    boxes = predictor.predict_batch(box_batch=[[1, 1, 30, 30], [[1, 1, 30, 30], [2, 2, 20, 50]]])
    assert [m.shape for m in boxes[0]] == [(3, HEIGHT, WIDTH), (2, 3, 60, 40)]
    for index, image in enumerate((picture, other)):
        predictor.set_image(image)
        alone = predictor.predict(points[index], [1, 0][: len(points[index])], return_logits=True)
        same((part[index] for part in batch), alone)


def test_what_may_be_a_picture(model: Sam2Network, picture: np.ndarray, tmp_path: Path) -> None:
    predictor = ImagePredictor(model)
    Image.fromarray(picture).save(tmp_path / "a.png")
    alpha = np.dstack([picture, np.full((HEIGHT, WIDTH), 7, np.uint8)])
    kinds = [
        picture,
        Image.fromarray(picture),
        torch.from_numpy(picture).permute(2, 0, 1),
        alpha,
        Image.fromarray(alpha),
        picture.astype(np.uint16) << 8,
        picture / 255,
    ]
    answers = []
    for kind in kinds:
        predictor.set_image(kind)
        answers.append(predictor.predict(**POINT, return_logits=True))
    for answer in answers[1:]:
        same(answer, answers[0])
    grey = picture[..., 0]
    predictor.set_image(grey)
    first = predictor.predict(**POINT, return_logits=True)
    predictor.set_image(np.repeat(grey[..., None], 3, 2))
    same(first, predictor.predict(**POINT, return_logits=True))


def test_coordinates_in_the_unit_square(predictor: ImagePredictor) -> None:
    pixels = predictor.predict([[16, 12]], [1], box=[8, 6, 32, 24], return_logits=True)
    unit = predictor.predict([[0.25, 0.25]], [1], [0.125, 0.125, 0.5, 0.5], return_logits=True, normalize_coords=False)
    same(pixels, unit)


def test_labels_default_to_object(predictor: ImagePredictor) -> None:
    same(predictor.predict([[20, 20]], return_logits=True), predictor.predict([[20, 20]], [1], return_logits=True), 0)


def test_an_answer_is_refined(predictor: ImagePredictor) -> None:
    _, iou, low = predictor.predict(**POINT, return_logits=True)
    best = low[iou.argmax()][None]
    refined = predictor.predict(**POINT, mask_input=best, multimask_output=False, return_logits=True)
    fresh = predictor.predict(**POINT, multimask_output=False, return_logits=True)
    assert abs(refined.masks - fresh.masks).max() > 0.01
    alone = predictor.predict(mask_input=best, multimask_output=False)
    assert alone.masks.shape == (1, HEIGHT, WIDTH)
    several = predictor.predict(mask_input=low[:, None], multimask_output=False, return_logits=True)
    assert several.masks.shape == (3, 1, HEIGHT, WIDTH)
    one = predictor.predict(mask_input=low[:1], multimask_output=False, return_logits=True)
    same((part[0] for part in several), one)


def test_holes_and_specks_of_the_masks(model: Sam2Network, picture: np.ndarray) -> None:
    answers = {}
    for name, options in {"plain": {}, "filled": {"max_hole_area": 600}, "clean": {"max_sprinkle_area": 600}}.items():
        predictor = ImagePredictor(model, **options)
        predictor.set_image(picture)
        answers[name] = predictor.predict(**POINT)
    assert answers["filled"].masks.sum() >= answers["plain"].masks.sum() >= answers["clean"].masks.sum()
    assert answers["filled"].masks.sum() > answers["clean"].masks.sum()
    same([answers["filled"].low_res_logits], [answers["plain"].low_res_logits], 0)
    strict = ImagePredictor(model, mask_threshold=3.0)
    strict.set_image(picture)
    assert strict.predict(**POINT).masks.sum() < answers["plain"].masks.sum()


def test_from_pretrained(tmp_path: Path, picture: np.ndarray, predictor: ImagePredictor) -> None:
    path = sam2v.save_checkpoint(predictor.model, tmp_path / "nano.safetensors")
    options = {"checkpoint": path, "device": "cpu", "overrides": ["model.image_size=96"], "mask_threshold": 0.0}
    other = ImagePredictor.from_pretrained("sam2v_nano", **options)
    assert other.device == torch.device("cpu")
    other.set_image(picture)
    same(other.predict(**POINT, return_logits=True), predictor.predict(**POINT, return_logits=True))


# -- bad input ---------------------------------------------------------------------------------------------------------

BAD_PROMPTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, ValueError, "at least one of point_coords, box and mask_input"),
    ({"point_coords": [[np.nan, 3]], "point_labels": [1]}, ValueError, "NaN or infinity"),
    ({"point_coords": [[np.inf, 3]]}, ValueError, "NaN or infinity"),
    ({"point_coords": [[1, 2, 3]], "point_labels": [1]}, ValueError, "points must have shape P x 2"),
    ({"point_coords": np.zeros((1, 1, 1, 2))}, ValueError, "P x 2 or B x P x 2"),
    ({"point_coords": "here"}, TypeError, "points must be numbers"),
    ({"point_coords": [[1, 2], [3]]}, TypeError, "points must be numbers"),
    (
        {"point_coords": [[1, 2]], "point_labels": [1, 0]},
        ValueError,
        "labels must have one entry per point: 1 expected",
    ),
    ({"point_coords": [[1, 2]], "point_labels": [7]}, ValueError, "unknown label 7"),
    ({"point_coords": [[1, 2]], "point_labels": [0.5]}, ValueError, "unknown label 0.5"),
    ({"point_labels": [1]}, ValueError, "point_labels were given without point_coords"),
    ({"point_coords": [[65, 2]]}, ValueError, r"point \(65, 2\) lies outside the frame of 64 x 48 pixels"),
    ({"point_coords": [[3, -1]]}, ValueError, "lies outside"),
    ({"point_coords": [[3, 1]], "normalize_coords": False}, ValueError, "outside the unit square"),
    ({"box": [30, 5, 20, 9]}, ValueError, "is empty: x1 must exceed x0"),
    ({"box": [64, 5, 80, 40]}, ValueError, r"box \(64, 5\)-\(80, 40\) lies outside the frame of 64 x 48 pixels"),
    ({"box": [5, 5, 8]}, ValueError, r"box must be \(x0, y0, x1, y1\), got shape 3"),
    ({"box": [5, 5, 8, np.nan]}, ValueError, "NaN"),
    ({"box": np.zeros((0, 4))}, ValueError, "got shape 0 x 4"),
    ({"mask_input": np.zeros((2, 3, 4, 4))}, ValueError, "mask_input must have shape"),
    ({"mask_input": np.zeros((3, LOW, LOW))}, ValueError, r"choose one of .*low_res_logits\[iou.argmax\(\)\]\[None\]"),
    ({"point_coords": np.zeros((0, 2))}, ValueError, "at least one point"),
    ({"point_coords": [[4, 10]], "point_labels": [-1]}, ValueError, "at least one point"),
    ({"mask_input": np.full((1, LOW, LOW), np.nan)}, ValueError, "mask_input must be finite"),
    ({"box": [[1, 1, 5, 5]] * 2, "point_coords": np.ones((3, 1, 2))}, ValueError, "different numbers"),
]


@pytest.mark.parametrize(("prompt", "kind", "words"), BAD_PROMPTS)
def test_bad_prompts(predictor: ImagePredictor, prompt: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        predictor.predict(**prompt)


def test_bad_prompts_change_nothing(predictor: ImagePredictor) -> None:
    before = predictor.predict(**POINT, return_logits=True)
    for prompt, kind, _ in BAD_PROMPTS:
        with pytest.raises(kind):
            predictor.predict(**prompt)
    same(predictor.predict(**POINT, return_logits=True), before, 0)


@pytest.mark.parametrize(
    ("image", "kind", "words"),
    [
        (np.zeros((0, 5, 3), np.uint8), ValueError, "got shape"),
        (np.zeros((5, 6, 2), np.uint8), ValueError, "got shape"),
        (np.zeros(7, np.uint8), ValueError, "got shape"),
        (np.zeros((4, 5, 3), np.int64), TypeError, "int64"),
        (np.full((4, 5, 3), 200.0), ValueError, r"floats must lie in \[0, 1\]"),
        (np.full((4, 5, 3), np.nan), ValueError, r"floats must lie in \[0, 1\]"),
        (None, TypeError, "NoneType"),
        ({"image": 1}, TypeError, "dict"),
    ],
)
def test_bad_images_leave_the_earlier_one(
    predictor: ImagePredictor, image: Any, kind: type[Exception], words: str
) -> None:
    before = predictor.predict(**POINT, return_logits=True)
    with pytest.raises(kind, match=words):
        predictor.set_image(image)
    with pytest.raises(kind, match=words):
        predictor.set_image_batch([np.zeros((4, 5, 3), np.uint8), image])
    same(predictor.predict(**POINT, return_logits=True), before, 0)


def test_bad_image_files(predictor: ImagePredictor, tmp_path: Path, picture: np.ndarray) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").touch()
    Image.fromarray(picture).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:700])
    for name, words in {
        "text.jpg": "text.jpg: not an image that can be read",
        "empty.jpg": "empty.jpg: the file is empty",
        "cut.jpg": "cut.jpg: the image is cut short",
    }.items():
        with pytest.raises(ValueError, match=words):
            predictor.set_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg"):
        predictor.set_image(tmp_path / "missing.jpg")


def test_the_order_of_calls(model: Sam2Network, picture: np.ndarray) -> None:
    predictor = ImagePredictor(model)
    for call in (predictor.predict, predictor.predict_batch, predictor.get_image_embedding):
        with pytest.raises(RuntimeError, match="no image is set"):
            call()
    for images in ([], picture, "a.png"):
        with pytest.raises(ValueError, match="a list with at least one image"):
            predictor.set_image_batch(images)
    predictor.set_image_batch([picture, picture])
    with pytest.raises(RuntimeError, match="use predict_batch"):
        predictor.predict(**POINT)
    with pytest.raises(ValueError, match="one entry per image: 2 expected, got 1"):
        predictor.predict_batch([[[1, 2]]])
    predictor.reset_predictor()
    with pytest.raises(RuntimeError, match="no image is set"):
        predictor.predict(**POINT)
    with pytest.raises(TypeError, match=r"model must come from sam2v\.load_model, got str"):
        ImagePredictor("sam2v_nano")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ImagePredictor(model, hole_area=3)  # type: ignore[call-arg]
