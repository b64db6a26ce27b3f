"""Automatic masks beside the reference's generator: same weights, options and pictures, in turn.

    python -m benchmarks.automatic --model sam2v_nano --sizes 720x1280,3000x4000
    python -m benchmarks.automatic --model sam2.1_hiera_tiny --points-per-side 8 --sizes 720x1280

Each program runs in a process of its own and finds the masks of every picture `--rounds` times, a different one first
each time. Columns of the table:

    seconds         the least of the rounds after the first, from an H x W x 3 array to its records
    processor s     likewise of all processors together
    sam2v faster    the quotients' median, round by round
    peak, beyond    MB: the process's peak since its model was loaded, and that above the loaded model
    masks           how many are found
    alike           how many of the reference's have one of sam2v's at IoU 0.98 or more

Masks are asked for as COCO run lengths. sam2v_nano is trained; larger networks have weights by rule, whose masks are
noise, and thresholds that let some of it pass. Needs `pip install rf-sam-2`; run it from a checkout.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.common import machine, table
from benchmarks.programs import OWN, Setup, image_size_of, reference_arguments, write_weights
from benchmarks.turns import Worker, company
from sam2v.masks.rle import decode_rle

_PEER = "sam2"
_TRAINED = {"pred_iou_thresh": 0.5, "stability_score_thresh": 0.8}
_BY_RULE = {"pred_iou_thresh": 0.2, "stability_score_thresh": 0.3, "mask_threshold": 4.0}
_TESTS = Path(__file__).resolve().parents[1] / "tests"

Record = dict[str, Any]


class OwnMasks:
    """sam2v's generator."""

    def __init__(self, setup: Setup) -> None:
        from sam2v import load_model

        self.model = load_model(setup.model, setup.weights, device="cpu", dtype="float32")

    def generate(self, picture: np.ndarray, options: dict[str, Any]) -> list[Record]:
        """Records of everything in a picture."""
        from sam2v import AutomaticMasks

        return AutomaticMasks(self.model, **options).generate(picture, progress=False)


class ReferenceMasks:
    """The reference's generator."""

    def __init__(self, setup: Setup) -> None:
        from sam2.build_sam import build_sam2

        if setup.model == "sam2v_nano":  # of which the reference has no configuration
            sys.path.insert(0, str(_TESTS))
            from golden.reference import build_nano

            self.model = build_nano(torch.load(setup.weights, weights_only=True)["model"])
        else:
            self.model = build_sam2(**reference_arguments(setup))
        self._grids = [(setup.image_size // stride,) * 2 for stride in (4, 8, 16)]

    def generate(self, picture: np.ndarray, options: dict[str, Any]) -> list[Record]:
        """Records of everything in a picture."""
        from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

        generator = SAM2AutomaticMaskGenerator(self.model, **options)
        generator.predictor._bb_feat_sizes = self._grids  # written down in it for 1024 pixels
        return generator.generate(picture)


class MaskWorker(Worker):
    """A generator in its own process."""

    def generate(self, picture: np.ndarray, options: dict[str, Any]) -> tuple[list[Record], dict[str, float]]:
        """Find the masks; with the times and the memory."""
        records, times = self.timed(lambda: self.program.generate(picture, options))
        return records, times | self.memory()


def make_worker(setup: Setup) -> MaskWorker:
    """The worker of a child process."""
    return MaskWorker({OWN: OwnMasks, _PEER: ReferenceMasks}, setup)


def main() -> None:
    """Run all sizes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam2v_nano", help="sam2v_nano, or one that the reference knows")
    parser.add_argument("--sizes", default="720x1280,3000x4000", help="of the pictures, HxW (default: %(default)s)")
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--points-per-batch", type=int, default=64)
    parser.add_argument("--crop-n-layers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3, help="of which the first warms up (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error("--rounds must be at least 2")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pt"
        write_weights(weights, args.model, "auto" if args.model == "sam2v_nano" else "rule")
        for text in args.sizes.split(","):
            height, width = map(int, text.split("x"))
            rows += _rows(args, weights, height, width)
    head = ["picture", "program", "seconds", "processor s", "sam2v faster", "peak MB", "beyond MB", "masks", "alike"]
    print(table(head, rows, words=2))
    print(f"\n{args.model}, {args.points_per_side} x {args.points_per_side} points; {machine()}")


def _rows(args: argparse.Namespace, weights: Path, height: int, width: int) -> list[list[str]]:
    options: dict[str, Any] = {"output_mode": "coco_rle"}
    options |= {name: getattr(args, name) for name in ("points_per_side", "points_per_batch", "crop_n_layers")}
    options |= _TRAINED if args.model == "sam2v_nano" else _BY_RULE
    picture, size = _picture(height, width), image_size_of(args.model)
    setups = [Setup(name, args.model, str(weights), size, "float32", "cpu", args.threads) for name in (OWN, _PEER)]
    rounds = []
    with company(make_worker, setups) as together:
        for _ in range(args.rounds):
            rounds.append(together.each("generate", picture, options))
            times = ", ".join(f"{name} {found[1]['ms'] / 1000:.1f}" for name, found in rounds[-1].items())
            print(f"{width} x {height}: {times} s", file=sys.stderr, flush=True)
        failures = together.failures
    rows = []
    for name in (OWN, _PEER):
        if name in failures:
            rows.append([f"{width} x {height}", name, f"failed: {failures[name]}", *["-"] * 6])
            continue
        runs = [found[name][1] for found in rounds[1:]]
        faster = [found[_PEER][1]["ms"] / found[OWN][1]["ms"] for found in rounds[1:] if _PEER in found]
        cells = [f"{min(run[key] for run in runs) / 1000:.2f}" for key in ("ms", "processor_ms")]
        cells.append("-" if name == OWN or not faster else f"{statistics.median(faster):.2f}x")
        cells += [f"{runs[-1][key]:.0f}" for key in ("peak_mb", "beyond_model_mb")]
        records = {program: found[0] for program, found in rounds[-1].items()}
        alike = "-" if name == OWN else str(_alike(records[OWN], records[_PEER]))
        rows.append([f"{width} x {height}", name, *cells, str(len(records[name])), alike])
    return rows


def _alike(own: list[Record], other: list[Record]) -> int:
    """How many of the other's masks are among our own."""
    return sum(any(_same(record, mine) for mine in own) for record in other)


def _same(a: Record, b: Record) -> bool:
    if np.abs(np.subtract(a["bbox"], b["bbox"])).max() > 40:
        return False
    one, two = decode_rle(a["segmentation"]), decode_rle(b["segmentation"])
    return bool((one & two).sum() >= 0.98 * (one | two).sum())


def _picture(height: int, width: int) -> np.ndarray:
    """A drawn scene, H x W x 3 uint8."""
    from sam2v.data.synthetic import demo_clip

    frame = demo_clip((720, 1280), 2).frames[0].permute(1, 2, 0).contiguous().numpy()
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    main()
