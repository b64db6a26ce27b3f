"""Fewer and larger operations give the same numbers. They are an accelerator's; torch does them on the CPU as well."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden.noise import noise
from golden.pictures import clip
from golden.replay import TIGHT, Fixture, VideoReplay, answered, compare, golden_network
from models import memory_groups, nano_by_rule, pictures
from torch import Tensor

from benchmarks.operations import count_frame
from sam2v.backends import base
from sam2v.backends.base import Backend
from sam2v.backends.fused import FUSED_KINDS
from sam2v.backends.fused.measured import Fastest
from sam2v.backends.fused.memory_attention import FusedMemoryAttentionLayer
from sam2v.config import load_model_config
from sam2v.model.build import build_model
from sam2v.model.network import Sam2Network
from sam2v.model.values import ImageFeatures, Prompts, Wanted

TWINS = Path(__file__).parent.parent / "golden" / "videos"


@pytest.fixture(autouse=True)
def _fused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "kinds_for", lambda _: FUSED_KINDS)


def answers(calls: Backend | Sam2Network, shared: ImageFeatures, rows: int, hidden: bool, scaled: bool) -> list[Tensor]:
    """What the calls make of some rows; features are given, so that differences do not add up."""
    h, w = shared.grid
    cells = calls.write_memory(shared.select(0), noise(4, 1, 1, 4 * h, 4 * w, scale=5), torch.ones(1, 1)).shape[1]
    times = torch.tensor([[6, 0, -1 if hidden and n % 2 else 1] for n in range(rows)])
    groups = memory_groups(noise(1, rows, 3, cells, 32), times, noise(2, rows, 2, 128), noise(7, rows, 2).sigmoid())
    if scaled:
        groups[0] = groups[0]._replace(scale=noise(8, rows, 3).sigmoid())
    found = [conditioned := calls.read_memory(shared, groups)]
    masks = noise(3, rows, 1, 4 * h, 4 * w, scale=5)
    labels = torch.tensor([[1, 0, -1], [2, 3, -1], [-1, -1, -1]])[:rows]
    prompts = Prompts(16 * h * noise(5, rows, 3, 2).sigmoid(), labels)
    found += calls.decode_prompts(shared, conditioned, prompts, Wanted(True))
    found += calls.decode_prompts(shared, calls.without_memory(shared), prompts._replace(mask=masks), Wanted(False))
    found.append(calls.write_memory(shared, masks, noise(6, rows, 1)))
    return found


@pytest.mark.parametrize(
    ("overrides", "rows", "hidden", "scaled"),
    [
        (["model.image_size=96"], 1, False, False),
        (["model.image_size=[160,224]"], 3, True, True),
        (["model.image_size=160", "model.memory.pool=2"], 3, False, True),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_the_same_answers(overrides: list[str], rows: int, hidden: bool, scaled: bool, dtype: torch.dtype) -> None:
    network = nano_by_rule(overrides=overrides).set_precision(dtype)
    backend, (h, w) = Backend(network), network.config.input_size
    images = pictures(0, 2, h, w)
    features = network.encode_image(images)
    exact = dtype == torch.float32
    for given in (images, images.float() / 255):
        for found, expected in zip(backend.encode_image(given), features, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4 if exact else 0.2, rtol=1e-4 if exact else 0.02)
    for shown in (features.select(1), network.encode_image(pictures(1, rows, h, w))):  # on one picture, on one each
        both = (answers(calls, shown, rows, hidden, scaled) for calls in (backend, network))
        for found, expected in zip(*both, strict=True):
            torch.testing.assert_close(found, expected, atol=2e-4 if exact else 0.3, rtol=1e-4 if exact else 0.02)


@pytest.mark.parametrize(("rows", "hidden"), [(1, False), (3, True)])
@torch.no_grad()
def test_values_may_be_projected_after_attention(rows: int, hidden: bool) -> None:
    """Where a device says that this is faster."""
    network = nano_by_rule()
    backend, shared = Backend(network), network.encode_image(pictures(0, 1, 96, 96))
    ways = {"wide": FusedMemoryAttentionLayer.wide, "narrow": FusedMemoryAttentionLayer.narrow}
    timer = iter(range(0, -100, -1))  # what comes later takes less
    look = backend.calls.memory_attention.look = Fastest(ways, lambda call, device: call() is None or next(timer))
    both = (answers(calls, shared, rows, hidden, True) for calls in (backend, network))
    for found, expected in zip(*both, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)
    assert list(look.chosen.values()) == ["narrow"]


@pytest.mark.parametrize("twin", ["sam2.1_hiera_tiny_vii_occluded", "sam2_hiera_tiny_vii_occluded"])
def test_recorded_answers(twin: str) -> None:
    """Those of the reference implementation, with positions of pointers' times and without."""
    (path,) = TWINS.glob(f"{twin}*.npz")
    fixture = Fixture(path)
    meta = fixture.meta
    network = golden_network(meta["config"], meta["salt"], meta["image_size"], "cpu")
    replay = VideoReplay(fixture, network, clip(meta["frames"]))
    for k, _, results in answered(replay, meta["ops"]):
        for t, result in enumerate(results):
            recorded = {name: fixture[f"op{k}/{name}"][t] for name in ("video_masks", "area", "score", "iou")}
            compare(result, recorded, meta["video_stride"], TIGHT, f"call {k}, result {t}")


def test_new_weights_are_joined_anew() -> None:
    network, images = nano_by_rule(), pictures(0, 1, 96, 96)
    backend = Backend(network)
    backend.encode_image(images)
    network.load_state_dict(nano_by_rule("other-").state_dict())
    with torch.no_grad():
        expected = network.encode_image(images).stride16
    torch.testing.assert_close(backend.encode_image(images).stride16, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("objects", "videos", "tracking"), [(2, 1, 24), (1, 2, 30)])
def test_operations_of_a_frame_are_few(objects: int, videos: int, tracking: int) -> None:
    """Counted as docs/performance.md has them; a constant that is computed on every frame would be seen here. Of two
    videos the calls are one, the results are two."""
    network = nano_by_rule().to("meta").set_precision(torch.bfloat16)
    counted = count_frame(network, objects, videos=videos)
    more = int(videos > 1)  # a copy, in a batch of several
    most = {"encode_image": 91, "read_memory": 50, "decode_prompts": 70, "write_memory": 30}
    most = {part: count + more for part, count in most.items()} | {"tracking": tracking}
    found = {part: counts.total() for part, counts in counted.counts.items()}
    assert found.pop("result") <= 43 * videos
    assert found.keys() == most.keys()
    assert {part: count for part, count in found.items() if count > most[part]} == {}


def test_a_frame_is_at_most_three_fifths_of_what_it_was() -> None:
    """679 operations were a frame's before they were fused."""
    network = build_model(load_model_config("sam2.1_hiera_tiny"), "meta").to("meta").set_precision(torch.bfloat16)
    assert count_frame(network, objects=1).total() <= 0.6 * 679
