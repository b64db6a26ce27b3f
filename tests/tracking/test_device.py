"""What runs on an accelerator: nothing on the wrong device, and nothing read on the host.

torch's FakeTensorMode stands in for the device: it knows shapes, dtypes and devices and has no values, so that whatever
needs a value (`item`, `nonzero`, a tensor as a condition) raises, and so does an operator whose inputs are on different
devices. No accelerator is needed for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from models import nano_by_rule
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

import sam2v.predict.video
from sam2v import ImagePredictor, Prompt, VideoPredictor
from sam2v.backends import recorded
from sam2v.backends.compiled import CALLS
from sam2v.backends.graphs import graph_network
from sam2v.masks.logits import packed
from sam2v.model.network import Sam2Network
from sam2v.model.values import Prompts
from sam2v.tracking.prompts import checked_prompt

FRAMES = 5
PRETENDED = torch.device("cuda", 0)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Sam2Network]:
    """The nano network on a device that is not there, in float32 unless a test asks for another precision."""

    def checked_on_the_host(*args: Any) -> Any:  # what a caller gives has values
        with unset_fake_temporarily():
            return checked_prompt(*args)

    monkeypatch.setattr(sam2v.predict.video, "checked_prompt", checked_on_the_host)
    made = nano_by_rule().set_precision(getattr(request, "param", torch.float32))
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in made.modules():
            for name, value in list(module.named_parameters(recurse=False)):
                there = torch.empty(value.shape, dtype=value.dtype, device=PRETENDED)
                setattr(module, name, nn.Parameter(there, requires_grad=False))
            for name, value in list(module.named_buffers(recurse=False)):
                setattr(module, name, torch.empty(value.shape, dtype=value.dtype, device=PRETENDED))
        yield made


def prompts() -> dict[int, Prompt]:
    mask = np.zeros((48, 64), bool)
    mask[10:30, 10:30] = True
    return {
        1: Prompt([(20, 20)]),
        2: Prompt(box=(5, 5, 30, 30)),
        3: Prompt(mask=mask),
        4: Prompt([(20, 20), (30, 30)], [1, 0], mask=mask),
    }


@pytest.mark.parametrize("options", [{}, {"non_overlap_masks": True, "remove_speck_area": 4, "fill_hole_area": 0}])
def test_prompts_and_tracked_frames_stay_on_the_device(network: Sam2Network, options: dict) -> None:
    video = VideoPredictor(network, **options)
    state = video.init_state(drawn_clip(FRAMES))
    results = [video.add_prompts(state, 0, prompts())]
    results += video.propagate_in_video(state)
    results.append(video.add_points(state, 2, 1, [(30, 30)], [0]))
    results += video.propagate_in_video(state, 3, reverse=True)
    for result in results:
        for part in (result.masks, result.iou, result.object_score):
            assert part.device == PRETENDED and len(part) == 4


@pytest.mark.parametrize("network", [torch.float32, torch.bfloat16], indirect=True)
def test_graphs_stay_on_the_device(network: Sam2Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several objects by graphs of fixed shapes, holes filled; there is nothing here to record them with."""
    monkeypatch.setattr(recorded, "recorder_for", lambda device: recorded.call_again)
    made = graph_network(network)
    video = VideoPredictor(made)
    state = video.init_state(drawn_clip(FRAMES))
    video.add_prompts(state, 0, prompts())
    for result in video.propagate_in_video(state):
        assert result.masks.device == PRETENDED and len(result.masks) == 4
        assert packed(result.masks[:, 0] > 0).device == PRETENDED
    assert {signature[0] for signature in made.calls.recordings.made} == set(CALLS)


@pytest.mark.parametrize(
    ("network", "mode"), [(torch.float32, "plain"), (torch.bfloat16, "graphs")], indirect=["network"]
)
def test_several_videos_stay_on_the_device(network: Sam2Network, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their rows in one batch: files of different lengths, by themselves and as graphs."""
    monkeypatch.setattr(recorded, "recorder_for", lambda device: recorded.call_again)
    video = VideoPredictor(graph_network(network) if mode == "graphs" else network)
    states = [video.init_state(drawn_clip(length)) for length in (3, 2)]
    for number, state in enumerate(states):
        video.add_prompts(state, 0, dict(list(prompts().items())[: 1 + number]))
    seen = []
    for index, result in video.propagate_in_videos(states):
        assert result.masks.device == PRETENDED and len(result.masks) == 1 + index
        assert packed(result.masks[:, 0] > 0).device == PRETENDED
        seen.append(index)
    assert seen == [0, 1, 0, 1, 0]


def test_live_frames_stay_on_the_device(network: Sam2Network) -> None:
    video = VideoPredictor(network)
    state = video.init_state(None)
    video.add_prompts(state, 1, {1: Prompt([(20, 20)])})  # held until it comes
    for frame in drawn_clip(FRAMES):
        result = video.track(state, frame)
    assert result.masks.device == PRETENDED


def test_images_stay_on_the_device(network: Sam2Network) -> None:
    image = ImagePredictor(network)
    embedding = image.embed(drawn_clip(1)[0])
    points = Prompts(torch.zeros(3, 1, 2, device=PRETENDED), torch.ones(3, 1, dtype=torch.int64, device=PRETENDED))
    assert image.decode(embedding, points).masks.device == PRETENDED
