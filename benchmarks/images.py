"""Speed of images beside the peers: encoding one, and from a click on an encoded one to its masks.

    python -m benchmarks.images --peers sam2,transformers --model sam2.1_hiera_tiny --dtype float32,bfloat16

For every precision each program is started in a process of its own; then they take turns, call by call, a different one
first each time. All get the same weights, picture and clicks. Columns of the table:

    encode ms       median time from an H x W x 3 array to its features, resizing included
    click ms        median time from one click to three masks at the picture's size, as numpy arrays
    processor ms    likewise of all processors together, which other work on the machine hardly changes
    sam2v faster    the program's time over sam2v's
    peak, beyond    MB: the process's peak after loading, and that above the loaded model (--device cuda: of tensors)
    to f32, to own  mean IoU of the masks and largest difference of the low-resolution logits (clamped to +-32), over
                    all clicks: to sam2v in float32, and to sam2v in the same precision

transformers gets its network input and its click as ready tensors, and its masks are enlarged with one call: what its
processor costs on top is left out. With --compile transformers has no compiled form, and the reference compiles its
image encoder. Needs `pip install rf-sam-2 transformers`; run it from a checkout.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import disc_centres, drawn_frames, machine, table
from benchmarks.programs import (
    IMAGE,
    OWN,
    Point,
    Setup,
    add_speed_arguments,
    choose_peers,
    image_size_of,
    make_setup,
    precisions,
    write_weights,
)
from benchmarks.report import Agreement, Bars, short, write_results
from benchmarks.turns import Company, Worker, company

#: Calls of each kind that warm the program up and are not counted.
WARM = 2
_HEIGHT, _WIDTH, _DISCS = 720, 1280, 2
_KINDS = ("encode", "click")


class ImageWorker(Worker):
    """An image predictor in its own process.

    Args:
        setup: which program, and how.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(IMAGE, setup)
        self._picture = drawn_frames(1, _HEIGHT, _WIDTH, _DISCS)[0]

    def encode(self) -> dict[str, float]:
        """Encode the picture; its times."""
        return self.timed(lambda: self.program.encode(self._picture))[1]

    def click(self, place: Point) -> tuple[np.ndarray, dict[str, float]]:
        """Click on the encoded picture; the logits and the times."""
        return self.timed(lambda: self.program.click(place))


def make_worker(setup: Setup) -> ImageWorker:
    """The worker of a child process."""
    return ImageWorker(setup)


@dataclass
class Run:
    """One program in one precision.

    Attributes:
        times: of every call, by kind ("encode", "click"), in milliseconds.
        memory: peaks in MB, see `benchmarks.turns.Worker`.
        to_float32, to_own: agreement with sam2v in float32, and with sam2v in the same precision.
        failure: why it did not finish, if so.
    """

    times: dict[str, list[dict[str, float]]] = field(default_factory=lambda: {kind: [] for kind in _KINDS})
    memory: dict[str, float] = field(default_factory=dict)
    to_float32: Agreement = field(default_factory=Agreement)
    to_own: Agreement = field(default_factory=Agreement)
    failure: str | None = None

    def median(self, kind: str, clock: str = "ms") -> float:
        """Median milliseconds of a kind of call, by the clock or ("processor_ms") on processors."""
        return statistics.median(times[clock] for times in self.times[kind][WARM:])

    def to_json(self) -> dict[str, Any]:
        """Everything, for the result file."""
        if self.failure:
            return {"failure": self.failure}
        about: dict[str, Any] = {f"{kind}_ms": self.median(kind) for kind in _KINDS}
        about |= {f"{kind}_processor_ms": self.median(kind, "processor_ms") for kind in _KINDS} | self.memory
        masks = {"to_sam2v_float32": self.to_float32.summary(), "to_sam2v_same_dtype": self.to_own.summary()}
        return about | masks | {"calls": self.times}


Case = dict[str, Run]
Logits = list[np.ndarray]


def clicks(count: int) -> list[Point]:
    """Places on the picture, in pixels: the discs' centres, and around them."""
    centres = disc_centres(0.0, _HEIGHT, _WIDTH, _DISCS)
    turns = [2.4 * number for number in range(count)]
    reach = [(number // _DISCS) * 9.0 % 250 for number in range(count)]
    return [
        (x + r * float(np.cos(turn)), y + r * float(np.sin(turn)))
        for turn, r, (x, y) in zip(turns, reach, [centres[n % _DISCS] for n in range(count)])
    ]


def run_case(args: argparse.Namespace, setups: list[Setup], exact: Logits | None) -> tuple[Case, Logits]:
    """All programs in turn; also what sam2v answered, for later cases.

    Args:
        args: the command line.
        setups: the programs.
        exact: sam2v's answers in float32; None in the first case, whose own they are.
    """
    dtype, case = setups[0].dtype, {setup.program: Run() for setup in setups}
    print(f"{dtype}: loading {', '.join(case)}", file=sys.stderr, flush=True)
    answers: Logits = []
    with company(make_worker, setups) as together:
        for number in range(WARM + args.encodes):
            for name, times in together.each("encode").items():
                case[name].times["encode"].append(times)
            _say(f"{dtype}, encoding {number}", case, "encode")
        for place in clicks(WARM + args.clicks):
            answers += _click(case, together, place, exact[len(answers)] if exact else None)
        _say(f"{dtype}, last click", case, "click")
        for name, memory in together.each("memory").items():
            case[name].memory = memory
        for name, reason in together.failures.items():
            case[name].failure = reason
    if failure := case[OWN].failure:
        raise SystemExit(f"sam2v failed: {failure}")
    return case, answers


def _click(case: Case, together: Company, place: Point, exact: np.ndarray | None) -> Logits:
    """One click by everyone; sam2v's answer."""
    answers = together.each("click", place)
    own = answers[OWN][0] if OWN in answers else None
    reference = own if exact is None else exact
    for name, (logits, times) in answers.items():
        case[name].times["click"].append(times)
        if reference is not None and logits is not reference:
            case[name].to_float32.add(reference, logits)
        if own is not None and name != OWN:
            case[name].to_own.add(own, logits)
    return [] if own is None else [own]


def _say(what: str, case: Case, kind: str) -> None:
    times = ", ".join(f"{name} {run.times[kind][-1]['ms']:.0f}" for name, run in case.items() if run.times[kind])
    print(f"{what}: {times} ms", file=sys.stderr, flush=True)


# -- what is printed ---------------------------------------------------------------------------------------------------

_HEAD = ["dtype", "program", "encode ms", "processor ms", "sam2v faster", "click ms", "processor ms", "sam2v faster"]
_HEAD += ["peak MB", "beyond MB", "IoU to f32", "logits to f32", "IoU to own", "logits to own"]


def _rows(dtype: str, case: Case) -> Iterator[list[str]]:
    for name, run in case.items():
        if run.failure:
            yield [dtype, name, f"failed: {run.failure}", *["-"] * (len(_HEAD) - 3)]
            continue
        cells = []
        for kind in _KINDS:
            faster = "-" if name == OWN else f"{_faster(case, name)[kind]:.2f}x"
            cells += [short(run.median(kind)), short(run.median(kind, "processor_ms")), faster]
        held = [f"{run.memory[key]:.0f}" for key in ("peak_mb", "beyond_model_mb")]
        yield [dtype, name, *cells, *held, *run.to_float32.cells(), *run.to_own.cells()]


def _faster(case: Case, peer: str) -> dict[str, float]:
    """How many times as fast sam2v is as a peer, by kind of call."""
    return {kind: case[peer].median(kind) / case[OWN].median(kind) for kind in _KINDS}


def _write(args: argparse.Namespace, cases: dict[str, Case], about: str) -> None:
    found = {dtype: {name: run for name, run in case.items() if not run.failure} for dtype, case in cases.items()}
    result = {
        "about": about,
        "arguments": {key: str(value) for key, value in vars(args).items()},
        "warm_calls": WARM,
        "cases": [
            {
                "dtype": dtype,
                "programs": {name: run.to_json() for name, run in case.items()},
                "sam2v_faster": {name: _faster(case, name) for name in found[dtype] if name != OWN},
            }
            for dtype, case in cases.items()
        ],
    }
    titles = {"encode": "encoding an image", "click": "a click to its masks"}
    groups = [
        Bars(f"{dtype}, {titles[kind]}", {name: run.median(kind) for name, run in found[dtype].items()})
        for dtype in cases
        for kind in _KINDS
    ]
    write_results(args.out, "images", result, groups, about, "milliseconds")


def main() -> None:
    """Run all precisions and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_speed_arguments(parser)
    parser.add_argument("--encodes", type=int, default=7, help=f"counted encodings, after {WARM} to warm up")
    parser.add_argument("--clicks", type=int, default=40, help=f"counted clicks, after {WARM} to warm up")
    args = parser.parse_args()
    if min(args.encodes, args.clicks) < 1:
        parser.error("--encodes and --clicks must be at least 1")
    torch.set_num_threads(args.threads)
    dtypes, programs = precisions(args), [OWN, *choose_peers(args.peers, args.model)]
    cases: dict[str, Case] = {}
    exact: Logits | None = None
    with tempfile.TemporaryDirectory() as name:
        weights = Path(name) / "weights.pt"
        write_weights(weights, args.model, args.checkpoint, args.salt)
        if "float32" not in dtypes:  # to have something exact to compare with
            exact = run_case(args, [make_setup(args, OWN, "float32", weights)], None)[1]
        for dtype in dtypes:
            setups = [make_setup(args, program, dtype, weights) for program in programs]
            cases[dtype], answers = run_case(args, setups, exact)
            exact = exact or answers
    size = args.image_size or image_size_of(args.model)
    about = f"{args.model} at {size}, a picture of {_WIDTH} x {_HEIGHT}; {machine(args.device)}"
    print(table(_HEAD, [row for dtype, case in cases.items() for row in _rows(dtype, case)], words=2))
    if args.compile and "transformers" in programs:
        print("\n- note: transformers has no compiled form: it ran as it is")
    print(f"\n{about}")
    if args.out:
        _write(args, cases, about)


if __name__ == "__main__":
    main()
