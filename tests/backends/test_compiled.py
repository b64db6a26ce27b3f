"""Compiled calls: the same masks, and nothing compiled twice, whatever the numbers of objects, memories and points.

The backend "eager" traces, guards and pads as any other, and compiles nothing, so these tests are quick.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from models import nano_by_rule
from torch._dynamo import config as tracing

import sam2v
from sam2v.backends import compiled
from sam2v.backends.compiled import CALLS, CompiledBackend, compile_network, pad_objects


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return drawn_clip(12)


def masks(predictor: sam2v.VideoPredictor, frames: np.ndarray) -> Iterator[np.ndarray]:
    """Three objects, a click more on the way, and one more object: every shape that tracking meets."""
    state = predictor.init_state(frames)
    for obj_id, place in enumerate([(20, 20), (50, 40), (30, 30)]):
        predictor.add_points(state, 0, obj_id, [place])
    for result in predictor.propagate_in_video(state, max_frame_num_to_track=9):
        yield result.masks
    predictor.add_points(state, 4, 0, [(25, 25), (60, 40)], [1, 0])
    predictor.add_points(state, 2, 7, [(40, 40)])
    for result in predictor.propagate_in_video(state):
        yield result.masks


@pytest.mark.parametrize("size", [pytest.param("96", marks=pytest.mark.full), "[64,96]"])
def test_compiled_calls_change_nothing_and_settle(frames: np.ndarray, size: str) -> None:
    network = nano_by_rule("img-1-", [f"model.image_size={size}"])
    made = compile_network(network, objects=(1, 3), calls=CALLS, backend="eager", progress=False)
    assert made.seconds > 0
    predictor = sam2v.VideoPredictor(made, frames_per_encoding=3)
    found = list(masks(predictor, frames))
    with tracing.patch(error_on_recompile=True):  # a frame with more conditioning memories was new the first time
        list(masks(predictor, frames))
    for actual, expected in zip(found, masks(sam2v.VideoPredictor(network), frames), strict=True):
        np.testing.assert_allclose(actual, expected, atol=2e-3)


def test_the_network_stays_as_it_is_and_may_be_compiled_again() -> None:
    network = nano_by_rule()
    before = dict(vars(network))
    made = [compile_network(network, calls=["encode_image"], backend="eager", progress=False) for _ in range(2)]
    assert vars(network) == before
    network.set_precision(torch.bfloat16)
    features = [one.encode_image(torch.zeros(1, 96, 96, 3, dtype=torch.uint8)) for one in made]
    assert features[0].stride16.dtype == torch.bfloat16
    torch.testing.assert_close(*(f.stride16 for f in features))


def test_images_can_be_compiled(frames: np.ndarray) -> None:
    network = nano_by_rule()
    made = compile_network(network, calls=["encode_image"], backend="eager", progress=False)
    answers = []
    for model in (network, made):
        image = sam2v.ImagePredictor(model)
        image.set_image(frames[0])
        answers.append(image.predict([[20, 20]]).low_res_logits)
    np.testing.assert_allclose(*answers, atol=1e-4)


def test_objects_are_padded_to_few_numbers() -> None:
    assert [pad_objects(n) for n in (1, 2, 3, 5, 9, 16, 17, 33)] == [1, 2, 4, 8, 16, 16, 32, 48]


def test_loading_can_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU nothing is compiled unless it is asked for by name."""
    options = {"name": "sam2v_nano", "checkpoint": None, "device": "cpu", "overrides": ["model.image_size=96"]}
    plain = sam2v.load_model(**options, compile=True)
    assert isinstance(plain, CompiledBackend) and plain.seconds == 0
    monkeypatch.setattr(compiled, "CPU_CALLS", ("encode_image",))
    monkeypatch.setattr(compiled.compile_network, "__defaults__", ((1,), None, "eager", False))
    made = sam2v.load_model(**options, compile=True)
    assert isinstance(made, CompiledBackend) and made.seconds > 0


@pytest.mark.parametrize(
    ("changes", "message"), [({"calls": ["encode"]}, "'encode' is none of"), ({"objects": [0]}, "at least 1")]
)
def test_bad_arguments(changes: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_network(nano_by_rule(), **changes)  # type: ignore[arg-type]
