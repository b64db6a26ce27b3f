"""Frames per second of the whole command `sam2v track`: start, decoding, tracking and writing the default formats.

    python -m benchmarks.command --objects 1,8 --frames 240

A clip of 1280 x 720 is drawn and encoded once. Every run is a process of its own. With `--trees ../earlier,.` several
checkouts take turns, the first being what the others are compared with. Columns of the table:

    frames/s        frames over seconds of the whole command, the median of all rounds
    faster          likewise of the quotients with the first checkout, round by round
    processor s     of all threads together in the fastest round, which other work on the machine hardly changes
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.common import machine, table
from sam2v.data.synthetic import demo_clip
from sam2v.masks.boxes import box_prompt
from sam2v.output.encode import encode_all

_SIZE, _FPS = (720, 1280), 25
_DRAWN = 24  # frames; longer clips go through them to and fro


class Run(NamedTuple):
    """One run of the command: wall and processor seconds."""

    seconds: float
    processor: float


def main() -> None:
    """Run every checkout in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", default=".", help="checkouts, separated by commas (default: this one)")
    parser.add_argument("--objects", default="1,8", help="numbers of objects, up to 8 (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=240, help="length of the clip (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs (default: %(default)s)")
    parser.add_argument("arguments", nargs="*", help="further arguments of `sam2v track`, after --")
    args = parser.parse_args()
    trees, counts = args.trees.split(","), [int(count) for count in args.objects.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        clip, boxes = Path(folder) / "clip.mp4", _draw(Path(folder) / "clip.mp4", args.frames)
        rows = []
        for count in counts:
            prompts = [f"--box=0:{n + 1}:{box}" for n, box in enumerate(boxes[:count])]
            runs: dict[str, list[Run]] = {tree: [] for tree in trees}
            for number in range(args.rounds):
                for tree in trees[number % len(trees) :] + trees[: number % len(trees)]:
                    runs[tree].append(_run(tree, clip, [*prompts, *args.arguments]))
            rows += [_row(count, tree, runs[tree], runs[trees[0]], args.frames) for tree in trees]
    print(table(["objects", "checkout", "frames/s", "faster", "processor s"], rows, words=2))
    print(f"\n{args.frames} frames of {_SIZE[1]} x {_SIZE[0]}, {args.rounds} rounds; {machine()}")


def _draw(path: Path, count: int) -> list[str]:
    """Write the clip; boxes around its three objects, and five more places."""
    clip = demo_clip(_SIZE, frames=_DRAWN)
    frames = clip.frames.permute(0, 2, 3, 1).numpy()
    way = [*range(_DRAWN), *range(_DRAWN - 2, 0, -1)]
    encode_all((frames[way[t % len(way)]] for t in range(count)), path, "mp4", _SIZE, _FPS)
    boxes = [box_prompt(mask.numpy()) for mask in clip.masks[0]]
    boxes += [np.array([250 * n, 440, 250 * n + 220, 700]) for n in range(5)]
    return [",".join(f"{value:.0f}" for value in box) for box in boxes]


def _run(tree: str, clip: Path, arguments: list[str]) -> Run:
    """Run the command of a checkout and wait for its end."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "sam2v.cli", "track", str(clip), "--out", out, *arguments]
        place = {"cwd": tree, "env": os.environ | {"PYTHONPATH": str(Path(tree).resolve())}}
        before, started = os.times(), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **place)  # type: ignore[call-overload]
        seconds, after = time.perf_counter() - started, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{tree}: {seconds:.1f} s, {used:.1f} s of processors", file=sys.stderr, flush=True)
    return Run(seconds, used)


def _row(count: int, tree: str, runs: list[Run], first: list[Run], frames: int) -> list[str]:
    rate = statistics.median(frames / run.seconds for run in runs)
    faster = statistics.median(a.seconds / b.seconds for a, b in zip(first, runs, strict=True))
    return [str(count), tree, f"{rate:.1f}", f"{faster:.2f}x", f"{min(run.processor for run in runs):.1f}"]


if __name__ == "__main__":
    main()
