"""What must hold for any weights: sizes, batches and padding change nothing but the shapes."""

from __future__ import annotations

import pytest
import torch
from golden.noise import noise
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2v.model.network import ABSENT_LOGIT, ImageFeatures, MemoryRead, Prediction, Sam2Network, gate_by_score

TOLERANCE = 2e-5
SIZES = [(96, 96), (160, 160), (256, 256), (64, 224), (192, 96)]


def features_of(network: Sam2Network, height: int, width: int, count: int = 1, seed: int = 0) -> ImageFeatures:
    return network.encode_image(noise(seed, count, 3, height, width))


def random_read(network: Sam2Network, h: int, w: int, maps: int, pointers: int, seed: int) -> MemoryRead:
    """One object's memory, without padding."""
    memory = network.config.memory
    return MemoryRead(
        noise(seed, 1, maps, memory.mem_dim, h, w),
        torch.arange(maps)[None].flip(1) % memory.num_maskmem,
        noise(seed + 1, 1, pointers, network.config.hidden_dim),
        torch.arange(pointers)[None] / 15.0,
        padded=False,
    )


def stack_padded(reads: list[MemoryRead]) -> MemoryRead:
    """Several objects' memories as one ragged batch; the padding holds numbers that must not matter."""
    most_maps, most_pointers = max(r.maps.shape[1] for r in reads), max(r.pointers.shape[1] for r in reads)

    def grow(value: torch.Tensor, length: int, filler: float) -> torch.Tensor:
        extra = value.new_full((1, length - value.shape[1], *value.shape[2:]), filler)
        return torch.cat([value, extra], dim=1)

    return MemoryRead(
        torch.cat([grow(r.maps, most_maps, 7.0) for r in reads]),
        torch.cat([grow(r.map_time, most_maps, -1) for r in reads]),
        torch.cat([grow(r.pointers, most_pointers, -5.0) for r in reads]),
        torch.cat([grow(r.pointer_time, most_pointers, float("nan")) for r in reads]),
        padded=True,
    )


def assert_same(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=TOLERANCE)


# -- sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_any_multiple_of_32(nano: Sam2Network, height: int, width: int) -> None:
    """All four calls, square or not."""
    h, w = height // 16, width // 16
    features = features_of(nano, height, width)
    assert [level.shape[-2:] for level in features] == [(h, w), (2 * h, 2 * w), (4 * h, 4 * w)]
    conditioned = nano.read_memory(features, random_read(nano, h, w, 3, 4, seed=1))
    assert conditioned.shape == features.stride16.shape
    coords, labels = torch.tensor([[[width / 2, height / 3], [0.0, 0.0]]]), torch.tensor([[1, -1]])
    answer = nano.decode_prompts(features, conditioned, coords, labels, multimask=True)
    assert answer.masks.shape == (1, 3, 4 * h, 4 * w) and answer.best.shape == (1, 1, 4 * h, 4 * w)
    memory = nano.write_memory(features, answer.best, answer.object_score)
    assert memory.shape == (1, nano.config.memory.mem_dim, h, w)
    again = nano.decode_prompts(features, conditioned, coords, labels, mask=answer.best)
    drawn = (answer.best > 0).float().repeat_interleave(4, 2).repeat_interleave(4, 3)
    pointer, score = nano.point_to_mask(features, drawn)
    assert pointer.shape == answer.pointer.shape and score.shape == (1, 1)
    for value in (*features, conditioned, *answer, memory, *again, pointer):
        assert torch.isfinite(value).all()


def test_rows_and_columns_are_not_confused(nano: Sam2Network) -> None:
    """A click's place decides the answer: on a wide image, left and right differ, and x is measured in the width."""
    features = features_of(nano, 96, 192)
    conditioned = nano.without_memory(features)
    labels = torch.tensor([[1, -1]]).expand(2, 2)
    coords = torch.tensor([[[180.0, 40.0], [0, 0]], [[40.0, 40.0], [0, 0]]])
    answer = nano.decode_prompts(features, conditioned, coords, labels, multimask=True)
    assert (answer.masks[0] - answer.masks[1]).abs().max() > 1e-3
    position = nano.sam_prompt_encoder.dense_position(6, 12)
    token = nano.sam_prompt_encoder.pe_layer(torch.tensor([[(11 + 0.5) / 12, (2 + 0.5) / 6]]))
    assert_same(position[0, :, 2, 11], token[0])


# -- batches -----------------------------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(st.data())
def test_ragged_memories_equal_one_by_one(nano: Sam2Network, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.tuples(st.integers(1, 7), st.integers(0, 16)), min_size=1, max_size=4))
    features = features_of(nano, 96, 64)
    reads = [random_read(nano, 6, 4, maps, pointers, seed=10 * i) for i, (maps, pointers) in enumerate(lengths)]
    with torch.no_grad():
        alone = torch.cat([nano.read_memory(features, read) for read in reads])
        assert_same(nano.read_memory(features, stack_padded(reads)), alone)


def test_memory_is_read_at_all(nano: Sam2Network) -> None:
    """The comparison above means something: other memories, times and pointers give other features."""
    features = features_of(nano, 96, 64)
    read = random_read(nano, 6, 4, 3, 4, seed=0)
    out = nano.read_memory(features, read)
    changes = [
        read._replace(maps=read.maps.flip(1)),
        read._replace(map_time=read.map_time + 2),
        read._replace(pointers=-read.pointers),
        read._replace(pointer_time=read.pointer_time + 0.5),
    ]
    for changed in changes:
        assert (nano.read_memory(features, changed) - out).abs().max() > 1e-3


def test_the_order_of_memories_does_not_matter(nano: Sam2Network) -> None:
    """Memories carry their time; the order in which they stand is no information."""
    features, read = features_of(nano, 96, 64), random_read(nano, 6, 4, 4, 5, seed=3)
    turned = MemoryRead(*(part.flip(1) for part in read[:4]), padded=False)
    assert_same(nano.read_memory(features, turned), nano.read_memory(features, read))


def decode(network: Sam2Network, features: ImageFeatures, rows: slice, **options: object) -> Prediction:
    coords = 96 * noise(50, 5, 3, 2).sigmoid()
    labels = torch.tensor([[1, -1, -1], [1, 0, -1], [2, 3, -1], [0, 0, 1], [-1, -1, -1]])
    mask = noise(51, 5, 1, 24, 24, scale=4)
    read = stack_padded([random_read(network, 6, 6, 1 + i, i, seed=i) for i in range(5)])
    read = MemoryRead(*(part[rows] for part in read[:4]), padded=True)
    conditioned = network.read_memory(features, read)
    return network.decode_prompts(features, conditioned, coords[rows], labels[rows], mask[rows], **options)


@pytest.mark.parametrize("multimask", [True, False])
def test_a_batch_of_objects_equals_one_by_one(nano: Sam2Network, multimask: bool) -> None:
    features = features_of(nano, 96, 96)
    together = decode(nano, features, slice(None), multimask=multimask)
    alone = [decode(nano, features, slice(i, i + 1), multimask=multimask) for i in range(5)]
    for name, value in together._asdict().items():
        assert_same(value, torch.cat([getattr(answer, name) for answer in alone]))
    written = nano.write_memory(features, together.best, together.object_score)
    apart = [nano.write_memory(features, answer.best, answer.object_score) for answer in alone]
    assert_same(written, torch.cat(apart))


def test_one_image_equals_the_image_repeated(nano: Sam2Network) -> None:
    features = features_of(nano, 96, 96)
    repeated = ImageFeatures(*(level.repeat(5, 1, 1, 1) for level in features))
    once, often = decode(nano, features, slice(None)), decode(nano, repeated, slice(None))
    for name, value in once._asdict().items():
        assert_same(value, getattr(often, name))
    masks, scores = once.best, once.object_score
    assert_same(nano.write_memory(features, masks, scores), nano.write_memory(repeated, masks, scores))
    drawn = (noise(60, 5, 1, 96, 96) > 0).float()
    for single, many in zip(nano.point_to_mask(features, drawn), nano.point_to_mask(repeated, drawn)):
        assert_same(single, many)


def test_a_batch_of_images_equals_one_by_one(nano: Sam2Network) -> None:
    images = noise(5, 3, 3, 96, 96)
    together = nano.encode_image(images)
    for i in range(3):
        for level, alone in zip(together.select(i), nano.encode_image(images[i : i + 1])):
            assert_same(level, alone)


# -- decisions ---------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=1, max_size=4))
def test_absent_objects_have_no_mask(scores: list[float]) -> None:
    count = len(scores)
    score = torch.tensor(scores)[:, None]
    prediction = Prediction(
        torch.ones(count, 3, 4, 4), torch.ones(count, 3), score, torch.ones(count, 1, 4, 4), score, score
    )
    gated = gate_by_score(prediction)
    for i in range(count):
        value = 1.0 if score[i] > 0 else ABSENT_LOGIT
        assert (gated.masks[i] == value).all() and (gated.best[i] == value).all()


def test_binarize_per_object(nano: Sam2Network) -> None:
    """One flag per object is the same as one call per object."""
    features, masks, score = features_of(nano, 96, 96), noise(70, 2, 1, 24, 24, scale=3), torch.ones(2, 1)
    mixed = nano.write_memory(features, masks, score, torch.tensor([True, False])[:, None, None, None])
    assert_same(mixed[:1], nano.write_memory(features, masks[:1], score[:1], binarize=True))
    assert_same(mixed[1:], nano.write_memory(features, masks[1:], score[1:], binarize=False))
    assert (mixed[:1] - nano.write_memory(features, masks[:1], score[:1], binarize=False)).abs().max() > 1e-3
