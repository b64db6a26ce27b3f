"""What memory policies cost: processor time per frame beside `recent`, and whether memory stays flat on a live stream.

    python -m benchmarks.identity_cost --model sam2.1_hiera_tiny --checkpoint random --image-size 1024 --frames 12
    python -m benchmarks.identity_cost --checkpoint random --image-size 96 --live 3000

All policies go through a clip side by side, frame by frame, each with an encoding of its own, so that other work on
the machine falls on all of them alike; what counts is this process's processor time. Frames on which memories are still
being gathered are left out. On a live stream every policy has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import add_model_arguments, disc_centres, drawn_frames, endless, machine, model_from, table
from sam2v import VideoPredictor
from sam2v.cli.progress import resident_megabytes
from sam2v.memory import POLICIES
from sam2v.model.network import Sam2Network

ROOT = Path(__file__).resolve().parents[1]
#: Memories are gathered for so many frames; a stream's memory is compared from such a share of it on.
_GATHERED, _SETTLED = 8, 0.2


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=POLICIES)
    parser.add_argument("--frames", type=int, default=16, help=f"of the clip, above {_GATHERED}")
    parser.add_argument("--live", type=int, metavar="FRAMES", help="follow a live stream and look at memory instead")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(flatness(model_from(args), args.child, args.live)))
    elif args.live:
        rows = [[name, *(f"{value:.1f}" for value in _in_a_process(name))] for name in args.policies]
        print(
            table(["policy", f"MB at frame {int(_SETTLED * args.live)}", f"MB at frame {args.live}", "entries"], rows)
        )
    else:
        times = paired_times(model_from(args), ["recent", *(n for n in args.policies if n != "recent")], args.frames)
        usual = np.array(times["recent"])
        rows = [[n, f"{np.median(t):.3f}", f"{np.median(np.array(t) / usual):.2f}"] for n, t in times.items()]
        print(table(["policy", "processor s a frame", "of `recent`"], rows))
    print(f"\n{args.model} at {args.image_size or 'its own size'}; {machine()}")


def paired_times(network: Sam2Network, policies: list[str], frames: int) -> dict[str, list[float]]:
    """Processor seconds of every policy on every frame after the first ones."""
    clip = drawn_frames(frames)
    ways = {}
    for name in policies:
        video = VideoPredictor(network, policy=name)
        state = video.init_state(clip, history="window")
        video.add_points(state, 0, 1, [disc_centres(0, *clip.shape[1:3], 2)[0]])
        ways[name] = video.propagate_in_video(state)
    times: dict[str, list[float]] = {name: [] for name in policies}
    for number in range(frames):
        for name, results in ways.items():
            start = time.process_time()
            next(results)
            if number >= _GATHERED:
                times[name].append(time.process_time() - start)
    return times


def flatness(network: Sam2Network, policy: str, frames: int) -> list[float]:
    """Resident megabytes early and at the end of a live stream of so many frames, and the entries kept then."""
    video, clip, early = VideoPredictor(network, policy=policy), drawn_frames(60, 90, 160), 0.0
    state = video.init_state(None)
    for number, frame in enumerate(islice(endless(clip), frames)):
        video.track(state, frame)
        if number == 0:
            video.add_points(state, 0, 1, [disc_centres(0, 90, 160, 2)[0]])
        if number == int(_SETTLED * frames):
            early = resident_megabytes()
    known = {id(entry) for h in state.tracks[1].hypotheses for _, entry in h.bank.entries()}
    return [early, resident_megabytes(), float(len(known))]


def _in_a_process(policy: str) -> list[float]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.identity_cost", *sys.argv[1:], "--child", policy]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: list[float] = json.loads(done.stdout.splitlines()[0])
    return found


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
