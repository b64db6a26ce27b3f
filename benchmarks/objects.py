"""Time and memory for 1, 2, 4 and 8 objects on one clip, beside the reference implementation (package `sam2`).

    python -m benchmarks.objects --model sam2.1_hiera_tiny --image-size 512 --frames 24

Both programs get the same weights (made by the rule of tests/golden/weights.py), the same folder of drawn frames and
the same clicks, one process for every program and number of objects. Needs `pip install rf-sam-2`; without it only
sam2v is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import disc_centres, drawn_frames, forget_peak, machine, peak_megabytes, table, write_frames
from benchmarks.programs import write_weights
from sam2v.cli.progress import resident_megabytes

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("sam2v", "sam2")
_HEIGHT, _WIDTH, _DISCS = 360, 640, 8
_FILES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}


@dataclass
class Measure:
    """One program with one number of objects.

    Attributes:
        open_s: seconds to open the clip (the reference reads and resizes all frames here) and answer the clicks.
        frame_s: seconds per tracked frame.
        cpu_s: processor seconds per frame for everything, opening and clicks included.
        beyond_model_mb: the process's peak memory above what it had with the model loaded.
        masks: file with the masks, T x N x H x W packed bits.
    """

    program: str
    objects: int
    open_s: float
    frame_s: float
    cpu_s: float
    beyond_model_mb: float
    masks: str


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam2.1_hiera_tiny")
    parser.add_argument("--image-size", type=int, default=1024)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 2, 4, 8], choices=range(1, _DISCS + 1))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the result")
    parser.add_argument("--child", nargs=2, metavar=("PROGRAM", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.child:
        print(json.dumps(asdict(_measure(args, args.child[0], Path(args.child[1])))))
        return
    programs = [name for name in PROGRAMS if importlib.util.find_spec(name)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(args, folder)
        found = [_run_child(args, program, count, folder) for count in args.objects for program in programs]
        agreement = {count: _agreement([m for m in found if m.objects == count]) for count in args.objects}
    print(_table(args, found, agreement))
    print(f"\n{args.model} at {args.image_size}, {args.frames} frames of {_WIDTH} x {_HEIGHT}; {machine()}")
    if args.json:
        about = {"model": args.model, "image_size": args.image_size, "frames": args.frames, "machine": machine()}
        result = about | {"measures": [asdict(m) | {"masks": None} for m in found], "mask_iou": agreement}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def _prepare(args: argparse.Namespace, folder: Path) -> None:
    """Write the weights and the frames that both programs read."""
    write_weights(folder / "weights.pt", args.model, "rule")
    write_frames(folder / "frames", drawn_frames(args.frames, _HEIGHT, _WIDTH, _DISCS))


def _run_child(args: argparse.Namespace, program: str, objects: int, folder: Path) -> Measure:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.objects", "--child", program, str(folder)]
    command += ["--model", args.model, "--image-size", str(args.image_size), "--threads", str(args.threads)]
    command += ["--objects", str(objects)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{program} with {objects} objects failed:\n{done.stderr}")
    measure = Measure(**json.loads(done.stdout.splitlines()[-1]))
    print(f"{program}, {objects} objects: {measure.frame_s:.3f} s a frame", file=sys.stderr, flush=True)
    return measure


def _measure(args: argparse.Namespace, program: str, folder: Path) -> Measure:
    """Track the clip in this process; runs in a child."""
    (objects,) = args.objects
    predictor = _sam2v(args, folder) if program == "sam2v" else _sam2(args, folder)
    forget_peak()
    base, start, cpu = resident_megabytes(), time.perf_counter(), time.process_time()
    state = predictor.init_state(str(folder / "frames"))
    for number, centre in enumerate(disc_centres(0.0, _HEIGHT, _WIDTH, _DISCS)[:objects]):
        points, labels = np.array([centre], np.float32), np.array([1], np.int32)
        predictor.add_new_points_or_box(state, frame_idx=0, obj_id=number + 1, points=points, labels=labels)
    opened = time.perf_counter()
    masks = [np.packbits(mask) for mask in _masks(predictor, state)]
    seconds, cpu = time.perf_counter() - opened, time.process_time() - cpu
    file = folder / f"{program}_{objects}.npy"
    np.save(file, np.stack(masks))
    each = len(masks)
    return Measure(program, objects, opened - start, seconds / each, cpu / each, peak_megabytes() - base, str(file))


def _masks(predictor: Any, state: Any) -> Iterator[np.ndarray]:
    for _, _, masks in predictor.propagate_in_video(state):
        yield (masks > 0).cpu().numpy()


def _sam2v(args: argparse.Namespace, folder: Path) -> Any:
    import sam2v

    overrides = [f"model.image_size={args.image_size}"]
    model = sam2v.load_model(args.model, folder / "weights.pt", device="cpu", overrides=overrides)
    return sam2v.VideoPredictor(model, fill_hole_area=0)


def _sam2(args: argparse.Namespace, folder: Path) -> Any:
    from sam2.build_sam import build_sam2_video_predictor

    version, size = args.model.split("_hiera_")
    predictor = build_sam2_video_predictor(
        f"configs/{version}/{version}_hiera_{_FILES[size]}.yaml",
        str(folder / "weights.pt"),
        device="cpu",
        hydra_overrides_extra=[f"++model.image_size={args.image_size}"],
    )
    predictor.fill_hole_area = 0  # needs its CUDA extension
    return predictor


def _agreement(measures: list[Measure]) -> float | None:
    """Mean IoU of the two programs' masks over frames, 1 where both are empty; None when one of them did not run."""
    if len(measures) < 2:
        return None
    a, b = (np.unpackbits(np.load(m.masks), axis=1).astype(bool) for m in measures)
    either = (a | b).sum(1)
    return float(np.where(either, (a & b).sum(1) / np.maximum(either, 1), 1).mean())


def _cells(measure: Measure) -> list[str]:
    return [f"{measure.frame_s:.3f}", f"{measure.cpu_s:.3f}", f"{measure.beyond_model_mb:.0f}"]


def _table(args: argparse.Namespace, found: list[Measure], agreement: dict[int, float | None]) -> str:
    parts = [f"{name} {what}" for name in PROGRAMS for what in ("s/frame", "CPU s/frame", "MB")]
    rows = []
    for count in args.objects:
        by = {m.program: m for m in found if m.objects == count}
        cells = [_cells(by[name]) if name in by else ["-"] * 3 for name in PROGRAMS]
        same = agreement[count]
        rows.append([str(count), *cells[0], *cells[1], "-" if same is None else f"{same:.4f}"])
    head = ["objects", *parts, "IoU of the masks"]
    return table(head, rows)


if __name__ == "__main__":
    main()
