"""Annotators and verifiers who know the truth. They take tasks from the queue and work at the bench, as people do.

They click at the centre of the largest error, as in the interactive protocols of `sam2v.evaluation`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sqlalchemy import select

from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.bench import Bench, open_bench
from sam2v.data_engine.queue import Queue, Task, TaskTaken
from sam2v.data_engine.schema import Masklet, Revision
from sam2v.data_engine.scores import overlap
from sam2v.data_engine.tools import Tools
from sam2v.masks.clicks import Click, central_click
from sam2v.options import Options

#: Mean IoU from which on masks are those of a true object.
_SAME = 0.3


class Truth(Protocol):
    """A video whose objects are known, such as `sam2v.data.VideoRecord` and `sam2v.evaluation.drawn.DrawnVideo`."""

    @property
    def annotated(self) -> tuple[int, ...]:
        """Indices of the frames whose masks are known."""

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        """Object id -> H x W bool of the objects that are to be seen."""


@dataclass(frozen=True)
class Manner(Options):
    """How somebody who knows the truth annotates.

    Attributes:
        wrong: a frame whose mask has a lower IoU is edited. good: editing of a frame ends at this IoU.
        clicks: on a frame at most. strokes: of the brush after them at most.
        reach: how far a stroke goes, in sizes of the object (square roots of its area).
    """

    wrong: float = 0.75
    good: float = 0.85
    clicks: int = 6
    strokes: int = 12
    reach: float = 0.5

    def __post_init__(self) -> None:
        self.check_fractions(("wrong", "good", "reach"))
        self.check_whole(("clicks", "strokes"))
        self.check_least({"clicks": 1, "strokes": 0})


@dataclass(frozen=True)
class Verification(Options):
    """How simulated verifiers decide: the mean IoU that satisfies, and the share of wrong verdicts."""

    threshold: float = 0.5
    errors: float = 0.0

    def __post_init__(self) -> None:
        self.check_fractions(("threshold", "errors"))


class SimulatedAnnotator:
    """Annotates objects whose masks are known.

    Args:
        queue: of the project. name: of the annotator. tools: the model. truths: by the videos' names.
        manner: how they work.
    """

    def __init__(
        self, queue: Queue, name: str, tools: Tools, truths: Mapping[str, Truth], manner: Manner | None = None
    ) -> None:
        self.queue, self.tools, self.truths, self.manner = queue, tools, truths, manner or Manner()
        self.id = queue.project.annotator(name)
        self._meant: dict[int, int] = {}

    def work_once(self) -> bool:
        """Do the next task; False if there is none.

        Raises:
            KeyError: a video whose truth is not known. OSError, ValueError: a video that cannot be read; the task is
                given back.
        """
        task = self.queue.take(self.id, "annotate")
        if task is None:
            return False
        with _given_back(self.queue, task):
            self._do(task)
        return True

    def _do(self, task: Task) -> None:
        truth, settings = self.truths[task.video], self.queue.project.settings
        start = task.load()
        obj = self._object_of(task, truth, start)
        if obj is None:
            self.queue.reject(task, note="no object that nobody covers" if start is None else "no object")
            return
        self._meant[task.masklet_id] = obj
        with open_bench(settings.phase, self.tools, task.path, settings.rate, start) as bench:
            annotate(bench, truth, obj, self.manner)
            self.queue.submit(task, bench.done())

    def _object_of(self, task: Task, truth: Truth, start: MaskletMasks | None) -> int | None:
        """The true object of a task: the one that it was before, the one that its masks show, or of a new one the first
        that no masklet shows yet."""
        if task.masklet_id in self._meant:
            return self._meant[task.masklet_id]
        if start is not None:
            return _shown(truth, start)
        covered = {_shown(truth, masks) for masks in self._others(task)}
        known = (obj for index in truth.annotated for obj in truth.masks(index))
        return next((obj for obj in known if obj not in covered), None)

    def _others(self, task: Task) -> list[MaskletMasks]:
        """The masks of a video's other masklets, as far as they were not rejected."""
        rows = select(Revision.masks).join(Masklet, Masklet.revision_id == Revision.id)
        rows = rows.where(Masklet.video_id == task.video_id, Masklet.state != "rejected")
        project = self.queue.project
        return [MaskletMasks.load(project.file(n)) for n in project.database.read(lambda s: s.scalars(rows).all())]


class SimulatedVerifier:
    """Verifies masks against the truth, and errs as often as it is told to.

    Args:
        queue: of the project. name: of the verifier. truths: by the videos' names.
        threshold: masks of this mean IoU are satisfactory. errors: share of the verdicts that are wrong.
    """

    def __init__(
        self, queue: Queue, name: str, truths: Mapping[str, Truth], threshold: float = 0.75, errors: float = 0.0
    ) -> None:
        Verification(threshold, errors)  # checks them
        self.queue, self.truths, self.threshold, self.errors = queue, truths, threshold, errors
        self.id = queue.project.annotator(name)

    def work_once(self) -> bool:
        """Give the next verdict; False if there is none to give.

        Raises:
            KeyError: a video whose truth is not known. OSError, ValueError: masks that cannot be read; the task is
                given back.
        """
        task = self.queue.take(self.id, "verify")
        if task is None:
            return False
        began = time.monotonic()
        with _given_back(self.queue, task):
            masks = task.load()
            assert masks is not None  # of what was handed in
            quality = truth_overlap(self.truths[task.video], masks)
            wrong = np.random.default_rng([task.masklet_id, task.revision_id or 0]).random() < self.errors
            self.queue.judge(task, (quality >= self.threshold) != wrong, time.monotonic() - began)
        return True


@contextmanager
def _given_back(queue: Queue, task: Task) -> Iterator[None]:
    """A task that cannot be done in the block is left to others."""
    try:
        yield
    except BaseException:
        with suppress(TaskTaken, OSError):  # it is over, or the database is away, as the error says that is raised
            queue.give_back(task)
        raise


def annotate(bench: Bench, truth: Truth, obj: int, manner: Manner) -> None:
    """Go through the frames in order: edit those that are wrong, and have what follows proposed anew.

    Args:
        bench: where. truth: of the video. obj: which object. manner: how.

    Raises:
        ValueError: the truth is not known on a frame.
    """
    unknown = set(bench.frames) - set(truth.annotated)
    if unknown:
        raise ValueError(f"the truth of frame {min(unknown)} is not known: annotate at another rate")
    if bench.phase == 1:
        for index in bench.frames:
            _edit(bench, index, true_mask(truth, index, obj, bench.size), manner)
        return

    def is_wrong(index: int) -> bool:
        return overlap(bench.mask(index), true_mask(truth, index, obj, bench.size)) < manner.wrong

    at = next(filter(is_wrong, bench.frames), None)  # of an object that is new, the first that shows it
    while at is not None:
        _edit(bench, at, true_mask(truth, at, obj, bench.size), manner)
        at = next(filter(is_wrong, bench.propose(at)), None)


def _edit(bench: Bench, index: int, wanted: np.ndarray, manner: Manner) -> None:
    bench.begin(index)
    if not wanted.any():
        bench.give(index, wanted)  # the object is not to be seen
        return
    shown = bench.mask(index)
    for number in range(manner.clicks + manner.strokes):
        click = central_click(wanted, shown)
        if click is None or overlap(wanted, shown) >= manner.good:
            return
        if number < manner.clicks:
            shown = bench.click(index, *click)
        else:
            wrong = wanted != shown
            shown = bench.stroke(index, wrong & _around(click, wanted, manner.reach), click.label)


def _around(click: Click, wanted: np.ndarray, reach: float) -> np.ndarray:
    """H x W bool: what a stroke reaches from a place, in sizes of the object; a person does not paint over its border,
    and paints or erases, not both."""
    rows, columns = np.ogrid[: wanted.shape[0], : wanted.shape[1]]
    radius = max(2.0, reach * float(np.sqrt(wanted.sum())))
    near = (rows - click.y) ** 2 + (columns - click.x) ** 2 <= radius**2
    return near & (wanted == bool(click.label))


def true_mask(truth: Truth, frame_idx: int, obj: int, size: tuple[int, int]) -> np.ndarray:
    """H x W bool of an object on a frame, empty where it is not to be seen."""
    return truth.masks(frame_idx, [obj]).get(obj, np.zeros(size, bool))


def truth_overlap(truth: Truth, masks: MaskletMasks) -> float:
    """Mean IoU of masks with the true object that they show best, over the frames where either is seen."""
    obj = _shown(truth, masks)
    return 0.0 if obj is None else _mean_overlap(truth, masks, obj)


def _shown(truth: Truth, masks: MaskletMasks) -> int | None:
    """The true object that masks show, None if they show none."""
    known = {obj for index in masks.frames for obj in truth.masks(index)}
    best = max(((_mean_overlap(truth, masks, obj), -obj) for obj in known), default=(0.0, 0))
    return -best[1] if best[0] >= _SAME else None


def _mean_overlap(truth: Truth, masks: MaskletMasks, obj: int) -> float:
    found = []
    for index in masks.frames:
        wanted, mask = true_mask(truth, index, obj, masks.size), masks.mask(index)
        if wanted.any() or mask.any():
            found.append(overlap(wanted, mask))
    return float(np.mean(found)) if found else 0.0
