"""Speed of `sam2v eval score` beside the package vos-benchmark: same folders, same numbers, whole programs.

    python -m benchmarks.evaluation --gt DAVIS/Annotations/480p --pred PREDICTIONS --processes 2 --runs 5

Both programs start fresh for every run, in turn, each with the same number of processes. Times are wall-clock
medians from start to exit; processor time is the sum over their processes. Needs `pip install vos-benchmark`
(which needs OpenCV and scikit-image).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PEER = """
import json, sys
from vos_benchmark.benchmark import benchmark
if __name__ == "__main__":
    gt, pred, processes, out = sys.argv[1:]
    *_, objects = benchmark([gt], [pred], num_processes=int(processes))
    content = {name: [list(j.values()), list(f.values())] for name, (j, f) in objects[0].items()}
    json.dump(content, open(out, "w"))
"""


@dataclass
class Program:
    """A command, its times, and what it found: sequence -> J and F of every object, in percent."""

    name: str
    command: list[str]
    out: Path
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Run once and note the times."""
        before, start = _children(), time.perf_counter()
        done = subprocess.run(self.command, capture_output=True, text=True, env=_environment())
        self.wall.append(time.perf_counter() - start)
        self.processor.append(_children() - before)
        if done.returncode:
            raise SystemExit(f"{self.name} failed:\n{done.stderr}")


def main() -> None:
    """Run both programs in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gt", type=Path, required=True, help="folder of annotated sequences")
    parser.add_argument("--pred", type=Path, required=True, help="folder of predicted sequences")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the result")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        own, peer = _programs(args, Path(folder))
        for _ in range(args.runs + 1):  # the first run warms the file cache
            own.run()
            peer.run()
        difference = _difference(json.loads(own.out.read_text()), json.loads(peer.out.read_text()))
    result = _result(own, peer, difference)
    _print(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def _programs(args: argparse.Namespace, folder: Path) -> tuple[Program, Program]:
    (folder / "peer.py").write_text(PEER)
    gt, pred, processes = str(args.gt), str(args.pred), str(args.processes)
    own = ["-m", "sam2v.cli.main", "eval", "score", pred, gt, "--workers", processes]
    own += ["--json", str(folder / "own.json")]
    peer = [str(folder / "peer.py"), gt, pred, processes, str(folder / "peer.json")]
    return (
        Program("sam2v eval score", [sys.executable, *own], folder / "own.json"),
        Program("vos-benchmark", [sys.executable, *peer], folder / "peer.json"),
    )


def _difference(own: dict[str, Any], peer: dict[str, list[list[float]]]) -> float:
    """Largest difference of any object's mean J or F, fractions."""
    worst = 0.0
    for name, sequence in own["sequences"].items():
        for index, objects in enumerate(sequence["objects"].values()):
            for kind, key in enumerate(("J_mean", "F_mean")):
                worst = max(worst, abs(objects[key] - peer[name][kind][index] / 100))
    return worst


def _result(own: Program, peer: Program, difference: float) -> dict[str, Any]:
    programs = {
        program.name: {
            "wall_s": statistics.median(program.wall[1:]),
            "processor_s": statistics.median(program.processor[1:]),
        }
        for program in (own, peer)
    }
    ratios = {key: programs[peer.name][key] / programs[own.name][key] for key in ("wall_s", "processor_s")}
    return {"programs": programs, "ratio": ratios, "largest_difference": difference, "runs": len(own.wall) - 1}


def _print(result: dict[str, Any]) -> None:
    print(f"{'':<20}{'wall s':>10}{'processor s':>14}")
    for name, values in result["programs"].items():
        print(f"{name:<20}{values['wall_s']:10.2f}{values['processor_s']:14.2f}")
    ratio = result["ratio"]
    print(f"{'times faster':<20}{ratio['wall_s']:10.2f}{ratio['processor_s']:14.2f}")
    print(f"largest difference of an object's mean J or F: {result['largest_difference']:.1e}")


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}


if __name__ == "__main__":
    main()
