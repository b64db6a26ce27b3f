"""J&F of a model on torch and through its exports: float32, float16, int8, and int8 with calibrated activations.

    python -m benchmarks.runtime_quality --root DAVIS
    python -m benchmarks.runtime_quality --root DAVIS --kinds float32,int8 --sequences dog,camel --prompt clicks:3

ROOT is laid out as DAVIS is. Exports stay in `--exports`, and are taken from there when they are there already. int8 is
calibrated on frames of the videos of `--calibrate`, which should not be those that are scored; without it that kind is
left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import machine, table

KINDS = ("float32", "float16", "int8", "int8-calibrated")


def main() -> None:
    """Export what is not there, and score one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--model", default="sam2v_nano")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--sequences")
    parser.add_argument("--prompt", default="mask")
    parser.add_argument("--calibrate", type=Path, nargs="+", default=[], help="videos, or folders of frames")
    parser.add_argument("--exports", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    kinds = [kind for kind in args.kinds.split(",") if kind != "int8-calibrated" or args.calibrate]
    if unknown := set(kinds) - set(KINDS):
        raise SystemExit(f"unknown kind {sorted(unknown)[0]!r}; known: {', '.join(KINDS)}")
    with tempfile.TemporaryDirectory() as scratch:
        results = compare(args, kinds, args.exports or Path(scratch))
    plain = results["torch"]["J&F"]
    rows = [
        [name, f"{one['J&F']:.2f}", f"{one['J&F'] - plain:+.2f}", f"{one['MB']:.1f}"] for name, one in results.items()
    ]
    print(table(["", "J&F", "to torch", "MB"], rows))
    print(f"\n{args.model}, prompt {args.prompt}, {args.root.name}; {machine()}")
    if args.json:
        args.json.write_text(json.dumps({**results, "machine": machine()}, indent=1) + "\n")


def compare(args: argparse.Namespace, kinds: list[str], exports: Path) -> dict[str, dict[str, float]]:
    """J&F and size in MB by name."""
    import torch

    from sam2v import VideoPredictor, load_model, runtime
    from sam2v.data.readers import open_dataset
    from sam2v.evaluation.vos import evaluate_vos
    from sam2v.export.run import export_model

    torch.set_num_threads(args.threads)
    chosen = {"videos": args.sequences.split(",")} if args.sequences else {}
    records = open_dataset("davis2016", args.root, None, **chosen)
    network = load_model(args.model, device="cpu")
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    results: dict[str, dict[str, float]] = {}

    def score(name: str, predictor: Any, size: float) -> None:
        found = evaluate_vos(predictor, records, prompt=args.prompt)
        results[name] = {"J&F": 100 * found.mean["J&F"], "MB": size / 1e6}
        print(name, results[name], flush=True)

    score("torch", VideoPredictor(network), weights)
    for kind in kinds:
        folder = exports / kind
        if not folder.exists():
            how: dict[str, Any] = {"dtype": "float16"} if kind == "float16" else {"int8": kind.startswith("int8")}
            if kind == "int8-calibrated":
                how["calibrate"] = [frame for path in args.calibrate for frame in some_frames(path)]
            export_model(load_model(args.model, device="cpu"), folder, **how)
        size = sum(file.stat().st_size for file in folder.iterdir())
        score(kind, runtime.VideoPredictor(str(folder), threads=args.threads), size)
    return results


def some_frames(path: Path, count: int = 4) -> list[Any]:
    """Frames of a video, evenly spread, each H x W x 3 uint8."""
    from sam2v.video.sources import open_source

    with open_source(path) as source:
        return [source[len(source) * k // count] for k in range(count)]


if __name__ == "__main__":
    main()
