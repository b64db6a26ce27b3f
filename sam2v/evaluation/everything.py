"""Everything in a video, found without a prompt: how much of what is annotated is among it.

Object ids and classes do not count. Where the annotation covers everything (drawn clips) what was found beyond it
counts against a method; elsewhere nobody can say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sam2v.automatic.masklet_options import MaskletOptions
from sam2v.backends.base import Backend
from sam2v.evaluation.finders import METHODS, Method, find_everything
from sam2v.evaluation.metrics import Mask
from sam2v.evaluation.stamps import key_of
from sam2v.evaluation.tubes import Tubes, TubeScores
from sam2v.files import write_text
from sam2v.jobs import pool
from sam2v.jobs.run import Run
from sam2v.model.network import Sam2Network

#: Thresholds that average recall is the mean over, as COCO has them.
THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))

Model = Sam2Network | Backend


class AnnotatedVideo(Protocol):
    """What is asked of a video: a data set's record, or a `DrawnVideo`."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def source(self) -> Any:
        """What `sam2v.AutomaticMasklets.track` opens."""

    @property
    def annotated(self) -> tuple[int, ...]:
        """Frames with annotation, ascending."""

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, Mask]:
        """Object id -> H x W bool of the objects that an annotated frame shows."""


@dataclass(frozen=True)
class Findings:
    """What one method found in all videos.

    Attributes:
        method: its name. videos: the scores, by video. complete: whether the annotation covers everything.
    """

    method: Method
    videos: Mapping[str, TubeScores]
    complete: bool

    def tube_recall(self, at: float = 0.5) -> float:
        """The share of all objects that some masklet covers with a tube IoU from `at` on."""
        return _share((iou for scores in self.videos.values() for iou in scores.tubes), at)

    def frame_recall(self, at: float = 0.5) -> float:
        """The share of all appearances of objects on frames that some mask covers with an IoU from `at` on."""
        return _share((iou for scores in self.videos.values() for iou in scores.frames), at)

    @property
    def precision(self) -> float:
        """The share of masklets that are an object, with a tube IoU from 0.5 on, each of another one; those of the
        scenery do not count. NaN where the annotation does not cover all objects."""
        masklets = self._sum("masklets") - self._sum("scenery")
        return self._sum("hits") / masklets if masklets and self.complete else math.nan

    def summary(self) -> dict[str, float]:
        """All numbers, fractions but for the counts."""
        average = {
            "average_tube_recall": float(np.mean([self.tube_recall(at) for at in THRESHOLDS])),
            "average_frame_recall": float(np.mean([self.frame_recall(at) for at in THRESHOLDS])),
        }
        matched = self._sum("matched")
        counts = {name: self._sum(name) for name in ("switches", "masklets", "scenery")}
        return {
            "objects": sum(len(scores.tubes) for scores in self.videos.values()),
            "tube_recall_50": self.tube_recall(0.5),
            "tube_recall_75": self.tube_recall(0.75),
            "frame_recall_50": self.frame_recall(0.5),
            "frame_recall_75": self.frame_recall(0.75),
            **average,
            **counts,
            "matched_frames": matched,
            "switches_per_1000": 1000 * counts["switches"] / matched if matched else math.nan,
            "precision": self.precision,
            **self._hota(),
        }

    def _sum(self, name: str) -> int:
        return sum(getattr(scores, name) for scores in self.videos.values())

    def _hota(self) -> dict[str, float]:
        """Means over videos."""
        known = [scores.hota for scores in self.videos.values() if scores.hota]
        return {name: float(np.mean([hota[name] for hota in known])) for name in (known[0] if known else ())}


def evaluate_everything(
    model: Model | Callable[[], Model],
    videos: Sequence[AnnotatedVideo],
    options: MaskletOptions | None = None,
    *,
    methods: Sequence[Method] = tuple(METHODS),
    complete: bool = False,
    run: Run | None = None,
) -> dict[Method, Findings]:
    """Let methods find everything in videos, and score what they find.

    Args:
        model: a model, or a function without arguments that gives one (which worker processes need).
        videos: with annotated frames.
        options: how masks are proposed and objects kept, the same for all methods.
        methods: keys of `METHODS`.
        complete: whether the annotation covers everything, so that precision and HOTA (with trackeval installed) mean
            something.
        run: processes, ranks, progress bar, resuming.

    Raises:
        ValueError: no video, or an unknown method.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise ValueError(f"unknown method {', '.join(unknown)!r}; accepted: {', '.join(METHODS)}")
    if not videos:
        raise ValueError("no video to find everything in")
    run = run or Run()
    task = _Task(options or MaskletOptions(), complete)
    jobs = [_FindJob(video, model, method, task, run) for method in methods for video in videos]
    results = iter(run.jobs(jobs))
    return {method: Findings(method, {video.name: next(results) for video in videos}, complete) for method in methods}


def table(found: Mapping[Method, Findings]) -> str:
    """The methods side by side; shares in percent."""
    columns = {
        "tube recall .5": "tube_recall_50",
        ".75": "tube_recall_75",
        "avg": "average_tube_recall",
        "frame recall .5": "frame_recall_50",
        ".75 ": "frame_recall_75",
        "avg ": "average_frame_recall",
        "switches": "switches",
        "/1000": "switches_per_1000",
        "masklets": "masklets",
        "precision": "precision",
        "HOTA": "HOTA",
    }
    summaries = {method: findings.summary() for method, findings in found.items()}
    known = {key for summary in summaries.values() for key, value in summary.items() if not math.isnan(value)}
    shown = {title: key for title, key in columns.items() if key in known}
    lines = ["method    " + "  ".join(title.strip().rjust(_width(title)) for title in shown)]
    for method, summary in summaries.items():
        cells = (_cell(key, summary.get(key, math.nan)).rjust(_width(title)) for title, key in shown.items())
        lines.append(f"{method:<10}" + "  ".join(cells))
    return "\n".join(lines)


def write_json(found: Mapping[Method, Findings], path: str | Path) -> None:
    """Write every method's summary and the scores of every video; NaN becomes null."""
    document = {
        method: {
            "summary": {k: None if math.isnan(v) else v for k, v in findings.summary().items()},
            "videos": {name: asdict(scores) for name, scores in findings.videos.items()},
        }
        for method, findings in found.items()
    }
    write_text(path, json.dumps(document, indent=1) + "\n")


@dataclass(frozen=True)
class _Task:
    """What is to be done with a video."""

    options: MaskletOptions
    complete: bool


_Argument = tuple[AnnotatedVideo, "Model | Callable[[], Model]", Method, _Task]


class _FindJob(pool.Job[_Argument, TubeScores, TubeScores]):
    """One video and one method."""

    def __init__(
        self, video: AnnotatedVideo, model: Model | Callable[[], Model], method: Method, task: _Task, run: Run
    ) -> None:
        self.argument: _Argument = (video, model, method, task)
        self.run, self.name, self.size = run, f"{method}-{video.name}", len(video.annotated)

    def chunks(self) -> list[tuple[_Argument, int]]:
        """A video cannot be cut."""
        return [(self.argument, self.size)]

    @staticmethod
    def work(argument: _Argument) -> TubeScores:
        """Find and score."""
        video, model, method, task = argument
        known = model if isinstance(model, Sam2Network | Backend) else model()
        tubes, annotated = Tubes(), set(video.annotated)
        for result in find_everything(method, known, video.source, task.options):
            if result.frame_idx in annotated:
                masks = dict(zip(result.obj_ids, result.binary(), strict=True))
                tubes.add(masks, video.masks(result.frame_idx))
                pool.advance()
        return tubes.scores(task.complete)

    def load(self) -> TubeScores | None:
        """An earlier run's scores."""
        part = self.run.load(self.name, *self._key)
        return TubeScores.from_part(part) if part else None

    def finish(self, results: list[TubeScores]) -> TubeScores:
        """Keep the scores."""
        self.run.save(self.name, results[0].to_part(), *self._key)
        return results[0]

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        video, _, method, task = self.argument
        return key_of(self.run, video, method, sorted(vars(task.options).items()), task.complete)


def _share(values: Iterable[float], at: float) -> float:
    """The share of values from `at` on; NaN of none."""
    array = np.fromiter(values, float)
    return float((array >= at).mean()) if array.size else math.nan


def _width(title: str) -> int:
    return max(5, len(title.strip()))


def _cell(key: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.0f}" if key in ("switches", "masklets") else f"{value if '1000' in key else 100 * value:.1f}"
