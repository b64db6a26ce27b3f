"""The data engine: what many records cost, and what a cycle of annotating and training saves.

    python -m benchmarks.data_engine records --videos 10000
    python -m benchmarks.data_engine cycle --clips 30 --steps 300 --out outputs/cycle

`records` makes a project of videos without pixels and gives, in seconds, making it, status, the next task (the median
of a hundred, each handed in) and the plan of an export, with resident memory before and after.

`cycle` has simulated annotators annotate drawn clips of a kind that the embedded model is bad at (six figures in high
grass), verifies, trains `finetune_project` on what was verified, and annotates as many other clips twice: with the
model as it was, and as it is then.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.common import machine, table
from sam2v.cli.progress import resident_megabytes
from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.comparison import write_frames
from sam2v.data_engine.export_plan import plan_export
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.queue import Queue
from sam2v.data_engine.simulated import Manner, SimulatedAnnotator, SimulatedVerifier
from sam2v.data_engine.status import status_of
from sam2v.data_engine.tools import ModelSpec
from sam2v.data_engine.work import Act, Work
from sam2v.evaluation.drawn import drawn_videos

Found = TypeVar("Found")
_TASKS = 100


def main() -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    records = commands.add_parser("records")
    records.add_argument("--videos", type=int, default=10_000)
    records.set_defaults(run=run_records)
    cycle = commands.add_parser("cycle")
    cycle.add_argument("--clips", type=int, default=30)
    cycle.add_argument("--frames", type=int, default=48)
    cycle.add_argument("--phase", type=int, default=3)
    cycle.add_argument("--steps", type=int, default=300)
    cycle.add_argument("--checkpoint", default="auto")
    cycle.add_argument("--out", type=Path, required=True)
    cycle.set_defaults(run=run_cycle)
    args = parser.parse_args()
    print(machine())
    return int(args.run(args))


def run_records(args: argparse.Namespace) -> int:
    """A project of made-up records."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "videos").mkdir()
        for number in range(args.videos):
            (folder / "videos" / f"v{number:06d}.mp4").touch()
        before = resident_megabytes()
        project, made = timed(lambda: Project.create(folder / "p", [folder / "videos"]))
        with project:
            queue, who = Queue(project), project.annotator("somebody")
            nexts = [one_task(queue, who) for _ in range(_TASKS)]
            _, status = timed(lambda: status_of(project))
            _, plan = timed(lambda: plan_export(project, {"train": 0.8, "val": 0.1, "test": 0.1}, "annotated"))
        after = resident_megabytes()
    cells = [args.videos, f"{made:.2f}", f"{status:.3f}", f"{statistics.median(nexts):.3f}", f"{plan:.3f}"]
    head = ["videos", "make s", "status s", "next task s", "plan s", "MB before", "MB after"]
    print(table(head, [[*map(str, cells), f"{before:.0f}", f"{after:.0f}"]]))
    return 0


def one_task(queue: Queue, who: int) -> float:
    """Seconds that the next task takes to come; it is handed in."""
    task, seconds = timed(lambda: queue.take(who, "annotate"))
    assert task is not None
    mask = np.zeros((48, 64), bool)
    mask[8:20, 8:20] = True
    queue.submit(task, Work(MaskletMasks.of({0: mask}, (48, 64)), [Act(0, "mask")]))
    return seconds


def run_cycle(args: argparse.Namespace) -> int:
    """Annotate, train, annotate."""
    from sam2v.training.config import load_train_config
    from sam2v.training.loop import train

    before = ModelSpec(checkpoint=args.checkpoint)
    rows = [annotated("first-before", before, args, 0)]
    overrides = [f"sources.0.root={args.out / 'first-before'}", f"out={args.out / 'run'}"]
    overrides += [f"stages.0.steps={args.steps}", f"checkpoint={args.checkpoint}"]
    train(load_train_config("finetune_project", overrides), device="cpu")
    after = ModelSpec(checkpoint=str(args.out / "run" / "last.safetensors"))
    rows += [annotated("other-before", before, args, args.clips)]
    rows += [annotated("other-after", after, args, args.clips)]
    print(table(["", "masklets", "edits per masklet", "edited frames %", "clicks per masklet", "verified"], rows))
    return 0


def annotated(name: str, model: ModelSpec, args: argparse.Namespace, first: int) -> list[str]:
    """Annotate and verify drawn clips in a project of that name; a row of the table."""
    videos = {video.name: video for video in drawn_videos(args.clips, first, args.frames)}
    folder = args.out / "videos" / str(first)
    for video in videos.values():
        if not (folder / video.name).exists():
            write_frames(folder / video.name, video.source)
    truths: dict[str, Any] = dict(videos)
    with Project.create(args.out / name, [folder], Settings(args.phase, 6.0, 1)) as project:
        queue = Queue(project)
        annotator = SimulatedAnnotator(queue, "annotator", model.load(), truths, Manner())
        verifier = SimulatedVerifier(queue, "verifier", truths, 0.5)
        while annotator.work_once():
            pass
        while verifier.work_once():
            pass
        status = status_of(project)
    costs = status.phases[args.phase]
    numbers = (costs.edited / costs.masklets, 100 * costs.edited_share, (costs.clicks + costs.strokes) / costs.masklets)
    return [
        name,
        str(costs.masklets),
        *(f"{n:.2f}" for n in numbers),
        str(status.masklets["manual"].get("verified", 0)),
    ]


def timed(work: Callable[[], Found]) -> tuple[Found, float]:
    """What a call gives, and the seconds that it took."""
    began = time.perf_counter()
    found = work()
    return found, time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
