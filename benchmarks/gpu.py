"""Everything that a GPU is asked about, within minutes: fixtures first, then speed, host reads, kernels, memory.

    python -m benchmarks.gpu --budget-minutes 8 --out gpu

Every case is a process of its own, so that its first mask counts from the start of a process. After every case the
folder has gpu.json, gpu.md (a table) and, where matplotlib is installed, gpu.png: a run that is cut off still counts,
and the same command goes on where it stopped (cases that failed are tried again; `--afresh` forgets what is there).
Cases come in the order of what they tell; those that the budget has no time for are listed as left out. Columns:

    frames/s      of all videos together, masks on the host as bits, after the memory bank is full
    ms            median of a frame (of one frame of every video)
    first mask    seconds from the start of the process to the answer to a click, on the host
    host reads    how often a frame waits for the device, by torch's sync debug mode; the download of the masks is one
    kernels       that a frame runs, by torch's profiler; copies and fills are not counted
    busy          milliseconds of a frame in which the device works
    of peak       GFLOP of a frame (counted once, without graphs) over its time, as a share of the best product of two
                  square matrices on this device
    MB            peak of tensors on the device, while tracking

Several videos are tracked by one process and share every batch (`VideoPredictor.propagate_in_videos`). `sam2` is the
reference's compiled `vos_optimized` predictor, where it is installed (`pip install rf-sam-2`). On the CPU (`--device
cpu`) the same runs without what only a GPU has.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import disc_centres, drawn_frames, write_frames, write_long_video
from benchmarks.gpu_report import write_report
from benchmarks.programs import DTYPES, image_size_of, write_weights
from sam2v.files import user_path

ROOT = Path(__file__).resolve().parents[1]
MODES = ("eager", "graphs", "compiled")
#: Modes that take minutes to get ready: they come last.
_SLOW = ("compiled",)
#: Objects in the order of what they tell.
_OBJECTS = "1,16,4,128,64"
_SIZE = (360, 640)


class Bench:
    """The cases, what is known of them, and the time that is left.

    Args:
        args: the command line. folder: what is drawn goes there.
    """

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.folder = args, folder
        self.end = time.time() + 60 * args.budget_minutes
        self.out = user_path(args.out)
        self.most = max(args.objects)
        write_frames(folder / "frames", drawn_frames(args.warm + args.frames + 8, *_SIZE, self.most))
        self.cases = dict(self._known())

    def _known(self) -> Iterator[tuple[str, Any]]:
        """What an earlier run with the same arguments found."""
        file = self.out / "gpu.json"
        if file.is_file() and not self.args.afresh:
            known = json.loads(file.read_text())
            if known["arguments"] == self.arguments():
                yield from known["cases"].items()

    def arguments(self) -> dict[str, str]:
        """What results depend on."""
        passing = ("budget_minutes", "out", "afresh")
        return {name: str(value) for name, value in vars(self.args).items() if name not in passing}

    def run(self, name: str, job: dict[str, Any]) -> None:
        """Do a case that is not known, if there is time, and write down what is known then."""
        found = self.cases.get(name, {})
        if found and not {"failure", "left_out"} & found.keys():
            return
        left = self.end - time.time()
        if left < self.args.least_seconds:
            self.cases[name] = {"left_out": "no time was left"}
        else:
            print(f"{name} ({left:.0f} s left)", file=sys.stderr, flush=True)
            began = time.time()
            self.cases[name] = {**_child(job, left), "took_s": time.time() - began}
        self.write()

    def write(self) -> None:
        """Write the files."""
        write_report(self.out, {"arguments": self.arguments(), "cases": self.cases})

    # -- the cases -----------------------------------------------------------------------------------------------------

    def run_all(self) -> None:
        """All cases in their order."""
        args = self.args
        place = {"device": args.device, "dtype": args.dtype}
        self.run("machine", {"kind": "machine", **place, "seconds": args.peak_seconds})
        for mode in args.modes:
            self.run(f"fixtures, {mode}", {"kind": "fixtures", **place, "mode": mode, "count": args.fixtures})
        quick, slow = ([mode for mode in args.modes if (mode in _SLOW) == late] for late in (False, True))
        for objects, model, mode in itertools.product(args.objects, args.models, quick):
            self._track(model, objects, 1, mode)
        self._decode()
        for videos, model, mode in itertools.product(args.videos, args.models, quick):
            if videos > 1:
                self._track(model, min(args.objects), videos, mode)
        for objects, model in itertools.product(args.objects, args.models):
            for mode in slow:
                self._track(model, objects, 1, mode)
            if args.peer:
                self._peer(model, objects)

    def _track(self, model: str, objects: int, videos: int, mode: str) -> None:
        name = f"{model}, {_counted(objects, 'object')}, {_counted(videos, 'video')}, {mode}"
        self.run(name, {"kind": "track", **self._clip(model, objects), "videos": videos, "mode": mode})

    def _peer(self, model: str, objects: int) -> None:
        name = f"{model}, {_counted(objects, 'object')}, 1 video, sam2"
        if peer_is_installed():
            self.run(name, {"kind": "peer", **self._clip(model, objects), "videos": 1})
        else:
            self.cases[name] = {"failure": "sam2 is not installed: pip install rf-sam-2"}
            self.write()

    def _clip(self, model: str, objects: int) -> dict[str, Any]:
        args, weights = self.args, self.folder / f"{model}.pt"
        if not weights.exists():
            write_weights(weights, model, args.checkpoint)
        return {
            "model": model,
            "weights": str(weights),
            "image_size": args.image_size or image_size_of(model),
            "dtype": args.dtype,
            "device": args.device,
            "frames": str(self.folder / "frames"),
            "clicks": [[float(x), float(y)] for x, y in disc_centres(0.0, *_SIZE, self.most)[:objects]],
            "warm": args.warm,
            "count": args.frames,
        }

    def _decode(self) -> None:
        """1080p H.264, a second of it over and over."""
        file, side = self.folder / "clip.mp4", self.args.image_size or image_size_of(self.args.models[0])
        if not file.exists():
            write_long_video(file, drawn_frames(12, *self.args.decode_size), 4, 24)
        job = {"file": str(file), "length": 48, "size": [side, side], "seconds": self.args.decode_seconds}
        self.run("decode", {"kind": "decode", **job, "threads": self.args.decode_threads})


def peer_is_installed() -> bool:
    """Whether the reference can be compared with."""
    return importlib.util.find_spec("sam2") is not None


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


def _child(job: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What a process of its own finds, or why it found nothing."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu_case", json.dumps({**job, "started": time.time()})]
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"left_out": f"not done within the {seconds:.0f} s that were left"}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return {"failure": f"its process ended with code {done.returncode} (out of memory?)"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError
    return numbers


def _modes(text: str) -> list[str]:
    modes = text.split(",")
    if not set(modes) <= set(MODES):
        raise argparse.ArgumentTypeError(f"known modes: {', '.join(MODES)}")
    return modes


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget-minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--afresh", action="store_true", help="forget the results that are there")
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--models", type=lambda text: text.split(","), default="sam2.1_hiera_tiny,sam2.1_hiera_large")
    parser.add_argument("--checkpoint", default="rule", help="'rule': drawn from the names; 'auto', or a file")
    parser.add_argument("--image-size", type=int, help="side of the network's input; default: the model's own")
    parser.add_argument("--dtype", default="bfloat16", choices=DTYPES)
    parser.add_argument("--modes", type=_modes, default=",".join(MODES))
    parser.add_argument("--objects", type=_numbers, default=_OBJECTS)
    parser.add_argument("--videos", type=_numbers, default="1,4")
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="without the reference")
    parser.add_argument("--warm", type=int, default=17, help="frames that fill the bank (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=16, help="frames that are timed (default: %(default)s)")
    parser.add_argument("--fixtures", type=int, default=4, help="recordings that are replayed (default: %(default)s)")
    parser.add_argument("--peak-seconds", type=float, default=2.0, help="how long products are timed")
    parser.add_argument("--decode-seconds", type=float, default=4.0, help="how long every number of threads reads")
    parser.add_argument("--decode-threads", type=_numbers, default="1,2,4,8")
    parser.add_argument("--decode-size", type=_numbers, default="1080,1920", help="height,width of the file")
    parser.add_argument("--least-seconds", type=float, default=5.0, help="cases are not begun with less time than that")
    args = parser.parse_args(arguments)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("this torch sees no GPU; --device cpu runs the same on the processor")
    return args


def main(arguments: list[str] | None = None) -> None:
    """Run the cases that are not known and write what is."""
    args = parsed(arguments)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(args, Path(name))
        bench.run_all()
    print((bench.out / "gpu.md").read_text())


if __name__ == "__main__":
    main()
