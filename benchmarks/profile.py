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
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.common import count_gflop, machine, product_peak, table
from benchmarks.programs import DTYPES, load_own
from sam2v.backends.base import Backend
from sam2v.model.network import Sam2Network
from sam2v.model.values import TokenGroup
from sam2v.tracking.step import track_objects


@dataclass
class Part:
    """A part of the network: its methods (of which modules, and whose parameters they read), and the calls of one
    frame."""

    name: str
    methods: list[tuple[nn.Module, str, nn.Module]]
    calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def run(self) -> list[Any]:
        """Make the calls again."""
        return [call(*args, **named) for call, args, named in self.calls]


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
    backend = Backend(load_own(args.model, args.dtype))
    backend.calls.requires_grad_(False)  # the counter hooks gradients, which no_grad has none of
    parts = list(parts_of(backend.calls))
    record_frame(backend, parts)
    rows, total = [], [0.0, 0.0, 0.0]
    with torch.no_grad():
        for part in parts:
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
    """The parts of a frame in the order in which they run."""
    trunk, neck, layers = network.image_encoder.trunk, network.image_encoder.neck, list(network.memory_attention.layers)
    yield Part("patches", [(trunk, "embed", trunk.patch_embed)])
    first = 0
    for stage, last in enumerate(trunk.stage_ends, 1):
        yield Part(f"trunk stage {stage}", [(b, "forward", b) for b in trunk.blocks[first : last + 1]])
        first = last + 1
    yield Part("neck", [(neck, "forward", neck)])
    looks: Any = [(layer, layer.self_attn, layer.cross_attn_image) for layer in layers]
    yield Part("memory: self-attention", [(layer, "_self_attention", look) for layer, look, _ in looks])
    yield Part("memory: cross-attention", [(layer, "_cross_attention", look) for layer, _, look in looks])
    mlps = [(layer, nn.ModuleList([layer.linear1, layer.linear2])) for layer, *_ in looks]
    yield Part("memory: MLP", [(layer, "_mlp", linears) for layer, linears in mlps])
    yield Part("mask decoder", [(network, "decode_prompts", network.sam_mask_decoder)])
    yield Part("memory encoder", [(network, "write_memory", network.memory_encoder)])


def record_frame(backend: Backend, parts: list[Part]) -> None:
    """Track one object to one frame with a full memory bank, and keep what the parts were called with."""
    network, memory = backend.calls, backend.config.memory
    for part in parts:
        for owner, method, _ in part.methods:
            record_calls(part, owner, method)
    h, w = backend.config.input_size
    features = backend.encode_image(torch.randint(0, 256, (1, h, w, 3), dtype=torch.uint8))
    score = torch.ones(1, 1)
    tokens = backend.write_memory(features, torch.randn(1, 1, h // 4, w // 4), score)
    for part in parts:
        if part.name == "memory encoder":
            part.calls.clear()
    pointers = torch.randn(1, memory.max_obj_ptrs, network.no_obj_ptr.shape[1])
    memories = [
        TokenGroup(
            tokens[:, None].expand(-1, memory.num_maskmem, -1, -1), torch.arange(memory.num_maskmem)[None], True
        ),
        TokenGroup(
            pointers.unflatten(2, (-1, memory.mem_dim)).to(backend.dtype),
            torch.arange(memory.max_obj_ptrs)[None] / (memory.max_obj_ptrs - 1),
            False,
        ),
    ]
    answer = track_objects(backend, features, backend.read_memory(features, memories)).pick()
    backend.write_memory(features, answer.mask, answer.object_score)
    for part in parts:
        for owner, method, _ in part.methods:
            delattr(owner, method)


def record_calls(part: Part, owner: nn.Module, method: str) -> None:
    """Keep the calls of a module's method until the method is deleted from the module."""
    real = getattr(owner, method)

    def recorded(*args: Any, **named: Any) -> Any:
        part.calls.append((real, args, named))
        return real(*args, **named)

    object.__setattr__(owner, method, recorded)


def measure(part: Part, runs: int) -> tuple[float, float, float, str]:
    """Milliseconds, GFLOP, MB and the slowest operators of a part."""
    gflop, out = count_gflop(part.run)
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        part.run()
        times.append(1000 * (time.perf_counter() - started))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        part.run()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    whole = sum(event.self_cpu_time_total for event in events)
    shown = [f"{e.key.removeprefix('aten::')} {e.self_cpu_time_total / whole:.0%}" for e in events[:3]]
    parameters = sum(p.nbytes for *_, module in part.methods for p in module.parameters())
    moved = parameters + sum(size_of(args) for _, args, _ in part.calls) + size_of(out)
    return statistics.median(times), gflop, moved / 1e6, ", ".join(shown)


def size_of(value: Any) -> int:
    """Bytes of the tensors in nested lists and tuples."""
    if isinstance(value, Tensor):
        return value.nbytes
    return sum(size_of(item) for item in value) if isinstance(value, list | tuple) else 0


if __name__ == "__main__":
    main()
