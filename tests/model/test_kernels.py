"""The CPU's own ways of computing: equal to the plain ones, and only taken where nothing is recorded."""

from __future__ import annotations

import unittest.mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import nano_by_rule
from torch.nn import functional as F

from sam2v.model import memory_attention
from sam2v.model.memory_attention import MemoryAttentionLayer
from sam2v.model.network import MemoryRead
from sam2v.nn import attention, pieces
from sam2v.nn import products as kernels
from sam2v.nn.attention import Attention, RunningAttention, attend
from sam2v.nn.products import Activation, Linear, in_one, linear, products
from sam2v.nn.rotary import axial_rotation, by_axes, project_by_axes, rotate


@settings(deadline=None, max_examples=25)
@given(queries=st.integers(1, 700), parts=st.lists(st.integers(1, 1300), min_size=1, max_size=3), loud=st.booleans())
def test_running_attention_is_attention(queries: int, parts: list[int], loud: bool) -> None:
    generator = torch.Generator().manual_seed(queries + sum(parts))
    q, k, v = (torch.randn(n, c, generator=generator) for n, c in ((queries, 16), (sum(parts), 16), (sum(parts), 8)))
    q = q * (40 if loud else 1)  # logits of several hundred, whose exponentials overflow as they are
    bias = torch.where(torch.rand(1, sum(parts), generator=generator) < 0.3, float("-inf"), 0.0)
    bias[0, -1] = 0
    running = RunningAttention(q, 8)
    for keys, values, hidden in zip(k.split(parts), v.split(parts), bias.split(parts, 1), strict=True):
        running.add(keys, values, hidden)
    expected = F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=bias[None])[0]
    mean = running.mean()
    if mean is None:
        assert loud, "small logits are never out of range"
    else:
        torch.testing.assert_close(mean, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("first", "later", "fits"), [(90, 120, True), (-400, -500, True), (0, 200, False)])
def test_large_logits(monkeypatch: pytest.MonkeyPatch, first: float, later: float, fits: bool) -> None:
    """The first keys' largest logit is what others are relative to; where that overflows, torch's kernel attends."""
    monkeypatch.setattr(attention, "_LARGE", 1)
    k = torch.full((1, 1100, 4), float(first))
    k[:, 512:] = later
    q, v = torch.full((1, 6, 4), 0.5), torch.rand(1, 1100, 3, generator=torch.Generator().manual_seed(1))
    running = RunningAttention(q[0], 3)
    running.add(k[0], v[0])
    assert (running.mean() is not None) == fits
    with torch.no_grad():
        found = attend(q, k, v)
    torch.testing.assert_close(found, F.scaled_dot_product_attention(q, k, v), atol=1e-5, rtol=1e-5)


def test_infinite_input_stays_infinite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_LARGE", 1)
    with torch.no_grad():
        assert attend(torch.full((1, 4, 8), torch.nan), torch.ones(1, 9, 8), torch.ones(1, 9, 2)).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", ["none", "relu", "gelu"])
@pytest.mark.parametrize("rows", [7, 700])
@pytest.mark.parametrize("layout", ["plain", "turned", "strided", "half"])
def test_products(dtype: torch.dtype, activation: Activation, rows: int, layout: str) -> None:
    """Few and many rows, with weights and inputs that are laid out in any way, as torch's plain operators do it."""
    torch.manual_seed(2)
    x, weight, bias = torch.randn(2, rows, 24), torch.randn(40, 24), torch.randn(40)
    if layout == "turned":
        weight = torch.randn(24, 40).T
    elif layout == "strided":
        x, weight = torch.randn(2, 24, rows).transpose(1, 2), torch.randn(40, 3, 24)[:, 1]
    elif layout == "half":
        x, weight = torch.randn(2, rows, 48)[..., :24], torch.randn(40, 48)[:, ::2]
    expected = F.linear(x.to(dtype), weight.to(dtype), bias.to(dtype))
    expected = {"none": expected, "relu": expected.relu(), "gelu": F.gelu(expected)}[activation]
    with torch.no_grad():
        found = linear(x.to(dtype), weight.to(dtype), bias.to(dtype), activation)
    exact = dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-5 if exact else 0.1, rtol=1e-5 if exact else 0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [(1, 1), (3, 3), (3, 1)])
@pytest.mark.parametrize("turned", [False, True])
def test_products_of_pairs(
    dtype: torch.dtype, batch: tuple[int, int], turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    x, y = torch.randn(batch[0], 5, 24), torch.randn(batch[1], 40, 24)
    if turned:
        x, y = torch.randn(batch[0], 24, 5).transpose(1, 2), torch.randn(batch[1], 24, 40).transpose(1, 2)
    expected = (x.to(dtype) @ y.to(dtype).transpose(1, 2)).float()
    for large in (1, 1 << 40):
        monkeypatch.setattr(kernels, "_LARGE", large)
        with torch.no_grad():
            found = products(x.to(dtype), y.to(dtype)).float()
        torch.testing.assert_close(found, expected, atol=1e-5 if dtype == torch.float32 else 0.2, rtol=0.01)


def test_two_layers_in_one() -> None:
    torch.manual_seed(4)
    x, first, second = torch.randn(6, 8), Linear(8, 12), Linear(12, 5)
    torch.testing.assert_close(linear(x, *in_one(first, second)), second(first(x)), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("size", [(16, 24), (15, 11)])
def test_positions_are_interpolated_and_tiled(size: tuple[int, int]) -> None:
    trunk = nano_by_rule().image_encoder.trunk
    grid, window = trunk.pos_embed, trunk.pos_embed_window
    expected = F.interpolate(grid, size, mode="bicubic") + window.repeat(1, 1, 9, 9)[..., : size[0], : size[1]]
    found = trunk.position_embedding(*size).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("batch", [(1, 1), (1, 3), (3, 3)])
def test_blocks_equal_the_fused_kernel(heads: int, batch: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(batch[0], 600, 64), torch.randn(batch[1], 1100, 64), torch.randn(batch[1], 1100, 32)
    bias = torch.zeros(batch[1], 1, 1, 1100)
    bias[..., 30:700] = float("-inf")
    found = {}
    for large in (1, 1 << 40):
        monkeypatch.setattr(attention, "_LARGE", large)
        with torch.no_grad():
            found[large] = attend(q, k, v, heads, bias)
    assert found[1].shape == (max(batch), 600, 32)
    torch.testing.assert_close(found[1], found[1 << 40], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("hidden", [False, True])
def test_plain_products_in_lower_precision_equal_the_fused_kernel(
    hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, 4, length, 32, generator=generator) for length in (60, 90, 90)]
    bias = torch.zeros(2, 1, 1, 90)
    bias[..., 20:50] = float("-inf")
    found = {}
    for kept in (0, 1 << 40):
        monkeypatch.setattr(attention, "_KEPT", kept)
        q, k, v = (t.to(torch.bfloat16).requires_grad_() for t in inputs)
        with torch.enable_grad():
            out = attention.attend_heads(q, k, v, bias.to(q.dtype) if hidden else None)
            out.float().square().sum().backward()
        found[kept] = [t.float() for t in (out, q.grad, k.grad, v.grad)]
    for plain, fused in zip(found[1 << 40], found[0], strict=True):
        assert not torch.equal(plain, fused)  # two ways were taken
        torch.testing.assert_close(plain, fused, atol=0.05 * float(fused.abs().max()), rtol=0)


def test_gradients_take_the_plain_way() -> None:
    x = torch.zeros(1, 1 << 10, 64)
    with torch.enable_grad():
        assert not attention.prefers_blocks(x, 1 << 20)
    with torch.no_grad():
        assert attention.prefers_blocks(x, 1 << 20)
        assert not attention.prefers_blocks(x, 8)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nano_by_rule()
    image = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(3))
    found = []
    for size in (1 << 40, 1 << 12):
        monkeypatch.setattr(pieces, "PIECE_BYTES", size)
        with torch.no_grad():
            found.append(network.encode_image(image))
    for plain, cut in zip(*found, strict=True):
        torch.testing.assert_close(cut, plain, atol=1e-5, rtol=1e-4)


def test_fine_levels_are_the_neck_then_the_decoder() -> None:
    network = nano_by_rule()
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        stride4, stride8, stride16 = network.image_encoder(image)
        decoder, features = network.sam_mask_decoder, network.encode_image(image)
        torch.testing.assert_close(features.stride4, decoder.conv_s0(stride4), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(features.stride8, decoder.conv_s1(stride8), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(features.stride16, stride16, atol=1e-5, rtol=1e-4)


@settings(deadline=None, max_examples=20)
@given(short=st.integers(1, 7), long=st.integers(17, 60), batch=st.integers(1, 3), few_keys=st.booleans())
def test_short_sides_take_on_the_projections_of_long_ones(short: int, long: int, batch: int, few_keys: bool) -> None:
    torch.manual_seed(short + 8 * long)
    attention = Attention(12, heads=2, inner=16, memory_channels=12)
    for layer in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
        torch.nn.init.normal_(layer.bias)  # none of them may be lost
    lengths = (long, short) if few_keys else (short, long)
    q, k, v = (torch.randn(batch, length, 12) for length in (*lengths, lengths[1]))
    expected = attention(q, k, v).detach()  # with gradients the plain way is taken
    with torch.no_grad(), unittest.mock.patch("sam2v.nn.attention.attend", side_effect=AssertionError("plain")):
        torch.testing.assert_close(attention(q, k, v), expected, atol=1e-5, rtol=1e-4)


def test_turned_queries_and_keys_agree_by_distance() -> None:
    """The product of a turned query and a turned key depends on where they are only through the distance."""
    torch.manual_seed(1)
    layer, rotation = torch.nn.Linear(8, 32), axial_rotation(5, 6, 32, torch.device("cpu"))
    q, k = torch.randn(8), torch.randn(8)
    with torch.no_grad():
        turned = [rotate(project_by_axes(layer, x).expand(30, -1), rotation).view(5, 6, 32) for x in (q, k)]
        products = torch.einsum("abc,xyc->abxy", *turned)
    torch.testing.assert_close(products[1:, 2:, 1:, 2:], products[:-1, :-2, :-1, :-2], atol=1e-4, rtol=1e-4)
    assert (products[0, 0, 0, 0] - products[0, 0, 2, 3]).abs() > 1e-3


def test_channels_by_axes() -> None:
    """Neighbours are pairs and halves are axes; then axes are halves, and members quarters."""
    x1, x2, y1, y2 = 1, 2, 11, 12
    neighbours = torch.tensor([x1, x2, x1, x2, y1, y2, y1, y2])
    assert by_axes(neighbours).tolist() == [x1, x1, x2, x2, y1, y1, y2, y2]


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("pointers", [0, 4])
def test_memories_read_by_rows(monkeypatch: pytest.MonkeyPatch, pool: int, pointers: int) -> None:
    """Rows of all memories, whole maps and torch's kernel agree, with hidden tokens and without pointers too."""
    generator = torch.Generator().manual_seed(5)
    network = nano_by_rule(overrides=("model.image_size=160", f"model.memory.pool={pool}"))
    features = network.encode_image(torch.randn(1, 3, 96, 160, generator=generator))  # rows are not columns
    time = torch.rand(2, pointers, generator=generator)
    time[1, pointers // 2 :] = torch.nan
    read = MemoryRead(
        torch.randn(2, 3, 32, 6, 10, generator=generator),
        torch.tensor([[6, 1, 0], [6, 0, -1]]),
        torch.randn(2, pointers, 128, generator=generator),
        time,
        padded=True,
    )
    calls = []
    by_rows = MemoryAttentionLayer._add_rows
    monkeypatch.setattr(MemoryAttentionLayer, "_add_rows", lambda *a: (calls.append(1), by_rows(*a)))
    found = []
    for large, long in ((1, 1), (1, 1 << 40), (1 << 40, 1)):
        monkeypatch.setattr(attention, "_LARGE", large)
        monkeypatch.setattr(memory_attention, "_LONG_ROW", long)
        with torch.no_grad():
            found.append(network.read_memory(features, read))
    assert len(calls) == 2 * 2, "two layers of two objects, in the first case alone"
    torch.testing.assert_close(found[0], found[1], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(found[0], found[2], atol=2e-5, rtol=1e-4)


# -- memories read at half size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pool", "middles"), [(1, [0, 1, 2, 3, 4]), (2, [0.5, 2.5, 4]), (4, [1.5, 4])])
def test_pooled_cells_turn_by_their_middles(pool: int, middles: list[float]) -> None:
    """The slowest and the fastest band turn by the place of a cell; in between lie powers."""
    rotation = axial_rotation(5, 5, 32, torch.device("cpu"), pool)
    angles = torch.atan2(rotation.sin, rotation.cos).view(len(middles), len(middles), 2, 8)
    torch.testing.assert_close(angles[0, :, 0, 1], torch.tensor(middles) * 10000 ** (-1 / 8))
    torch.testing.assert_close(angles[:, 0, 1, 7], torch.tensor(middles) * 10000 ** (-7 / 8))


def test_pooled_memories_on_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's kernel and torch's agree on them; they are near to whole memories and not the same."""
    generator = torch.Generator().manual_seed(4)
    network = nano_by_rule(overrides=("model.image_size=160", "model.memory.pool=2"))
    features = network.encode_image(torch.randn(1, 3, 160, 160, generator=generator))
    read = MemoryRead(
        torch.randn(2, 3, 32, 10, 10, generator=generator),
        torch.tensor([[6, 1, 0], [6, 0, -1]]),
        torch.randn(2, 4, 128, generator=generator),
        torch.tensor([[0.1, 0.2, 0.3, float("nan")], [0.1, 0.2, 0.3, 0.4]]),
        padded=True,
    )
    found = []
    for large in (1, 1 << 40):
        monkeypatch.setattr(attention, "_LARGE", large)
        with torch.no_grad():
            found.append(network.read_memory(features, read))
    torch.testing.assert_close(*found, atol=2e-5, rtol=1e-4)
    network.config.memory.pool = 1
    with torch.no_grad():
        whole = network.read_memory(features, read)
    assert 1e-4 < (whole - found[0]).abs().max() < (whole - features.stride16).abs().max()
