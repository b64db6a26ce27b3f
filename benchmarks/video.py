"""Speed, memory and masks of video tracking beside the peers: same weights, same frames, same clicks, in turn.

    python -m benchmarks.video --peers sam2,transformers --model sam2.1_hiera_tiny --objects 1,4,16 \\
        --dtype float32,bfloat16

For every case (precision, number of objects) each program is started in a process of its own; then all track the same
frame one after another, a different one first each time. Columns of the table:

    ms/frame        median of the frames after the memory bank is full (from the ninth frame on)
    processor ms    likewise of all processors together, which other work on the machine hardly changes
    sam2v faster    the program's time over sam2v's
    GFLOP           operations of one such frame, counted once per program in its first precision
    of peak         GFLOP over time, as a share of the best product of two square matrices in that precision; a program
                    that gets by with fewer operations may be faster at a smaller share
    first mask      seconds from a loaded model to the answer of the clicks; the peers read the whole clip here
    peak, beyond    MB: the process's peak after loading, and that above the loaded model (--device cuda: of tensors)
    growth          MB per frame between the first measured frame and the last
    to f32, to own  mean IoU of the masks and largest difference of the logits at the video's size, over all tracked
                    frames: to sam2v in float32, and to sam2v in the same precision

With --clip 200 the clip has 200 frames, of which --frames are tracked: peaks then show what its length alone costs. The
peers' grow with every tracked frame besides; sam2v's by at most the 256 MB of results that a session keeps in memory.

The peers round memories to bfloat16 in every precision; --float32-memories keeps them from it, so that only the order
of arithmetic is left to differ. With --compile the reference is its vos_optimized predictor, transformers has none.
Needs `pip install rf-sam-2 transformers`; run it from a checkout. See benchmarks/programs.py for what is called.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import disc_centres, drawn_frames, machine, product_peak, table, write_frames
from benchmarks.programs import (
    OWN,
    VIDEO,
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
from benchmarks.turns import Company, ProgramError, Worker, company, resident
from sam2v.model.offered import ABSENT_LOGIT

#: Frames until the bank holds seven memories and a frame has read them all: the clicked one and seven tracked ones.
WARM = 8
_HEIGHT, _WIDTH = 360, 640


class VideoWorker(Worker):
    """A tracker in its own process.

    Args:
        setup: which program, and how.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(VIDEO, setup)
        self._file = f"{setup.program}.npy"

    def start(self, frames: Path, clicks: list[Point]) -> float:
        """Open the clip and click; the seconds that took."""
        return self.timed(lambda: self.program.start(frames, clicks))[1]["ms"] / 1000

    def step(self, folder: Path) -> dict[str, float]:
        """Track one frame, write its logits into `folder`; its times and the MB held after it."""
        masks, times = self.timed(self.program.step)
        np.save(folder / self._file, masks.float().cpu().numpy())
        return times | {"resident_mb": resident(self.device)}

    def count(self) -> float:
        """Track one more frame and count its operations, in GFLOP."""
        return self.gflop(self.program.step)


def make_worker(setup: Setup) -> VideoWorker:
    """The worker of a child process."""
    return VideoWorker(setup)


@dataclass
class Run:
    """One program in one case.

    Attributes:
        load_s: seconds to load the model. start_s: seconds to open the clip and answer the clicks.
        steps: times and memory of every frame, from the clicked one on.
        memory: peaks in MB, see `benchmarks.turns.Worker`.
        gflop: operations of a frame with a full bank; None when they were not counted.
        to_float32, to_own: agreement with sam2v in float32, and with sam2v in the same precision.
        area: share of the picture's pixels inside the masks, of every frame.
        absent: objects that were clicked and answered with "not there", whose masks say nothing.
        failure: why it did not finish, if so.
    """

    load_s: float = float("nan")
    start_s: float = float("nan")
    steps: list[dict[str, float]] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    gflop: float | None = None
    to_float32: Agreement = field(default_factory=Agreement)
    to_own: Agreement = field(default_factory=Agreement)
    area: list[float] = field(default_factory=list)
    absent: int = 0
    failure: str | None = None

    def measured(self) -> list[dict[str, float]]:
        """The frames that count: those after the warm ones or, in a shorter clip, the last."""
        return self.steps[WARM:] or self.steps[-1:]

    @property
    def ms(self) -> float:
        """Median milliseconds per frame."""
        return statistics.median(step["ms"] for step in self.measured())

    @property
    def processor_ms(self) -> float:
        """Median milliseconds of all processors together per frame: other work on the machine hardly changes it."""
        return statistics.median(step["processor_ms"] for step in self.measured())

    @property
    def growth_mb(self) -> float | None:
        """MB per frame over the measured frames; None for a single one."""
        held = [step["resident_mb"] for step in self.measured()]
        return (held[-1] - held[0]) / (len(held) - 1) if len(held) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Everything, for the result file."""
        if self.failure:
            return {"failure": self.failure}
        about = {"ms_per_frame": self.ms, "processor_ms_per_frame": self.processor_ms, "gflop_per_frame": self.gflop}
        about |= {"load_s": self.load_s, "first_mask_s": self.start_s, "growth_mb_per_frame": self.growth_mb}
        about |= self.memory
        masks = {"to_sam2v_float32": self.to_float32.summary(), "to_sam2v_same_dtype": self.to_own.summary()}
        return about | masks | {"mask_area": self.area, "absent": self.absent, "frames": self.steps}


@dataclass
class Case:
    """A precision and a number of objects; `peak` is the measured GFLOP/s of a product in that precision."""

    dtype: str
    objects: int
    runs: dict[str, Run]
    peak: float = float("nan")

    @property
    def title(self) -> str:
        """A line about it."""
        return f"{self.dtype}, {self.objects} object{'s' if self.objects > 1 else ''}"

    def share(self, run: Run) -> float | None:
        """A run's share of the peak."""
        return None if run.gflop is None else run.gflop / (run.ms / 1000) / self.peak

    def faster(self, run: Run) -> float:
        """How many times as fast sam2v is."""
        return run.ms / self.runs[OWN].ms


class Bench:
    """The clip and the weights in a temporary folder, and what is known from earlier cases.

    Args:
        args: the command line.
        folder: the temporary folder.
    """

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.folder = args, folder
        self.counts = sorted({int(text) for text in args.objects.split(",")})
        self.frames = folder / "frames"
        self.weights = folder / "weights.pt"
        self._gflop: dict[tuple[str, int], float] = {}
        self._peaks: dict[str, float] = {}
        write_weights(self.weights, args.model, args.checkpoint, args.salt)
        count = max(args.frames + 1, args.clip)  # at least one more, to count operations on
        write_frames(self.frames, drawn_frames(count, _HEIGHT, _WIDTH, self.counts[-1]))

    def clicks(self, objects: int) -> list[Point]:
        """Where the objects are on the first frame."""
        return disc_centres(0.0, _HEIGHT, _WIDTH, self.counts[-1])[:objects]

    def run(self, dtype: str, objects: int, programs: list[str]) -> Case:
        """Track the clip with all programs in turn."""
        case = Case(dtype, objects, {name: Run() for name in programs})
        print(f"{case.title}: loading {', '.join(programs)}", file=sys.stderr, flush=True)
        self._measure_product(dtype)
        more = {"float32_memories": self.args.float32_memories}
        setups = [make_setup(self.args, name, dtype, self.weights, **more) for name in programs]
        with company(make_worker, setups) as together:
            self._track(case, together)
            self._count(case, together)
            for name, reason in together.failures.items():
                case.runs[name].failure = reason
        if failure := case.runs[OWN].failure:
            raise SystemExit(f"sam2v failed: {failure}")
        self._measure_product(dtype)
        return case

    def run_all(self, dtypes: list[str], programs: list[str]) -> list[Case]:
        """All cases, each precision for every number of objects."""
        if "float32" not in dtypes:
            for objects in self.counts:  # to have something exact to compare with
                self.run("float32", objects, [OWN])
        cases = [self.run(dtype, objects, programs) for dtype in dtypes for objects in self.counts]
        for case in cases:
            case.peak = self._peaks[case.dtype]
        return cases

    def _measure_product(self, dtype: str) -> None:
        """Keep the best product of the whole run: one time alone may fall together with other work."""
        found = product_peak(getattr(torch, dtype), self.args.device)
        self._peaks[dtype] = max(found, self._peaks.get(dtype, 0.0))

    def _track(self, case: Case, together: Company) -> None:
        for name, seconds in together.load_s.items():
            case.runs[name].load_s = seconds
        for name, seconds in together.each("start", self.frames, self.clicks(case.objects)).items():
            case.runs[name].start_s = seconds
        for number in range(self.args.frames):
            steps = together.each("step", self.folder)
            for name, step in steps.items():
                case.runs[name].steps.append(step)
            self._compare(case, number, list(steps))
            times = ", ".join(f"{name} {steps[name]['ms']:.0f}" for name in case.runs if name in steps)
            print(f"{case.title}, frame {number}: {times} ms", file=sys.stderr, flush=True)
        for name, memory in together.each("memory").items():
            case.runs[name].memory = memory

    def _compare(self, case: Case, number: int, programs: list[str]) -> None:
        """Compare what the programs have just written; frame 0 was clicked, not tracked."""
        masks = {name: np.load(self.folder / f"{name}.npy") for name in programs}
        reference = self.folder / f"float32_{case.objects}_{number}.npy"
        if case.dtype == "float32" and OWN in masks:
            (self.folder / f"{OWN}.npy").replace(reference)
        exact = np.load(reference) if reference.exists() else None
        for name, logits in masks.items():
            run = case.runs[name]
            run.area.append(float((logits > 0).mean()))
            if number == 0:
                run.absent = int((logits.max(axis=(1, 2)) <= ABSENT_LOGIT).sum())
                continue
            if exact is not None and (name, case.dtype) != (OWN, "float32"):
                run.to_float32.add(exact, logits)
            if name != OWN and OWN in masks:
                run.to_own.add(masks[OWN], logits)

    def _count(self, case: Case, together: Company) -> None:
        """Operations of a frame, by each program itself and once: they do not depend on the precision."""
        if self.args.frames < WARM:
            return  # a bank that is not full reads less
        wanted = [name for name in together.children if (name, case.objects) not in self._gflop]
        if not self.args.compile:
            self._ask_gflop(case.objects, together, wanted)
        elif wanted:
            # compiled code cannot be looked into: count on the same programs as they are
            setups = [make_setup(self.args, name, "float32", self.weights, compiled=False) for name in wanted]
            with company(make_worker, setups) as plain:
                plain.each("start", self.frames, self.clicks(case.objects))
                for _ in range(WARM):
                    plain.each("step", self.folder)
                self._ask_gflop(case.objects, plain, wanted)
        for name, run in case.runs.items():
            run.gflop = self._gflop.get((name, case.objects))

    def _ask_gflop(self, objects: int, together: Company, programs: list[str]) -> None:
        for name in programs:
            with contextlib.suppress(ProgramError, KeyError):  # times are worth having without the count
                self._gflop[name, objects] = together.children[name].call("count")


# -- what is printed ---------------------------------------------------------------------------------------------------

_HEAD = ["case", "program", "ms/frame", "processor ms", "sam2v faster", "GFLOP", "of peak", "first mask s"]
_HEAD += ["peak MB", "beyond MB", "growth MB", "IoU to f32", "logits to f32", "IoU to own", "logits to own"]


def _rows(case: Case) -> Iterator[list[str]]:
    for name, run in case.runs.items():
        if run.failure:
            yield [case.title, name, f"failed: {run.failure}", *["-"] * (len(_HEAD) - 3)]
            continue
        faster = "-" if name == OWN else f"{case.faster(run):.2f}x"
        share = case.share(run)
        work = ["-", "-"] if share is None else [short(run.gflop or 0.0), f"{100 * share:.0f}%"]
        growth = "-" if run.growth_mb is None else f"{run.growth_mb:.1f}"
        held = [f"{run.memory['peak_mb']:.0f}", f"{run.memory['beyond_model_mb']:.0f}", growth]
        same = [*run.to_float32.cells(), *run.to_own.cells()]
        yield [
            case.title,
            name,
            short(run.ms),
            short(run.processor_ms),
            faster,
            *work,
            f"{run.start_s:.2f}",
            *held,
            *same,
        ]


def _ratios(case: Case) -> Iterator[str]:
    """One line on every peer."""
    own = case.runs[OWN]
    for name, run in case.runs.items():
        if name != OWN and not run.failure:
            peak, beyond = (own.memory[key] / run.memory[key] for key in ("peak_mb", "beyond_model_mb"))
            first = run.start_s / own.start_s
            yield (
                f"{case.title}, against {name}: {case.faster(run):.2f} times as fast"
                f" ({run.processor_ms / own.processor_ms:.2f} by processor time), first mask {first:.2f} times as soon,"
                f" {peak:.2f} of the peak memory ({beyond:.2f} beyond the model)"
            )


def _cautions(args: argparse.Namespace, cases: list[Case]) -> Iterator[str]:
    """What a reader of the numbers should know."""
    measured = args.frames - WARM
    if measured < 1:
        yield f"only {args.frames} frames: the bank never fills, the last frame is what was timed"
    elif measured < 5:
        yield f"medians of only {measured} frame{'s' if measured > 1 else ''}: --frames {WARM + 9} would steady them"
    if any((case.share(run) or 0) > 1 for case in cases for run in case.runs.values() if not run.failure):
        yield "a share above 100%: other work slowed the product down whenever it was measured"
    areas = [share for case in cases for share in case.runs[OWN].area[1:]]
    if areas and not 0.001 < float(np.mean(areas)) < 0.999:
        yield "the masks are almost empty or almost everything, so their IoU says little"
    for case in cases:
        if absent := case.runs[OWN].absent:
            yield f"{case.title}: {absent} answered with 'not there', so their masks say little (see --salt)"
    if args.compile and "transformers" in args.peers:
        yield "transformers has no compiled video predictor: it ran as it is"
    if not args.float32_memories and len(cases[0].runs) > 1:
        yield "the peers round memories to bfloat16, as they ship (see --float32-memories)"


def _print(args: argparse.Namespace, cases: list[Case], about: str) -> None:
    print(table(_HEAD, [row for case in cases for row in _rows(case)], words=2))
    print()
    for case in cases:
        for line in _ratios(case):
            print(f"- {line}")
    for line in _cautions(args, cases):
        print(f"- note: {line}")
    peaks = {case.dtype: case.peak for case in cases}
    print(f"\n{about}; products: {', '.join(f'{name} {peak:.0f} GFLOP/s' for name, peak in peaks.items())}")


def _write(args: argparse.Namespace, cases: list[Case], about: str) -> None:
    result = {
        "about": about,
        "arguments": {key: str(value) for key, value in vars(args).items()},
        "warm_frames": WARM,
        "cases": [
            {
                "dtype": case.dtype,
                "objects": case.objects,
                "product_gflop_per_s": case.peak,
                "programs": {name: run.to_json() for name, run in case.runs.items()},
                "sam2v_faster": {n: case.faster(r) for n, r in case.runs.items() if n != OWN and not r.failure},
                "share_of_peak": {n: case.share(r) for n, r in case.runs.items() if not r.failure},
            }
            for case in cases
        ],
    }
    groups = [Bars(case.title, {n: r.ms for n, r in case.runs.items() if not r.failure}) for case in cases]
    write_results(args.out, "video", result, groups, about, "milliseconds per frame, memory bank full")


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_speed_arguments(parser)
    parser.add_argument("--objects", default="1", help="comma-separated numbers of objects")
    parser.add_argument("--frames", type=int, default=WARM + 2, help=f"of which the first {WARM} fill the bank")
    parser.add_argument("--clip", type=int, default=0, help="length of the clip, if more than what is tracked of it")
    parser.add_argument("--float32-memories", action="store_true", help="keep the peers from rounding memories")
    args = parser.parse_args()
    if args.frames < 2:
        parser.error("--frames must be at least 2")
    torch.set_num_threads(args.threads)
    dtypes, programs = precisions(args), [OWN, *choose_peers(args.peers, args.model)]
    with tempfile.TemporaryDirectory() as name:
        cases = Bench(args, Path(name)).run_all(dtypes, programs)
    size = args.image_size or image_size_of(args.model)
    about = f"{args.model} at {size}, {args.frames} frames of {_WIDTH} x {_HEIGHT}; {machine(args.device)}"
    _print(args, cases, about)
    if args.out:
        _write(args, cases, about)


if __name__ == "__main__":
    main()
