"""Interactive segmentation: a simulated user corrects a few frames with clicks (SAM 2 paper, section 6.1).

Offline, the user watches the whole result, corrects the frame with the lowest IoU, and has the video tracked again.
Online, there is one pass, which pauses for corrections at the first frame whose IoU falls under a threshold. Every
object is annotated by itself. Both start with clicks on the frame where the object enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from sam2v.evaluation.curves import Curve, InteractiveResult, Step
from sam2v.evaluation.metrics import BOUND_TH, frame_scores
from sam2v.evaluation.predictor import Maker, Mask, Predictor, binary_masks, made
from sam2v.evaluation.prompting import click_error
from sam2v.evaluation.stamps import key_of
from sam2v.jobs import pool
from sam2v.jobs.run import Run

if TYPE_CHECKING:
    from sam2v.data.records import VideoRecord

Mode = Literal["offline", "online"]
Score = tuple[float, float]  # J, F


@dataclass(frozen=True)
class InteractiveSettings:
    """The protocol's numbers.

    frames: annotated frames at most, the first included. clicks: per annotated frame; fewer when nothing is wrong any
    more. threshold: online, the IoU under which the pass pauses. bound_th: tolerance of F.
    """

    mode: Mode = "offline"
    frames: int = 8
    clicks: int = 3
    threshold: float = 0.75
    bound_th: float = BOUND_TH

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode must be offline or online, got {self.mode!r}")
        for name in ("frames", "clicks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is an IoU between 0 and 1, got {self.threshold}")


def evaluate_interactive(
    predictor: Predictor | Maker,
    records: Sequence[VideoRecord],
    settings: InteractiveSettings | None = None,
    *,
    run: Run | None = None,
) -> InteractiveResult:
    """J&F over the number of annotated frames, for every object of every video.

    An object's scores are means over all annotated frames from the one where it enters, corrected frames included: they
    are part of what the user gets.

    Args:
        predictor: a `sam2v.VideoPredictor`, anything with its methods, or a function that makes one (worker processes).
        records: videos of a data set with ground truth on several frames.
        settings: mode, number of frames and clicks, threshold.
        run: processes, ranks, progress bar, resuming.

    Raises:
        ValueError: a video without objects. OSError: an unreadable file (named).
    """
    settings, run = settings or InteractiveSettings(), run or Run()
    jobs = [_Job(record, predictor, settings, run) for record in records]
    results = run.jobs(jobs)
    return InteractiveResult(settings.mode, {job.name: curves for job, curves in zip(jobs, results, strict=True)})


_Argument = tuple["VideoRecord", "Predictor | Maker", InteractiveSettings]


class _Job(pool.Job[_Argument, dict[str, Curve], dict[str, Curve]]):
    """One video."""

    def __init__(
        self, record: VideoRecord, predictor: Predictor | Maker, settings: InteractiveSettings, run: Run
    ) -> None:
        self.record, self.predictor, self.settings, self.run = record, predictor, settings, run
        self.name, self.size = record.name, len(record.first_frame)
        if not record.first_frame:
            raise ValueError(f"video {record.name} has no object to annotate in {record.source}")

    def chunks(self) -> list[tuple[_Argument, int]]:
        """A video cannot be cut."""
        return [((self.record, self.predictor, self.settings), self.size)]

    @staticmethod
    def work(argument: _Argument) -> dict[str, Curve]:
        """Annotate every object."""
        record, predictor, settings = argument
        curves = {}
        for obj in record.first_frame:
            curves[record.object_name(obj)] = annotate(made(predictor), record, obj, settings)
            pool.advance()
        return curves

    def load(self) -> dict[str, Curve] | None:
        """An earlier run's curves."""
        part = self.run.load(self.name, *self._key)
        return {obj: Curve.from_part(found) for obj, found in part.items()} if part else None

    def finish(self, results: list[dict[str, Curve]]) -> dict[str, Curve]:
        """Keep the curves."""
        part = {obj: curve.to_part() for obj, curve in results[0].items()}
        self.run.save(self.name, part, *self._key)
        return results[0]

    @cached_property
    def _key(self) -> tuple[object, ...]:
        return key_of(self.run, self.record, self.settings)


def annotate(predictor: Predictor, record: VideoRecord, obj: int, settings: InteractiveSettings) -> Curve:
    """One object's scores after 1, 2, ... annotated frames."""
    video = _Annotation(predictor, record, obj, settings, predictor.init_state(record.source))
    frame_idx: int | None = record.first_frame[obj]
    steps: list[Step] = []
    frames: list[int] = []
    clicks: list[int] = []
    while frame_idx is not None and len(steps) < settings.frames:
        clicks.append(video.correct(frame_idx))
        frames.append(frame_idx)
        video.propagate(frame_idx if settings.mode == "online" else record.first_frame[obj])
        steps.append((tuple(j for j, _ in video.scores.values()), tuple(f for _, f in video.scores.values())))
        frame_idx = _next_frame(video.scores, frames, settings)
    return Curve(tuple(steps), tuple(frames), tuple(clicks), settings.frames)


def _next_frame(scores: dict[int, Score], done: list[int], settings: InteractiveSettings) -> int | None:
    """The frame to correct next, or None: the worst one (offline), or the first bad one (online).

    Online that is always one still to come: earlier bad frames were paused at, and what was shown stays.
    """
    left = {index: j for index, (j, _) in scores.items() if index not in done and j < 1}
    if settings.mode == "online":
        return min((index for index, j in left.items() if j < settings.threshold), default=None)
    return min(left, key=lambda index: (left[index], index), default=None)


@dataclass
class _Annotation:
    """An object under annotation: the session, and what it shows on every annotated frame."""

    predictor: Predictor
    record: VideoRecord
    obj: int
    settings: InteractiveSettings
    state: Any
    masks: dict[int, Mask] = field(default_factory=dict)
    scores: dict[int, Score] = field(default_factory=dict)

    def __post_init__(self) -> None:
        start = self.record.first_frame[self.obj]
        self.asked = frozenset(index for index in self.record.annotated if index >= start)

    def correct(self, frame_idx: int) -> int:
        """Click on a frame; the number of clicks made."""
        truth, void, shown = self._truth(frame_idx), self.record.void(frame_idx), self.masks.get(frame_idx)
        clicks = self.settings.clicks
        return len(click_error(self.predictor, self.state, frame_idx, self.obj, truth, shown, clicks, void))

    def propagate(self, start: int) -> None:
        """Track from a frame to the last annotated one and score what comes."""
        count = max(self.asked) - start
        for frame_idx, obj_ids, masks in self.predictor.propagate_in_video(
            self.state, start_frame_idx=start, max_frame_num_to_track=count
        ):
            if frame_idx in self.asked:
                self.masks[frame_idx] = binary_masks(obj_ids, masks)[self.obj]
                self.scores[frame_idx] = self._score(frame_idx)

    def _score(self, frame_idx: int) -> Score:
        void = self.record.void(frame_idx)
        return frame_scores(self.masks[frame_idx], self._truth(frame_idx), void, self.settings.bound_th)

    def _truth(self, frame_idx: int) -> Mask:
        return self.record.masks(frame_idx, [self.obj])[self.obj]
