"""Inputs that are no squares: rectangular models, and the video's aspect kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from models import nano_by_rule

import sam2v
from sam2v import ImagePredictor, Prompt, VideoPredictor
from sam2v.model.network import Sam2Network

FRAMES = 5


def tall_clip() -> np.ndarray:
    return np.ascontiguousarray(drawn_clip(FRAMES, 40, 100).transpose(0, 2, 1, 3))


@pytest.fixture(scope="module")
def rectangular(device: torch.device) -> Sam2Network:
    return nano_by_rule(overrides=["model.image_size=[64,96]"]).to(device)


def results(video: VideoPredictor, clip: np.ndarray) -> torch.Tensor:
    h, w = clip.shape[1:3]
    state = video.init_state(clip)
    mask = np.zeros((h, w), bool)
    mask[h // 4 : h // 2, w // 4 : w // 2] = True
    prompts = {1: Prompt([(w // 3, h // 3)]), 2: Prompt(box=(0, 0, w // 2, h // 2)), 3: Prompt(mask=mask)}
    first = video.add_prompts(state, 0, prompts).masks
    return torch.stack([first, *(result.masks for result in video.propagate_in_video(state))])


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: drawn_clip(FRAMES, 64, 96), (64, 96)),
        (lambda: drawn_clip(FRAMES, 40, 100), (32, 96)),
        (tall_clip, (96, 32)),
        (lambda: drawn_clip(FRAMES, 50, 50), (96, 96)),
    ],
)
def test_keeping_the_aspect_is_a_model_of_that_size(make: Callable[[], np.ndarray], size: tuple[int, int]) -> None:
    clip = make()
    kept = VideoPredictor(nano_by_rule(), keep_aspect=True)
    assert kept.init_state(clip).input_size == size
    fixed = VideoPredictor(nano_by_rule(overrides=[f"model.image_size=[{size[0]},{size[1]}]"]))
    assert torch.equal(results(kept, clip), results(fixed, clip))


def test_a_list_of_equal_sides_is_the_square(rectangular: Sam2Network) -> None:
    assert rectangular.config.input_size == (64, 96)
    assert nano_by_rule(overrides=["model.image_size=[96,96]"]).config == nano_by_rule().config


def test_places_are_those_of_the_frame(rectangular: Sam2Network) -> None:
    """Masks lie where prompts do: neither side's scale is used for the other."""
    video, clip = VideoPredictor(rectangular), drawn_clip(1, 128, 192)
    mask = np.zeros((128, 192), bool)
    mask[80:120, 20:60] = True
    given = video.add_mask(video.init_state(clip), 0, 1, mask).binary()[0]
    assert (given & mask).sum() / (given | mask).sum() > 0.9


@pytest.mark.parametrize("num", [1, 3])
def test_live_and_together_as_offline_and_alone(rectangular: Sam2Network, num: int) -> None:
    video, clip = VideoPredictor(rectangular, keep_aspect=True), drawn_clip(FRAMES, 50, 90)
    prompts = {n: Prompt([(20 * n, 10 + 8 * n)]) for n in range(1, num + 1)}
    state, live = video.init_state(clip), video.init_state(None, num_frames=FRAMES)
    video.add_prompts(state, 0, prompts)
    whole = list(video.propagate_in_video(state))
    video.add_prompts(live, 0, prompts)
    for frame, expected in zip(clip, whole, strict=True):
        torch.testing.assert_close(video.track(live, frame).masks, expected.masks, atol=1e-4, rtol=0)
    alone = video.init_state(clip)
    video.add_prompts(alone, 0, {1: prompts[1]})
    for got, expected in zip(video.propagate_in_video(alone), whole, strict=True):
        torch.testing.assert_close(got.masks[0], expected.masks[0], atol=1e-4, rtol=0)


def test_pictures(rectangular: Sam2Network) -> None:
    image = ImagePredictor(rectangular)
    image.set_image(drawn_clip(1, 128, 192)[0])
    answer = image.predict([[60.0, 50.0]])
    assert answer.masks.shape == (3, 128, 192) and answer.low_res_logits.shape == (3, 16, 24)
    refined = image.predict([[60.0, 50.0]], mask_input=answer.low_res_logits[:1], multimask_output=False)
    assert refined.masks.shape == (1, 128, 192)
    assert image.get_image_embedding().shape[-2:] == (4, 6)


def test_saved_weights_know_nothing_of_the_size(rectangular: Sam2Network) -> None:
    square = nano_by_rule()
    assert {k: v.shape for k, v in square.state_dict().items()} == {
        k: v.shape for k, v in rectangular.state_dict().items()
    }


@pytest.mark.parametrize("size", ["[64]", "[64,96,32]", "[64,100]", "[0,64]", "[64.0,64]", "true"])
def test_impossible_sizes_are_refused(size: str) -> None:
    with pytest.raises((ValueError, TypeError), match="image_size"):
        sam2v.load_model("sam2v_nano", checkpoint=None, overrides=[f"model.image_size={size}"])
