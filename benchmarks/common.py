"""What the benchmarks share: the machine, drawn frames, video files of any length, tables."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sam2v.backends.cpu.products import linear
from sam2v.model.network import Sam2Network
from sam2v.weights.load import load_model


def machine(device: str = "cpu") -> str:
    """The processor, its cores and the versions that matter, on one line; with "cuda" the GPU first."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = torch.get_num_threads()
    text = f"{_processor()}, {cores} cores, {threads} threads, torch {torch.__version__}"
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}; {text}" if device == "cuda" else text


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        facts = dict(map(str.strip, line.split(":", 1)) for line in info.read_text().splitlines() if ":" in line)
        if "model name" in facts:
            # virtual machines hide the number of the product, but not which design it is
            return f"{facts['model name']} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"
    return platform.processor() or platform.machine()


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """--model, --checkpoint and --image-size."""
    parser.add_argument("--model", default="sam2v_nano")
    parser.add_argument("--checkpoint", default="auto", help="weights; 'random' for random ones")
    parser.add_argument("--image-size", type=int, help="default: the model's own")


def model_from(args: argparse.Namespace) -> Sam2Network:
    """The model that the arguments name, on the CPU."""
    overrides = [f"model.image_size={args.image_size}"] if args.image_size else []
    checkpoint = None if args.checkpoint == "random" else args.checkpoint
    return load_model(args.model, checkpoint, device="cpu", overrides=overrides)


def drawn_frames(count: int, height: int = 360, width: int = 640, discs: int = 2) -> np.ndarray:
    """Textured discs that swing over a textured ground, T x H x W x 3 uint8; the last frame leads on to the first."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ground = 110 + 40 * np.sin(x / 23 + 2 * np.sin(y / 31)) + 25 * np.cos(y / 17)
    ground = np.stack([ground, ground * 0.9, 200 - 0.6 * ground], axis=-1)
    looks = rng.integers(40, 230, (discs, 3))
    radius = height / (4 + 0.9 * discs)
    frames = np.empty((count, height, width, 3), np.uint8)
    for t in range(count):
        picture = ground.copy()
        for number, (cx, cy) in enumerate(disc_centres(t / count, height, width, discs)):
            inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
            picture[inside] = looks[number] + (25 * np.sin((x - cx) / 5) * np.cos((y - cy) / 7))[inside, None]
        frames[t] = picture.clip(0, 255)
    return frames


def disc_centres(phase: float, height: int, width: int, discs: int) -> list[tuple[float, float]]:
    """Where the discs of `drawn_frames` are, (x, y) in pixels; `phase` goes from 0 to 1."""
    turn = 2 * np.pi * phase
    return [
        (
            float(width * ((k + 0.5) / discs + 0.1 * np.sin(turn + k) / discs)),
            float(height * (0.5 + 0.3 * np.sin(turn + 2.4 * k))),
        )
        for k in range(discs)
    ]


def endless(frames: np.ndarray) -> Iterator[np.ndarray]:
    """The frames over and over, each time as a new array, as a camera would give them."""
    while True:
        for frame in frames:
            yield frame.copy()


def write_long_video(path: Path, frames: np.ndarray, repeats: int, fps: int) -> None:
    """An H.264 mp4 of `frames` shown `repeats` times.

    The frames are encoded once, as a closed group of pictures, whose packets are then repeated with later times.
    """
    import av

    group = path.with_name(f".{path.name}.group.mp4")
    with av.open(str(group), "w") as container:
        options = {"preset": "veryfast", "crf": "30", "g": str(len(frames)), "x264-params": "open-gop=0"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(group)) as source, av.open(str(path), "w") as target:
        given = source.streams.video[0]
        copied = target.add_stream_from_template(given)
        span = round(len(frames) / fps / float(given.time_base))
        for repeat in range(repeats):
            source.seek(0)
            for packet in source.demux(given):
                if packet.pts is None or packet.dts is None:
                    continue
                packet.pts += repeat * span
                packet.dts += repeat * span
                packet.stream = copied
                target.mux(packet)
    group.unlink()


def forget_peak(device: str = "cpu") -> None:
    """Hand back what loading has left over and start the count of peak memory anew, where the system allows it."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes(device: str = "cpu") -> float:
    """The highest since then, in MB: of this process's resident memory, or of its tensors on the GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


@torch.no_grad()
def product_peak(dtype: torch.dtype, device: str = "cpu", seconds: float = 2.0) -> float:
    """The most that a product of two square matrices reaches in this process, in GFLOP/s.

    The matrices are 2048 wide on a processor and 8192 on a GPU. Products are repeated for `seconds`, ten times at
    least, and the fastest counts, so that other work on the machine matters only when it never rests. On a processor
    torch's product and oneDNN's take turns: one may know its vectors better than the other.
    """
    side = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    times: list[float] = []
    while len(times) < 10 or sum(times) < seconds:
        product = linear if device == "cpu" and len(times) % 2 else torch.matmul
        start = time.perf_counter()
        product(a, b)
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times) / 1e9


def count_gflop(call: Callable[[], Any]) -> tuple[float, Any]:
    """Floating-point operations of a call's products, convolutions and attentions in 1e9, and what it returned.

    A multiplication and an addition are two. Torch's counter does not know the processor's own kernels: they are told
    to it here. Compiled or custom kernels are not seen.
    """
    from torch.utils.flop_counter import FlopCounterMode

    def attention(q: list[int], k: list[int], v: list[int], *_: Any, **__: Any) -> int:
        return 2 * math.prod(q[:3]) * k[2] * (q[3] + v[3])

    def product(x: list[int], weight: list[int], *_: Any, **__: Any) -> int:
        return 2 * math.prod(x) * weight[0]

    own = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
        torch.ops.mkldnn._linear_pointwise: product,
    }
    with FlopCounterMode(display=False, custom_mapping=own) as counter:
        out = call()
    return counter.get_total_flops() / 1e9, out


def write_frames(folder: Path, frames: np.ndarray) -> None:
    """Make a folder of T x H x W x 3 uint8 frames that every program opens and sees alike."""
    from PIL import Image

    folder.mkdir()
    for number, frame in enumerate(frames):
        # the reference goes by the ending and Pillow by the content, so that all see the same pixels
        Image.fromarray(frame).save(folder / f"{number:05d}.jpg", format="PNG")


def table(head: list[str], rows: list[list[str]], words: int = 1) -> str:
    """A Markdown table, its first `words` columns to the left and the numbers after them to the right."""
    lines = [head, [*["---"] * words, *["---:"] * (len(head) - words)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
