"""Where a tracked frame's time goes, part by part, beside what the machine could do (a roofline).

    python -m benchmarks.profile --model sam2.1_hiera_tiny --dtype float32

Every part runs by itself with a full memory bank of one object, after a run that warms it up. Columns:

    ms          median of the runs
    GFLOP       operations, counted by torch
    GFLOP/s     and their share of the best product of two square matrices in that precision
    MB          what must cross memory at least: parameters, inputs and outputs
    bound ms    the roofline: the longer of GFLOP over the best product and MB over the best copy
    operators   the three operators of torch's profiler that took most of the part's time
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.common import count_gflop, machine, product_peak, table
from benchmarks.programs import DTYPES, load_own
from sam2v.model.memory_attention import MemoryTokens
from sam2v.model.network import MemoryRead, Sam2Network
from sam2v.nn.position import sine_grid
from sam2v.nn.rotary import axial_rotation
from sam2v.tracking.prompts import no_points


@dataclass
class Part:
    """A part of the network: what is run, on what, and whose parameters it reads."""

    name: str
    run: Callable[..., Any]
    inputs: tuple[Any, ...]
    modules: tuple[torch.nn.Module, ...]


def main() -> None:
    """Measure every part and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam2.1_hiera_tiny")
    parser.add_argument("--dtype", default="float32", choices=DTYPES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    peak, bandwidth = product_peak(getattr(torch, args.dtype)), copy_peak()
    network = load_own(args.model, args.dtype)
    network.requires_grad_(False)  # the counter hooks gradients, which no_grad has none of
    rows, total = [], [0.0, 0.0, 0.0]
    with torch.no_grad():
        for part in parts_of(network):
            ms, gflop, megabytes, operators = measure(part, args.runs)
            bound = max(gflop / peak, megabytes / 1000 / bandwidth) * 1000
            total = [a + b for a, b in zip(total, (ms, gflop, bound), strict=True)]
            speed = gflop / ms * 1000
            rows.append([
                part.name, f"{ms:.0f}", f"{gflop:.1f}", f"{speed:.0f} ({speed / peak:.0%})", f"{megabytes:.0f}",
                f"{bound:.0f}", operators,
            ])  # fmt: skip
    speed = total[1] / total[0] * 1000
    rows.append(
        ["all", f"{total[0]:.0f}", f"{total[1]:.0f}", f"{speed:.0f} ({speed / peak:.0%})", "", f"{total[2]:.0f}", ""]
    )
    print(table(["part", "ms", "GFLOP", "GFLOP/s", "MB", "bound ms", "operators"], rows))
    print(
        f"\n{args.model}, {args.dtype}, {args.threads} threads; {machine()}; "
        f"product {peak:.0f} GFLOP/s, copy {bandwidth:.0f} GB/s"
    )


def copy_peak(seconds: float = 1.0) -> float:
    """GB/s of copying 256 MB, read and written."""
    source = torch.ones(64 << 20)
    target, best, end = source.clone(), 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        target.copy_(source)
        best = max(best, 2 * source.nbytes / (time.perf_counter() - started) / 1e9)
    return best


def parts_of(network: Sam2Network) -> Iterator[Part]:
    """The parts of a frame in the order they run, each with what the one before it gave."""
    side, memory, dtype = network.config.image_size, network.config.memory, network.dtype
    encoder, decoder, reader = network.image_encoder, network.sam_mask_decoder, network.memory_attention
    trunk = encoder.trunk
    image = torch.randn(1, 3, side, side, dtype=dtype)

    yield Part("patches", trunk.embed, (image,), (trunk.patch_embed,))
    x, maps, first = trunk.embed(image), [], 0
    for stage, last in enumerate(trunk.stage_ends, 1):
        blocks = torch.nn.Sequential(*trunk.blocks[first : last + 1])
        yield Part(f"trunk stage {stage}", blocks, (x,), (blocks,))
        x, first = blocks(x), last + 1
        maps.append(x.permute(0, 3, 1, 2))
    finish = (decoder.conv_s0, decoder.conv_s1)

    def neck(maps: list[Tensor]) -> Any:
        return encoder.neck.fine_levels(maps, *finish), encoder.neck.stride16(maps)

    yield Part("neck", neck, (maps,), (encoder.neck, *finish))
    features = network.encode_image(image)
    channels, h, w = features.stride16.shape[1:]
    read = MemoryRead(
        torch.randn(1, memory.num_maskmem, memory.mem_dim, h, w, dtype=dtype),
        torch.arange(memory.num_maskmem)[None].flip(1),
        torch.randn(1, memory.max_obj_ptrs, channels),
        torch.arange(memory.max_obj_ptrs)[None] / (memory.max_obj_ptrs - 1),
        padded=False,
    )
    tokens, places, pointers = network._memory_tokens(read)
    turn = axial_rotation(h, w, channels, tokens.device)
    start = features.stride16 + 0.1 * sine_grid(h, w, channels, tokens.device).to(dtype)
    start = start.flatten(2).transpose(1, 2).contiguous()
    layers, keys = list(reader.layers), tokens + places

    def around(x: Tensor, *_: Tensor) -> list[Tensor]:
        return [layer._look_around(x, turn) for layer in layers]

    def back(x: Tensor, keys: Tensor, values: Tensor) -> list[Tensor]:
        memory = MemoryTokens(keys, values, turn, pointers, None)
        return [layer._look_back(x, turn, memory) for layer in layers]

    def think(x: Tensor) -> list[Tensor]:
        return [layer._think(x) for layer in layers]

    yield Part("memory: self-attention", around, (start,), tuple(layer.self_attn for layer in layers))
    yield Part(
        "memory: cross-attention", back, (start, keys, tokens), tuple(layer.cross_attn_image for layer in layers)
    )
    yield Part("memory: MLP", think, (start,), tuple(m for layer in layers for m in (layer.linear1, layer.linear2)))
    conditioned = network.read_memory(features, read)
    coords, labels = no_points(1, tokens.device)

    def decode(conditioned: Tensor) -> Any:
        return network.decode_prompts(features, conditioned, coords, labels, multimask=True)

    yield Part("mask decoder", decode, (conditioned,), (network.sam_mask_decoder, network.sam_prompt_encoder))
    answer = decode(conditioned)

    def write(masks: Tensor) -> Tensor:
        return network.write_memory(features, masks, answer.object_score)

    yield Part("memory encoder", write, (answer.best,), (network.memory_encoder,))


def measure(part: Part, runs: int) -> tuple[float, float, float, str]:
    """Milliseconds, GFLOP, MB and the slowest operators of a part."""
    gflop, out = count_gflop(lambda: part.run(*part.inputs))
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        part.run(*part.inputs)
        times.append(1000 * (time.perf_counter() - started))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        part.run(*part.inputs)
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    whole = sum(event.self_cpu_time_total for event in events)
    shown = [f"{e.key.removeprefix('aten::')} {e.self_cpu_time_total / whole:.0%}" for e in events[:3]]
    parameters = sum(p.nbytes for module in part.modules for p in module.parameters())
    moved = parameters + size_of(part.inputs) + size_of(out)
    return statistics.median(times), gflop, moved / 1e6, ", ".join(shown)


def size_of(value: Any) -> int:
    """Bytes of the tensors in nested lists and tuples."""
    if isinstance(value, Tensor):
        return value.nbytes
    return sum(size_of(item) for item in value) if isinstance(value, list | tuple) else 0


if __name__ == "__main__":
    main()
