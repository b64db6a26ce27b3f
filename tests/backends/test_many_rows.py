"""Many rows: what a call holds in between stays bounded, and the answers are those of all rows at once."""

from __future__ import annotations

import unittest.mock
from collections.abc import Iterator

import pytest
import torch
from golden.noise import noise
from models import memory_groups, nano_by_rule, pictures
from torch import Tensor

from sam2v.backends import batched
from sam2v.backends.base import Backend
from sam2v.model.network import Sam2Network
from sam2v.model.offered import ABSENT_LOGIT
from sam2v.model.values import Prompts, Wanted

ROWS = 7


@pytest.fixture(scope="module")
def backend() -> Backend:
    return Backend(nano_by_rule())


def answers(backend: Backend, hidden: bool) -> Iterator[Tensor]:
    """What the calls make of some rows."""
    features = backend.encode_image(pictures(0, 1, 96, 96))
    times = torch.tensor([[6, 0, -1 if hidden and n % 2 else 1] for n in range(ROWS)])
    groups = memory_groups(noise(1, ROWS, 3, 36, 32), times, noise(2, ROWS, 2, 128), noise(7, ROWS, 2).sigmoid())
    conditioned = backend.read_memory(features, groups)
    yield conditioned
    masks = noise(4, ROWS, 1, 24, 24, scale=5)
    prompts = Prompts(96 * noise(3, ROWS, 3, 2).sigmoid(), torch.tensor([[1, 0, -1]] * ROWS), masks)
    yield from backend.decode_prompts(features, conditioned, prompts, Wanted(True))
    alone = prompts._replace(mask=None)
    for given in (prompts, alone):
        yield from backend.decode_prompts(features, backend.without_memory(features), given, Wanted(False))
    yield from backend.point_to_mask(features, noise(5, ROWS, 1, 96, 96) > 0)
    yield backend.write_memory(features, masks, noise(6, ROWS, 1))
    yield backend.write_memory(features, masks, noise(6, ROWS, 1), masks[:, :, :1, :1] > 0)


@pytest.mark.parametrize("hidden", [False, True])
def test_parts_are_the_whole(backend: Backend, monkeypatch: pytest.MonkeyPatch, hidden: bool) -> None:
    whole = list(answers(backend, hidden))
    one = 24 * 36 * 128 * 4
    monkeypatch.setattr(batched, "_CPU_BYTES", 3 * one)
    monkeypatch.setattr(batched, "_CPU_DECODE_BYTES", 2 * one)
    with unittest.mock.patch.object(
        type(backend.calls), "read_memory", autospec=True, side_effect=Sam2Network.read_memory
    ) as calls:
        parts = list(answers(backend, hidden))
    assert [len(call.args[2][0].tokens) for call in calls.call_args_list] == [3, 3, 1]
    for a, b in zip(parts, whole, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_no_rows_are_no_error(backend: Backend) -> None:
    features = backend.encode_image(pictures(0, 1, 96, 96))
    empty = Prompts(torch.zeros(0, 1, 2), torch.zeros(0, 1, dtype=torch.int64))
    assert backend.decode_prompts(features, backend.without_memory(features), empty, Wanted(True)).iou.shape[0] == 0


def test_prompts_on_one_image_are_answered_as_on_many(device: torch.device) -> None:
    """What rows have in common is computed once; and a mask that is good enough is painted as ever."""
    network = nano_by_rule(overrides=["model.image_size=160"]).to(device)  # enough cells for the CPU's own attention
    backend = Backend(network)
    features = backend.encode_image(pictures(0, 1, 160, 160).to(device))
    conditioned = backend.without_memory(features)
    labels = torch.tensor([[1, -1]] * ROWS, device=device)
    prompts = Prompts(160 * noise(3, ROWS, 2, 2).sigmoid().to(device), labels)
    answer = backend.decode_prompts(features, conditioned, prompts, Wanted(True))
    with torch.no_grad():
        many = network.decode_prompts(features, conditioned.expand(ROWS, -1, -1, -1), prompts, Wanted(True))
    for a, b in zip(answer, many, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    least = float(answer.iou.amax(1).median())
    some = backend.decode_prompts(features, conditioned, prompts, Wanted(True, least_iou=least))
    torch.testing.assert_close(some.iou, answer.iou)
    good = answer.iou > least
    assert 0 < good.any(1).sum() < ROWS
    torch.testing.assert_close(some.masks[good], answer.masks[good], atol=1e-4, rtol=1e-4)
    none = backend.decode_prompts(features, conditioned, prompts, Wanted(True, least_iou=1.0))
    assert (none.masks == ABSENT_LOGIT).all()
    torch.testing.assert_close(none.iou, answer.iou)
