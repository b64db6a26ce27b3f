"""Whether exported calls answer what the network answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.export.calls import ROWS, CallSpec, DecodePrompts, EncodeImage, Port, WithoutMemory, WriteMemory
from sam2v.model.network import Sam2Network

#: Runs a call on its inputs, in order; gives its outputs, in order.
Runner = Callable[[CallSpec, Sequence[Tensor]], Sequence[Tensor]]

#: Rows, memories, object pointers and points that are tried. The first of a video has no pointers.
_TRIES = ((1, 1, 0, 2), (2, 3, 5, 1))


class Difference(NamedTuple):
    """How far an exported call is from the network.

    Attributes:
        call: its name.
        output: the output's name.
        share: the largest difference of all tries, as a share of the output's largest value (of 1, if that is larger);
            NaN where an output is not finite.
    """

    call: str
    output: str
    share: float


@torch.no_grad()
def compare(specs: Sequence[CallSpec], plain: Sam2Network, run: Runner) -> list[Difference]:
    """Run every call on what the network answers to the calls before it, and compare.

    Args:
        specs: the calls.
        plain: a float32 stand-in by `sam2v.export.modules.PLAIN_KINDS`.
        run: runs an exported call.
    """
    shares: dict[tuple[str, str], list[Tensor]] = {}
    for seed, sizes in enumerate(_TRIES):
        inputs = _inputs(plain, seed, *sizes)
        for spec in specs:
            expected = spec.module(plain)(*inputs[spec.name])
            expected = (expected,) if isinstance(expected, Tensor) else expected
            given = [_for_port(x, port, sizes[0]) for port, x in zip(spec.inputs, inputs[spec.name], strict=True)]
            for port, a, b in zip(spec.outputs, expected, run(spec, given), strict=True):
                share = (a - b.float()).abs().max() / a.abs().max().clamp(min=1)
                shares.setdefault((spec.name, port.name), []).append(share)
    return [Difference(*names, float(torch.stack(tries).max())) for names, tries in shares.items()]


def _inputs(
    plain: Sam2Network, seed: int, rows: int, memories: int, pointers: int, points: int
) -> dict[str, tuple[Tensor, ...]]:
    """Inputs of every call: a coloured noise of large and small spots, prompts on it, and what the network makes of
    them."""
    random = torch.Generator().manual_seed(seed)
    height, width = plain.config.input_size
    h, w = height // 16, width // 16

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    def spots(count: int, channels: int, side: int) -> Tensor:
        maps = [F.interpolate(noise(count, channels, n, n), (side * h, side * w), mode="bicubic") for n in (3, 9, 30)]
        return sum(maps[1:], maps[0])

    images = (spots(1, 3, 16).permute(0, 2, 3, 1) * 40 + 128).clamp(0, 255).round()
    stride16, stride8, stride4 = EncodeImage(plain)(images)
    conditioned = WithoutMemory(plain)(stride16)
    coords = torch.rand(rows, points, 2, generator=random) * torch.tensor([width, height])
    labels = torch.randint(-1, 4, (rows, points), generator=random, dtype=torch.int32)
    has_mask = torch.arange(rows) % 2 == 1
    decode = (stride8, stride4, conditioned, coords, labels, 10 * spots(rows, 1, 4), has_mask)
    masks, _, tokens, score = DecodePrompts(plain)(*decode)
    write = (stride16, masks[:, :1], score, has_mask)
    memory = WriteMemory(plain)(*write)[:, None].expand(-1, memories, -1, -1)
    width_of = memory.shape[3]
    pointer = tokens[:, :1].expand(-1, pointers, -1).unflatten(2, (-1, width_of))
    read = (
        stride16,
        memory + 0.3 * noise(*memory.shape),
        torch.arange(memories).expand(rows, -1) % plain.config.memory.num_maskmem,
        _with_hidden(torch.zeros(rows, memories)),
        torch.ones(rows, memories),
        pointer + 0.3 * noise(*pointer.shape),
        torch.rand(rows, pointers, generator=random),
        _with_hidden(torch.zeros(rows, pointers)),
        torch.ones(rows, pointers),
    )
    return {
        "encode_image": (images,),
        "without_memory": (stride16,),
        "read_memory": read,
        "decode_prompts": decode,
        "point_to_mask": (stride16, spots(rows, 1, 16) > 0),
        "write_memory": write,
    }


def _for_port(x: Tensor, port: Port, rows: int) -> Tensor:
    """An input in a port's precision, and for every row where the port asks for that."""
    x = x.to(port.dtype)
    return x.expand(rows, *x.shape[1:]) if port.shape[0] == ROWS else x


def _with_hidden(bias: Tensor) -> Tensor:
    """The same with the last slot of the last row hidden, where others are left."""
    if bias.shape[1] > 1:
        bias[-1, -1] = float("-inf")
    return bias
