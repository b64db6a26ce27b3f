"""The four calls trace: nothing in them looks at a tensor's values, so one graph serves all inputs of its shape."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden.noise import noise
from models import pictures
from torch import Tensor, nn

from sam2v.model.network import Sam2Network
from sam2v.model.values import ImageFeatures, Prompts, TokenGroup, Wanted


class EncodeImage(nn.Module):
    def __init__(self, network: Sam2Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        return tuple(self.network.encode_image(images))


class ReadMemory(EncodeImage):
    def forward(self, image: Tensor, maps: Tensor, bias: Tensor, pointers: Tensor, distance: Tensor) -> Any:  # type: ignore[override]
        time = torch.zeros(2, 3, dtype=torch.int64)
        groups = [TokenGroup(maps, time, True, bias), TokenGroup(pointers.unflatten(2, (4, -1)), distance, False)]
        return self.network.read_memory(ImageFeatures(image, image, image), groups)


class DecodePrompts(EncodeImage):
    multimask = False

    def forward(  # type: ignore[override]
        self, stride16: Tensor, stride8: Tensor, stride4: Tensor, coords: Tensor, labels: Tensor, mask: Tensor
    ) -> Any:
        features = ImageFeatures(stride16, stride8, stride4)
        conditioned = self.network.without_memory(features)
        prompts = Prompts(coords, labels, mask)
        return tuple(self.network.decode_prompts(features, conditioned, prompts, Wanted(self.multimask)))


class DecodeTracked(DecodePrompts):
    multimask = True


class WriteMemory(EncodeImage):
    def forward(self, image: Tensor, masks: Tensor, score: Tensor) -> Any:  # type: ignore[override]
        return self.network.write_memory(ImageFeatures(image, image, image), masks, score, binarize=False)


def inputs_of(call: type[nn.Module], network: Sam2Network, seed: int) -> tuple[Tensor, ...]:
    """Inputs of two objects; another seed changes values that a careless network would branch on."""
    sign = 1.0 if seed % 2 else -1.0
    if call is EncodeImage:
        return (pictures(seed, 1, 96, 128),)
    features = tuple(network.encode_image(pictures(seed, 1, 96, 128)))
    if call is ReadMemory:
        hidden = float("-inf")
        rows = [[0, 0, hidden], [0, 0, 0]] if seed % 2 else [[0, hidden, hidden], [0.0, sign, 0]]
        bias = torch.tensor(rows)
        distance, channels = torch.tensor([[0.1, 0.0], [0.2, 0.3]]), network.config.memory.mem_dim
        pointers = noise(seed + 1, 2, 2, network.config.hidden_dim)
        return features[0], noise(seed, 2, 3, 48, channels), bias, pointers, distance
    if call is WriteMemory:
        return features[0], noise(seed, 2, 1, 24, 32, scale=5), sign * torch.tensor([[2.0], [-2.0]])
    labels = torch.tensor([[1, 0, -1], [2, 3, -1]]) if seed % 2 else torch.tensor([[0, -1, -1], [1, 1, -1]])
    return *features, 128 * noise(seed, 2, 3, 2).sigmoid(), labels, sign * noise(seed, 2, 1, 24, 32, scale=5)


@pytest.mark.parametrize("call", [EncodeImage, ReadMemory, DecodePrompts, DecodeTracked, WriteMemory])
def test_export(nano: Sam2Network, call: type[EncodeImage]) -> None:
    nano = nano.cpu()
    module = call(nano).eval()
    program = torch.export.export(module, inputs_of(call, nano, seed=1))
    for seed in (1, 2):
        inputs = inputs_of(call, nano, seed)
        expected, actual = module(*inputs), program.module()(*inputs)
        for a, b in zip(actual, expected) if isinstance(expected, tuple) else [(actual, expected)]:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_no_complex_numbers(nano: Sam2Network) -> None:
    """Rotary positions are computed in real arithmetic, which every device and exporter has."""
    nano = nano.cpu()
    program = torch.export.export(ReadMemory(nano).eval(), inputs_of(ReadMemory, nano, seed=1))
    values = [node.meta["val"] for node in program.graph.nodes if isinstance(node.meta.get("val"), Tensor)]
    assert values and not any(value.is_complex() for value in values)
