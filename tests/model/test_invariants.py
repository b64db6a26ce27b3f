"""What must hold for any weights: sizes, batches and padding change nothing but the shapes."""

from __future__ import annotations

import math

import pytest
import torch
from golden.noise import noise
from hypothesis import given, settings
from hypothesis import strategies as st
from models import memory_groups, pictures

from sam2v.model.network import MEAN, STD, Sam2Network
from sam2v.model.offered import ABSENT_LOGIT, gate_by_score
from sam2v.model.values import ImageFeatures, Prediction, Prompts, TokenGroup, Wanted

TOLERANCE = 2e-5
SIZES = [(96, 96), (160, 160), (256, 256), (64, 224), (192, 96)]


def features_of(network: Sam2Network, height: int, width: int, count: int = 1, seed: int = 0) -> ImageFeatures:
    return network.encode_image(pictures(seed, count, height, width).to(network.device))


def random_memory(network: Sam2Network, cells: int, slots: int, pointers: int, seed: int) -> list[TokenGroup]:
    """One object's memory."""
    memory = network.config.memory
    parts = (
        noise(seed, 1, slots, cells, memory.mem_dim),
        torch.arange(slots)[None].flip(1) % memory.num_maskmem,
        noise(seed + 1, 1, pointers, network.config.hidden_dim),
        torch.arange(pointers)[None] / 15.0,
    )
    return memory_groups(*(part.to(network.device) for part in parts))


def together(memories: list[list[TokenGroup]]) -> list[TokenGroup]:
    """Several objects' memories as one ragged batch; what fills it up holds numbers that must not matter."""
    groups = []
    for parts in zip(*memories, strict=True):
        most = max(part.tokens.shape[1] for part in parts)

        def grow(value: torch.Tensor, filler: float, most: int = most) -> torch.Tensor:
            extra = value.new_full((1, most - value.shape[1], *value.shape[2:]), filler)
            return torch.cat([value, extra], dim=1)

        bias = torch.cat([grow(torch.zeros_like(p.time, dtype=torch.float32), float("-inf")) for p in parts])
        tokens, time = torch.cat([grow(p.tokens, 7.0) for p in parts]), torch.cat([grow(p.time, 1) for p in parts])
        groups.append(TokenGroup(tokens, time, parts[0].has_grid, bias))
    return groups


def assert_same(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=TOLERANCE)


# -- sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_any_multiple_of_32(nano: Sam2Network, height: int, width: int) -> None:
    """All four calls, square or not."""
    h, w = height // 16, width // 16
    features = features_of(nano, height, width)
    assert [level.shape[-2:] for level in features] == [(h, w), (2 * h, 2 * w), (4 * h, 4 * w)]
    conditioned = nano.read_memory(features, random_memory(nano, h * w, 3, 4, seed=1))
    assert conditioned.shape == features.stride16.shape
    coords = torch.tensor([[[width / 2, height / 3], [0.0, 0.0]]], device=nano.device)
    labels = torch.tensor([[1, -1]], device=nano.device)
    answer = nano.decode_prompts(features, conditioned, Prompts(coords, labels), Wanted(True))
    best = answer.pick().mask
    assert answer.masks.shape == (1, 3, 4 * h, 4 * w) and best.shape == (1, 1, 4 * h, 4 * w)
    assert answer.pointers.shape == (1, 3, nano.config.hidden_dim)
    memory = nano.write_memory(features, best, answer.object_score)
    assert memory.shape == (1, h * w, nano.config.memory.mem_dim)
    again = nano.decode_prompts(features, conditioned, Prompts(coords, labels, best), Wanted(False))
    drawn = (best > 0).float().repeat_interleave(4, 2).repeat_interleave(4, 3)
    pointer, score = nano.point_to_mask(features, drawn)
    assert pointer.shape == (1, nano.config.hidden_dim) and score.shape == (1, 1)
    for value in (*features, conditioned, *answer, memory, *again, pointer):
        assert torch.isfinite(value).all()


def test_rows_and_columns_are_not_confused(nano: Sam2Network) -> None:
    """A click's place decides the answer: on a wide image, left and right differ, and x is measured in the width."""
    features = features_of(nano, 96, 192)
    conditioned = nano.without_memory(features)
    labels = torch.tensor([[1, -1]], device=nano.device).expand(2, 2)
    coords = torch.tensor([[[180.0, 40.0], [0, 0]], [[40.0, 40.0], [0, 0]]], device=nano.device)
    answer = nano.decode_prompts(features, conditioned, Prompts(coords, labels), Wanted(True))
    assert (answer.masks[0] - answer.masks[1]).abs().max() > 1e-3
    position = nano.sam_prompt_encoder.dense_position(6, 12)
    centre = torch.tensor([[(11 + 0.5) / 12, (2 + 0.5) / 6]], device=nano.device)
    assert_same(position[0, :, 2, 11], nano.sam_prompt_encoder.pe_layer(centre)[0])


@pytest.mark.parametrize("floats", [False, True])
def test_bytes_and_floats_are_normalised_alike(nano: Sam2Network, floats: bool) -> None:
    colour = torch.tensor([10, 128, 250], dtype=torch.uint8, device=nano.device).expand(1, 32, 64, 3)
    found = nano.normalise(colour.float() / 255 if floats else colour)
    expected = [(value / 255 - mean) / std for value, mean, std in zip((10, 128, 250), MEAN, STD, strict=True)]
    assert found.shape == (1, 3, 32, 64)
    assert_same(found.mean((0, 2, 3)).cpu(), torch.tensor(expected))
    for one, other in zip(nano.encode_image(colour), nano.encode_image(colour.float() / 255), strict=True):
        assert_same(one, other)


# -- batches -----------------------------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(st.data())
def test_ragged_memories_equal_one_by_one(nano: Sam2Network, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.tuples(st.integers(1, 7), st.integers(0, 16)), min_size=1, max_size=4))
    features = features_of(nano, 96, 64)
    memories = [random_memory(nano, 24, slots, pointers, seed=10 * i) for i, (slots, pointers) in enumerate(lengths)]
    with torch.no_grad():
        alone = torch.cat([nano.read_memory(features, memory) for memory in memories])
        assert_same(nano.read_memory(features, together(memories)), alone)


def test_memory_is_read_at_all(nano: Sam2Network) -> None:
    """The comparison above means something: other memories, times, pointers and weights give other features."""
    features = features_of(nano, 96, 64)
    maps, pointers = random_memory(nano, 24, 3, 4, seed=0)
    out = nano.read_memory(features, [maps, pointers])
    weights = torch.tensor([[0.0, 1.5, -1.5]], device=nano.device)
    changes = [
        [maps._replace(tokens=maps.tokens.flip(1)), pointers],
        [maps._replace(time=maps.time + 2), pointers],
        [maps, pointers._replace(tokens=-pointers.tokens)],
        [maps, pointers._replace(time=pointers.time + 0.5)],
        [maps._replace(bias=weights), pointers],
        [maps._replace(scale=1 + weights), pointers],
    ]
    for changed in changes:
        assert (nano.read_memory(features, changed) - out).abs().max() > 1e-3


def test_the_order_of_memories_does_not_matter(nano: Sam2Network) -> None:
    """Memories carry their time; the order in which they stand is no information."""
    features, memory = features_of(nano, 96, 64), random_memory(nano, 24, 4, 5, seed=3)
    turned = [g._replace(tokens=g.tokens.flip(1), time=g.time.flip(1)) for g in reversed(memory)]
    assert_same(nano.read_memory(features, turned), nano.read_memory(features, memory))


def test_weights_that_change_nothing(nano: Sam2Network) -> None:
    """A bias of 0 and a scale of 1 are none; a bias of log 2 counts a memory twice."""
    features, (maps, pointers) = features_of(nano, 96, 64), random_memory(nano, 24, 2, 3, seed=5)
    out = nano.read_memory(features, [maps, pointers])
    zeros = torch.zeros(1, 2, device=nano.device)
    assert_same(nano.read_memory(features, [maps._replace(bias=zeros, scale=1 + zeros), pointers]), out)
    doubled = torch.tensor([[math.log(2), 0.0]], device=nano.device)
    twice = TokenGroup(maps.tokens[:, [0, 0, 1]], maps.time[:, [0, 0, 1]], True)
    assert_same(
        nano.read_memory(features, [maps._replace(bias=doubled), pointers]),
        nano.read_memory(features, [twice, pointers]),
    )


def decode(network: Sam2Network, features: ImageFeatures, rows: slice, multimask: bool = False) -> Prediction:
    labels = torch.tensor([[1, -1, -1], [1, 0, -1], [2, 3, -1], [0, 0, 1], [-1, -1, -1]])
    prompts = Prompts(96 * noise(50, 5, 3, 2).sigmoid(), labels, noise(51, 5, 1, 24, 24, scale=4))
    memory = together([random_memory(network, 36, 1 + i, i, seed=i) for i in range(5)])
    memory = [TokenGroup(g.tokens[rows], g.time[rows], g.has_grid, g.bias[rows]) for g in memory]
    conditioned = network.read_memory(features, memory)
    prompts = Prompts(*(part[rows].to(network.device) for part in prompts))
    return network.decode_prompts(features, conditioned, prompts, Wanted(multimask))


@pytest.mark.parametrize("multimask", [True, False])
def test_a_batch_of_objects_equals_one_by_one(nano: Sam2Network, multimask: bool) -> None:
    features = features_of(nano, 96, 96)
    many = decode(nano, features, slice(None), multimask)
    alone = [decode(nano, features, slice(i, i + 1), multimask) for i in range(5)]
    for name, value in many._asdict().items():
        assert_same(value, torch.cat([getattr(answer, name) for answer in alone]))
    written = nano.write_memory(features, many.pick().mask, many.object_score)
    apart = [nano.write_memory(features, answer.pick().mask, answer.object_score) for answer in alone]
    assert_same(written, torch.cat(apart))


def test_one_image_equals_the_image_repeated(nano: Sam2Network) -> None:
    features = features_of(nano, 96, 96)
    repeated = ImageFeatures(*(level.repeat(5, 1, 1, 1) for level in features))
    once, often = decode(nano, features, slice(None)), decode(nano, repeated, slice(None))
    for name, value in once._asdict().items():
        assert_same(value, getattr(often, name))
    masks, scores = once.pick().mask, once.object_score
    assert_same(nano.write_memory(features, masks, scores), nano.write_memory(repeated, masks, scores))
    drawn = (noise(60, 5, 1, 96, 96) > 0).to(nano.device)
    for single, many in zip(nano.point_to_mask(features, drawn), nano.point_to_mask(repeated, drawn), strict=True):
        assert_same(single, many)


def test_a_batch_of_images_equals_one_by_one(nano: Sam2Network) -> None:
    images = pictures(5, 3, 96, 96).to(nano.device)
    many = nano.encode_image(images)
    for i in range(3):
        for level, alone in zip(many.select(i), nano.encode_image(images[i : i + 1]), strict=True):
            assert_same(level, alone)


# -- decisions ---------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=1, max_size=4))
def test_absent_objects_have_no_mask(scores: list[float]) -> None:
    count = len(scores)
    score = torch.tensor(scores)[:, None]
    prediction = Prediction(torch.ones(count, 3, 4, 4), torch.ones(count, 3), torch.ones(count, 3, 8), score)
    gated = gate_by_score(prediction)
    for i in range(count):
        value = 1.0 if score[i] > 0 else ABSENT_LOGIT
        assert (gated.masks[i] == value).all() and (gated.pick().mask[i] == value).all()


def test_a_candidate_comes_with_its_own_pointer() -> None:
    """By default the one with the highest predicted IoU, else the one that was chosen."""
    number = torch.arange(6.0).view(2, 3)
    iou = torch.tensor([[0.1, 0.9, 0.3], [0.8, 0.2, 0.4]])
    prediction = Prediction(number[..., None, None].expand(2, 3, 4, 4), iou, number[..., None], torch.ones(2, 1))
    for choice, wanted in ((None, [1, 3]), (torch.tensor([[2], [1]]), [2, 4])):
        answer = prediction.pick(choice)
        assert answer.pointer[:, 0].tolist() == wanted and answer.mask[:, 0, 0, 0].tolist() == wanted
        assert answer.iou[:, 0].tolist() == pytest.approx([float(iou.flatten()[w]) for w in wanted])


def test_binarize_per_object(nano: Sam2Network) -> None:
    """One flag per object is the same as one call per object."""
    features, masks = features_of(nano, 96, 96), noise(70, 2, 1, 24, 24, scale=3).to(nano.device)
    score, flags = torch.ones(2, 1, device=nano.device), torch.tensor([True, False], device=nano.device)
    mixed = nano.write_memory(features, masks, score, flags[:, None, None, None])
    assert_same(mixed[:1], nano.write_memory(features, masks[:1], score[:1], binarize=True))
    assert_same(mixed[1:], nano.write_memory(features, masks[1:], score[1:], binarize=False))
    assert (mixed[:1] - nano.write_memory(features, masks[:1], score[:1], binarize=False)).abs().max() > 1e-3
