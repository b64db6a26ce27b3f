"""The tracker on exported graphs beside sam2v and `sam2` on torch: speed, start, memory, installed size.

    python -m benchmarks.runtime
    python -m benchmarks.runtime --model sam2.1_hiera_tiny --image-size 512 --programs sam2v,sam2v.runtime,sam2
    python -m benchmarks.runtime --stream 3000

All programs get the same weights, frames and clicks, on the CPU, one after the other, each in processes of its own.
Start is from the start of a process to the first mask of a click, the shortest of `--starts`; a frame's time is the
median from the ninth frame on; installed size is that of the packages that a program needs, with all that those need,
as they are installed here, without the model. `--stream` notes resident memory over a live stream instead, and exits
with 1 when it grows by more than 40 MB.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import disc_centres, drawn_frames, machine, table, write_frames
from benchmarks.programs import Setup, image_size_of, reference_arguments, write_weights

ROOT = Path(__file__).resolve().parents[1]
#: What has to be installed for a program, beside itself; the runtime's are those of docs/runtime.md.
PACKAGES = {
    "sam2v": ["sam2v"],
    "sam2v.runtime": ["numpy", "pillow", "av", "onnxruntime", "array-api-compat", "typing-extensions", "tqdm"],
    "sam2": ["rf-sam-2"],
}
MOST_GROWTH = 40.0
_SKIP = 8


def main() -> int:
    """Compare, or watch the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam2v_nano")
    parser.add_argument("--image-size", type=int, help="side of the network's input; default: the model's own")
    parser.add_argument("--export", type=Path, help="exported before, of the same weights and size")
    parser.add_argument("--checkpoint", help="default: the embedded weights, else drawn by rule")
    parser.add_argument("--programs", default="sam2v,sam2v.runtime", help="of sam2v, sam2v.runtime, sam2")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--stream", type=int, metavar="N", help="track N frames of a stream and watch the memory")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.programs = args.programs.split(",")
    if unknown := [name for name in args.programs if name not in PACKAGES]:
        raise SystemExit(f"unknown program {unknown[0]!r}; known: {', '.join(PACKAGES)}")
    with tempfile.TemporaryDirectory() as scratch:
        job = prepare(args, Path(scratch))
        result = (
            {"stream": run("stream", job)}
            if args.stream
            else {name: measure(args, job, name) for name in args.programs}
        )
    result |= {"model": args.model, "image_size": job["image_size"], "objects": args.objects, "machine": machine()}
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if args.stream:
        growth = result["stream"]["growth_MB"]
        print(f"growth after frame 100: at most {growth:.1f} MB over {args.stream} frames\n\n{machine()}")
        return 0 if growth < MOST_GROWTH else 1
    print(report(args.programs, result))
    print(f"\n{args.model} at {job['image_size']}, {args.objects} objects; {machine()}")
    return 0


def prepare(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Frames, weights and graphs, and what the processes need to know of them."""
    from sam2v import load_model
    from sam2v.export.run import export_model

    size = args.image_size or image_size_of(args.model)
    height, width = 360, 640
    write_frames(scratch / "frames", drawn_frames(args.frames, height, width, args.objects))
    weights = scratch / "weights.pt"
    own = args.model == "sam2v_nano"
    write_weights(weights, args.model, args.checkpoint or ("auto" if own else "rule"))
    export = args.export
    if export is None:
        export = scratch / "export"
        model = load_model(args.model, str(weights), device="cpu", overrides=[f"model.image_size={size}"])
        export_model(model, export, progress=lambda step: print(f"export: {step}", file=sys.stderr, flush=True))
    job = {
        "model": args.model,
        "weights": str(weights),
        "export": str(export),
        "image_size": size,
        "frames": str(scratch / "frames"),
        "clicks": [[float(x), float(y)] for x, y in disc_centres(0.0, height, width, args.objects)],
        "threads": args.threads,
        "skip": _SKIP,
        "count": args.stream,
    }
    if "sam2" in args.programs:
        setup = Setup("sam2", args.model, str(weights), size, "float32", "cpu", args.threads)
        job["reference_config"] = reference_arguments(setup)["config_file"]
    return job


def measure(args: argparse.Namespace, job: dict[str, Any], program: str) -> dict[str, Any]:
    """One program's numbers."""
    print(f"{program} ...", file=sys.stderr, flush=True)
    runs = [run("track", {**job, "program": program}) for _ in range(args.starts)]
    best = min(runs, key=lambda result: result["fastest_s"] or 0.0)
    files = Path(job["export"]) if program == "sam2v.runtime" else Path(job["weights"])
    return {
        **best,
        "cold_s": min(result["cold_s"] for result in runs),
        "installed_MB": installed_bytes(PACKAGES[program]) / 1e6,
        "model_MB": sum(f.stat().st_size for f in (files.iterdir() if files.is_dir() else [files])) / 1e6,
    }


def run(what: str, job: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own prints."""
    command = [sys.executable, "-m", "benchmarks.runtime_child", what, json.dumps({**job, "started": time.time()})]
    settings = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # modules compiled once, as of what is installed
    done = subprocess.run(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def installed_bytes(packages: Iterable[str]) -> int:
    """Bytes of installed packages and of all that they need; extras left out."""
    wanted, known, total = list(packages), set(), 0
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in known:
            continue
        known.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system
        files = (Path(str(found.locate_file(file))) for file in found.files or ())
        total += sum(file.stat().st_size for file in files if file.is_file())
        needs = (text for text in found.requires or () if "extra ==" not in text)
        wanted += [match.group() for text in needs if (match := re.match(r"[A-Za-z0-9._-]+", text))]
    return total


def report(programs: list[str], result: dict[str, Any]) -> str:
    """The table, and how far masks agree."""
    head = ["", "frame", "start to the first mask", "resident", "peak", "installed", "model"]
    rows = []
    for name in programs:
        one = result[name]
        memory = [f"{one[key]:.0f} MB" if one[key] else "?" for key in ("resident_MB", "peak_MB")]
        sizes = [f"{one['installed_MB']:.0f} MB", f"{one['model_MB']:.1f} MB"]
        frame = f"{1000 * one['frame_s']:.0f} ms (at best {1000 * one['fastest_s']:.0f})"
        rows.append([name, frame, f"{one['cold_s']:.2f} s", *memory, *sizes])
    pixels = {name: np.array(result[name]["pixels"], float) for name in programs}
    first = pixels[programs[0]]
    apart = [abs(other - first).sum() / max(first.sum(), 1.0) for other in pixels.values()]
    return f"{table(head, rows)}\n\nareas differ from those of {programs[0]} by {100 * max(apart):.3f} % at most"


if __name__ == "__main__":
    sys.exit(main())
