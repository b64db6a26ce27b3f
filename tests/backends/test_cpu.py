"""The CPU's own ways of computing are equal to the plain ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from golden.noise import noise
from hypothesis import given, settings
from hypothesis import strategies as st
from models import memory_groups, nano_by_rule, pictures
from torch.nn import functional as F

from sam2v.backends.base import Backend
from sam2v.backends.cpu import attention, memory_attention, pieces
from sam2v.backends.cpu import products as kernels
from sam2v.backends.cpu import running as running_module
from sam2v.backends.cpu.attention import CpuAttention, attend_by_products, attend_on_cpu, prefers_blocks
from sam2v.backends.cpu.axes import by_axes, turn, turn_of
from sam2v.backends.cpu.memory_attention import CpuMemoryAttentionLayer
from sam2v.backends.cpu.products import Activation, linear, products
from sam2v.backends.cpu.running import RunningAttention
from sam2v.backends.joined import in_one
from sam2v.model.values import TokenGroup
from sam2v.nn.attention import Attention, attend
from sam2v.nn.rotary import axial_rotation, rotate


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


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
    found = attend_on_cpu(q[None], k[None], v[None])
    torch.testing.assert_close(found[:, :, 0], F.scaled_dot_product_attention(q, k, v), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_weight_is_subnormal(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of keys that hardly count are raised to what products take at full speed, and still do not count."""
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(running_module, "linear", lambda x, w: (seen.append(x.clone()), kernels.linear(x, w))[1])
    q, k = torch.full((300, 4), 0.5, dtype=dtype), torch.linspace(-260, 50, 700, dtype=dtype)[:, None].expand(-1, 4)
    v = torch.rand(700, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    running = RunningAttention(q, 8)
    running.add(k, v)
    weights = torch.cat(seen[1::2], dim=1)
    assert float(weights[weights > 0].min()) >= 2.0**-101
    mean = running.mean()
    expected = F.scaled_dot_product_attention(q[None].float(), k[None].float(), v[None].float())[0]
    assert mean is not None
    torch.testing.assert_close(mean, expected, atol=1e-5 if dtype == torch.float32 else 0.02, rtol=0.01)


def test_infinite_input_stays_infinite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_LARGE", 1)
    found = attend_on_cpu(torch.full((1, 1, 4, 8), torch.nan), torch.ones(1, 1, 9, 8), torch.ones(1, 1, 9, 2))
    assert found.isnan().all()


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
        found = products(x.to(dtype), y.to(dtype)).float()
        torch.testing.assert_close(found, expected, atol=1e-5 if dtype == torch.float32 else 0.2, rtol=0.01)


def test_two_layers_in_one() -> None:
    torch.manual_seed(4)
    x, first, second = torch.randn(6, 8), torch.nn.Linear(8, 12), torch.nn.Linear(12, 5)
    torch.testing.assert_close(linear(x, *in_one(first, second)), second(first(x)), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("batch", [(1, 1), (1, 3), (3, 3)])
def test_blocks_equal_the_fused_kernel(heads: int, batch: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((batch[0], heads, 600, 64), (batch[1], heads, 1100, 64), (batch[1], heads, 1100, 32))
    q, k, v = (torch.randn(shape, generator=generator) for shape in shapes)
    bias = torch.zeros(batch[1], 1, 1, 1100)
    bias[..., 30:700] = float("-inf")
    monkeypatch.setattr(attention, "_LARGE", 1)
    found = attend_on_cpu(q, k, v, bias)
    assert found.shape == (max(batch), 600, heads, 32)
    torch.testing.assert_close(found, attend(q, k, v, bias), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("hidden", [False, True])
def test_plain_products_in_lower_precision_equal_the_fused_kernel(hidden: bool) -> None:
    """Also their gradients: training goes this way."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, 4, length, 32, generator=generator) for length in (60, 90, 90)]
    bias = torch.zeros(2, 1, 1, 90)
    bias[..., 20:50] = float("-inf")
    found = []
    for kernel in (attend_by_products, attend):
        q, k, v = (t.to(torch.bfloat16).requires_grad_() for t in inputs)
        with torch.enable_grad():
            out = kernel(q, k, v, bias.to(q.dtype) if hidden else None)
            out.float().square().sum().backward()
        found.append([t.float() for t in (out, q.grad, k.grad, v.grad)])
    for plain, fused in zip(*found, strict=True):
        assert not torch.equal(plain, fused)  # two ways were taken
        torch.testing.assert_close(plain, fused, atol=0.05 * float(fused.abs().max()), rtol=0)


def test_small_problems_and_float16_are_left_to_torch() -> None:
    x = torch.zeros(1, 1 << 10, 64)
    assert prefers_blocks(x, 1 << 20) and prefers_blocks(x.bfloat16(), 1 << 20)
    assert not prefers_blocks(x, 8) and not prefers_blocks(x.half(), 1 << 20)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, found = Backend(nano_by_rule()), []
    for size in (1 << 40, 1 << 12):
        monkeypatch.setattr(pieces, "PIECE_BYTES", size)
        found.append(backend.encode_image(pictures(3, 2, 256, 256)))
    for plain, cut in zip(*found, strict=True):
        torch.testing.assert_close(cut, plain, atol=1e-5, rtol=1e-4)


@settings(deadline=None, max_examples=20)
@given(short=st.integers(1, 7), long=st.integers(17, 60), batch=st.integers(1, 3), few_keys=st.booleans())
def test_short_sides_take_on_the_projections_of_long_ones(short: int, long: int, batch: int, few_keys: bool) -> None:
    torch.manual_seed(short + 8 * long)
    plain = Attention(12, heads=2, inner=16, memory_channels=12)
    for layer in (plain.q_proj, plain.k_proj, plain.v_proj, plain.out_proj):
        torch.nn.init.normal_(layer.bias)  # none of them may be lost
    ours = CpuAttention(12, heads=2, inner=16, memory_channels=12)
    ours.load_state_dict(plain.state_dict())
    ours.attend = None  # type: ignore[assignment, method-assign]  # the plain way would fail
    lengths = (long, short) if few_keys else (short, long)
    q, k, v = (torch.randn(batch, length, 12) for length in (*lengths, lengths[1]))
    torch.testing.assert_close(ours(q, k, v), plain(q, k, v), atol=1e-5, rtol=1e-4)


def test_turning_by_axes_is_turning() -> None:
    """The product of a turned query and a turned key is the same in both orders of channels."""
    torch.manual_seed(1)
    rotation = axial_rotation(5, 6, 32, torch.device("cpu"))
    q, k = torch.randn(30, 32), torch.randn(30, 32)
    plain = rotate(q, rotation) @ rotate(k, rotation).T
    ours = [turn(by_axes(x.T).T, turn_of(rotation)) for x in (q, k)]
    torch.testing.assert_close(ours[0] @ ours[1].T, plain, atol=1e-4, rtol=1e-4)


def test_channels_by_axes() -> None:
    """Neighbours are pairs and halves are axes; then axes are halves, and members quarters."""
    x1, x2, y1, y2 = 1, 2, 11, 12
    neighbours = torch.tensor([x1, x2, x1, x2, y1, y2, y1, y2])
    assert by_axes(neighbours).tolist() == [x1, x1, x2, x2, y1, y1, y2, y2]


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("pointers", [0, 4])
@pytest.mark.parametrize("scaled", [False, True])
def test_memories_read_by_rows(monkeypatch: pytest.MonkeyPatch, pool: int, pointers: int, scaled: bool) -> None:
    """Rows of all memories, whole memories, small problems and the plain network agree: with hidden tokens, with
    weights and without pointers too. Scaled keys do not go by rows."""
    generator = torch.Generator().manual_seed(5)
    network = nano_by_rule(overrides=("model.image_size=160", f"model.memory.pool={pool}"))
    backend = Backend(network)
    features = backend.encode_image(pictures(5, 1, 96, 160))  # rows are not columns
    distances = torch.rand(2, pointers, generator=generator)
    distances[1, pointers // 2 :] = torch.nan
    memory = memory_groups(
        torch.randn(2, 3, 60 // pool**2, 32, generator=generator),
        torch.tensor([[6, 1, 0], [6, 0, -1]]),
        torch.randn(2, pointers, 128, generator=generator),
        distances,
    )
    if scaled:
        memory = [g._replace(scale=1 + torch.rand(g.time.shape, generator=generator)) for g in memory]
        weights = torch.rand(memory[0].time.shape, generator=generator)
        memory[0] = memory[0]._replace(bias=memory[0].bias + weights)
    calls = []
    by_rows = CpuMemoryAttentionLayer._add_rows
    monkeypatch.setattr(CpuMemoryAttentionLayer, "_add_rows", lambda *a: (calls.append(1), by_rows(*a)))
    expected = network.read_memory(features, memory)
    for large, long in ((1, 1), (1, 1 << 40), (1 << 40, 1)):
        monkeypatch.setattr(attention, "_LARGE", large)
        monkeypatch.setattr(memory_attention, "_LONG_ROW", long)
        found = backend.read_memory(features, memory)
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert len(calls) == (0 if scaled else 2 * 2), "two layers of two objects, in the first case alone"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_of_a_batch_do_not_depend_on_it(dtype: torch.dtype) -> None:
    """A memory that is encoded again alone is bit for bit what it was in a batch."""
    backend = Backend(nano_by_rule(overrides=("model.image_size=160",)).set_precision(dtype))
    features = backend.encode_image(pictures(6, 1, 160, 160))
    masks, scores = noise(1, 5, 1, 40, 40, scale=5), torch.ones(5, 1)
    many = backend.write_memory(features, masks, scores)
    for row in range(5):
        alone = backend.write_memory(features, masks[row : row + 1], scores[row : row + 1])
        assert torch.equal(alone[0], many[row])


# -- memories kept at half size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pool", "middles"), [(1, [0, 1, 2, 3, 4]), (2, [0.5, 2.5, 4]), (4, [1.5, 4])])
def test_pooled_cells_turn_by_their_middles(pool: int, middles: list[float]) -> None:
    """The slowest and the fastest band turn by the place of a cell; in between lie powers."""
    rotation = axial_rotation(5, 5, 32, torch.device("cpu"), pool)
    angles = torch.atan2(rotation.sin, rotation.cos).view(len(middles), len(middles), 2, 8)
    torch.testing.assert_close(angles[0, :, 0, 1], torch.tensor(middles) * 10000 ** (-1 / 8))
    torch.testing.assert_close(angles[:, 0, 1, 7], torch.tensor(middles) * 10000 ** (-7 / 8))


def test_pooled_memories_are_near_to_whole_ones() -> None:
    found = {}
    for pool in (1, 2):
        backend = Backend(nano_by_rule(overrides=("model.image_size=160", f"model.memory.pool={pool}")))
        features = backend.encode_image(pictures(4, 1, 160, 160))
        memory = backend.write_memory(features, noise(2, 2, 1, 40, 40, scale=5), torch.ones(2, 1))
        assert memory.shape == (2, 100 // pool**2, 32)
        group = TokenGroup(memory[:, None], torch.zeros(2, 1, dtype=torch.int64), True)
        found[pool] = backend.read_memory(features, [group])
    difference = (found[1] - found[2]).abs().max()
    assert 1e-4 < difference < (found[1] - features.stride16).abs().max()
