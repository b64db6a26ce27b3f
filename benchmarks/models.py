"""Frames per second of sam2v's own models beside each other, each at its own resolution, and what fast mode gains.

    python -m benchmarks.models --models sam2v_nano,sam2.1_hiera_tiny

Every model tracks one clicked object through the same frames, frame by frame in turn. The table gives the median time
per frame after the memory bank is full. Released architectures run with weights drawn by rule: numbers do not change
the time. With `+fast` behind its name a model runs in fast mode, with `+bfloat16` in that precision, with `+aspect` on
rectangles that keep the aspect of the frames (16:9).
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from benchmarks.common import disc_centres, drawn_frames, machine, table
from benchmarks.programs import load_own
from benchmarks.video import WARM
from sam2v import VideoPredictor

_SIZE = (360, 640)


def main() -> None:
    """Track, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="sam2v_nano,sam2v_nano+fast,sam2.1_hiera_tiny,sam2.1_hiera_tiny+fast")
    parser.add_argument("--frames", type=int, default=16, help=f"more than {WARM}, which fill the bank")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    if args.frames <= WARM:
        raise SystemExit(f"--frames {args.frames}: must be more than {WARM}")
    torch.set_num_threads(args.threads)
    frames = drawn_frames(args.frames, *_SIZE)
    runs, seconds = {}, {}
    for name in args.models.split(","):
        predictor = _predictor(name)
        state = predictor.init_state(frames)
        predictor.add_points(state, 0, 1, disc_centres(0.0, *_SIZE, 2)[:1])
        runs[name], seconds[name] = predictor.propagate_in_video(state), []
    for _ in range(args.frames):
        for name, run in runs.items():
            started = time.perf_counter()
            next(run)
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times[WARM:]) for name, times in seconds.items()}
    slowest = max(medians.values())
    rows = [[n, f"{1000 * m:.0f}", f"{1 / m:.2f}", f"{slowest / m:.1f}x"] for n, m in medians.items()]
    print(table(["model", "ms/frame", "frames/s", "times the slowest"], rows))
    print(f"\n{args.frames} frames of {_SIZE[1]} x {_SIZE[0]}, {args.threads} threads; {machine()}")


def _predictor(text: str) -> VideoPredictor:
    name, *options = text.split("+")
    if unknown := set(options) - {"fast", "bfloat16", "aspect"}:
        raise SystemExit(f"{text}: unknown option {unknown.pop()!r}; known: fast, bfloat16, aspect")
    dtype = "bfloat16" if "bfloat16" in options else None
    return VideoPredictor(load_own(name, dtype, fast="fast" in options), keep_aspect="aspect" in options)


if __name__ == "__main__":
    main()
