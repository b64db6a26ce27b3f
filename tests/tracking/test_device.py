"""What runs on an accelerator: nothing on the wrong device, and nothing read on the host.

torch's FakeTensorMode stands in for the device: it knows shapes, dtypes and devices and has no values, so that whatever
needs a value (`item`, `nonzero`, a tensor as a condition) raises, and so does an operator whose inputs are on different
devices. No accelerator is needed for that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from models import nano_by_rule
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

import sam2v.predict.video
from sam2v import ImagePredictor, Prompt, VideoPredictor
from sam2v.arrays import torch_kind
from sam2v.backends import recorded
from sam2v.backends.base import Backend
from sam2v.backends.graphs import CALLS, graph_network
from sam2v.masks.logits import packed
from sam2v.model.network import Sam2Network
from sam2v.model.values import Prompts
from sam2v.tracking import features
from sam2v.tracking.prompts import checked_prompt
from sam2v.video.fit import fit

FRAMES = 5
#: Frames until a bank with sixteen pointers is full.
FULL = 18
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


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "non_overlap_masks": True,
            "remove_speck_area": 4,
            "fill_hole_area": 0,
            "resize": "device",
            "keep_aspect": True,
        },
    ],
)
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
    """Several objects by graphs of fixed shapes, in a file until banks are full and live, holes filled; there is
    nothing here to record them with."""
    monkeypatch.setattr(recorded, "recorder_for", lambda device: recorded.call_again)
    made = graph_network(network)
    video = VideoPredictor(made, fill_hole_area=8)
    state = video.init_state(drawn_clip(FULL))
    video.add_prompts(state, 0, prompts())
    results = list(video.propagate_in_video(state))
    live = video.init_state(None)
    video.add_prompts(live, 1, {1: Prompt([(20, 20)]), 2: Prompt(box=(5, 5, 30, 30))})
    results += [video.track(live, frame) for frame in drawn_clip(FRAMES)]
    for result in results[:FULL] + results[FULL + 1 :]:  # on the first live frame nothing was prompted yet
        assert result.masks.device == PRETENDED and len(result.masks) in (2, 4)
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


class Arrived:
    """Stands for an event of a device; counts who waits."""

    waits = 0

    def synchronize(self) -> None:
        Arrived.waits += 1


def pretend_to_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinned memory and events without a device."""
    monkeypatch.setattr(torch_kind, "can_pin", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    monkeypatch.setattr(torch_kind, "pinned_like", lambda array: torch.empty(array.shape, dtype=array.dtype))
    monkeypatch.setattr(torch_kind, "recorded_event", lambda device: Arrived())
    monkeypatch.setattr(Arrived, "waits", 0)


class Transfers(TorchDispatchMode):
    """Counts copies between the host and the device, and those that the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.all = self.waited_for = 0


class Uploads(Transfers):
    """Those to the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu" and out.device == PRETENDED:
            self.all += 1
            self.waited_for += not (kwargs or {}).get("non_blocking")
        return out


def test_the_host_waits_for_no_upload(network: Sam2Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame and what each object reads go to the device while the host goes on, from pinned memory."""
    pinned = []
    pretend_to_pin(monkeypatch)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self.clone())
    video = VideoPredictor(network)
    state = video.init_state(drawn_clip(FRAMES))
    video.add_prompts(state, 0, prompts())
    results = video.propagate_in_video(state)
    next(results), next(results)
    pinned.clear()
    with Uploads() as uploads:
        _ = next(results).masks
    assert uploads.all == len(pinned) >= 3
    assert uploads.waited_for == 0


class Downloads(Transfers):
    """Those to the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.copy_.default and args[1].device == PRETENDED and args[0].device.type == "cpu":
            self.all += 1
            self.waited_for += not (kwargs or {}).get("non_blocking", len(args) > 2 and args[2])
        elif func is torch.ops.aten._to_copy.default and args[0].device == PRETENDED and out.device.type == "cpu":
            self.all += 1
            self.waited_for += 1
        return out


def test_a_tracked_frame_is_one_download_that_nobody_waits_for(
    network: Sam2Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a frame's upload and its result's download the host reads nothing, and it waits when it looks."""
    pretend_to_pin(monkeypatch)
    video = VideoPredictor(network)
    state = video.init_state(drawn_clip(FRAMES))
    video.add_prompts(state, 0, prompts())
    results = video.propagate_in_video(state)
    next(results)
    for _ in range(2):
        with Downloads() as downloads, Uploads() as uploads:
            result = next(results)
            result.download()  # it is on its way
        assert (downloads.all, downloads.waited_for, Arrived.waits) == (1, 0, 0)
        assert uploads.waited_for == 0
    with unset_fake_temporarily():
        rows = np.zeros((4, 48 * 64 // 8 + 8), np.uint8)
    monkeypatch.setattr(torch.Tensor, "numpy", lambda self: rows[:, : self.shape[1]])  # pretended bytes have no values
    with Downloads() as downloads:
        assert result.crops == [None] * 4 and result.scores().shape == (4, 2)
        assert result.packed().shape == (4, 48 * 64 // 8)
    assert downloads.all == 0 and Arrived.waits == 1


def test_on_cuda_four_frames_are_encoded_together_and_ahead(
    network: Sam2Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next frames are encoded before this one's masks are handed over; those of a stream are not waited for.
    Several threads bring them to the network's size, all but the prompted one."""
    batches: list[int] = []
    fitted: list[str] = []
    monkeypatch.setattr(
        features, "fit", lambda frame, size: (fitted.append(threading.current_thread().name), fit(frame, size))[1]
    )
    encode = Backend.encode_image
    monkeypatch.setattr(Backend, "encode_image", lambda self, x: (batches.append(len(x)), encode(self, x))[1])
    video, clip = VideoPredictor(network), drawn_clip(FRAMES)
    for source, expected in ((clip, [4, 1]), (iter(clip), [1] * (FRAMES - 1))):
        fitted.clear()
        state = video.init_state(source)
        video.add_prompts(state, 0, {1: Prompt([(20, 20)])})
        batches.clear()
        for _ in video.propagate_in_video(state):
            pass
        assert batches == expected
        assert fitted and all(name.startswith("sam2v-prepare") for name in fitted[1:])


def test_images_stay_on_the_device(network: Sam2Network) -> None:
    image = ImagePredictor(network)
    embedding = image.embed(drawn_clip(1)[0])
    points = Prompts(torch.zeros(3, 1, 2, device=PRETENDED), torch.ones(3, 1, dtype=torch.int64, device=PRETENDED))
    assert image.decode(embedding, points).masks.device == PRETENDED
