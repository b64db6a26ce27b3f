"""Semi-supervised video object segmentation: objects are prompted where they enter, then tracked without help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sam2v.data.annotations import ObjectFolders
from sam2v.evaluation.metrics import frame_scores
from sam2v.evaluation.predictor import Maker, Mask, Predictor, binary_masks, exclusive_masks, made
from sam2v.evaluation.prompting import Prompt, introduce
from sam2v.evaluation.protocol import Protocol, get_protocol, objects_of_first
from sam2v.evaluation.results import Evaluation, ObjectScores, SequenceScores
from sam2v.evaluation.score import FrameScores, merge_frames
from sam2v.evaluation.stamps import key_of
from sam2v.evaluation.submission import write_frame
from sam2v.files import user_path
from sam2v.jobs import pool
from sam2v.jobs.run import Run

if TYPE_CHECKING:
    from sam2v.data.records import VideoRecord

DATASET_PROTOCOLS = {
    "davis2016": "davis",
    "davis2017": "davis",
    "mose": "sav",
    "lvos": "sav",
    "sav": "sav",
    "youtube-vos": "youtube",
}


def own_protocol(dataset: str, records: Sequence[VideoRecord]) -> str:
    """The protocol of a data set's benchmark.

    Anybody's own data ("folder") is scored by "davis", as `evaluate_folders` does, where that fits: every frame is
    annotated, and every object on the first. Otherwise by "youtube".
    """
    if dataset in DATASET_PROTOCOLS:
        return DATASET_PROTOCOLS[dataset]
    dense = all(len(record.annotated) == len(record) > 2 for record in records)
    return "davis" if dense and all(set(record.first_frame.values()) == {0} for record in records) else "youtube"


def evaluate_vos(
    predictor: Predictor | Maker,
    records: Sequence[VideoRecord],
    *,
    prompt: str | Prompt = "mask",
    protocol: str | Protocol = "davis",
    out: str | Path | None = None,
    run: Run | None = None,
) -> Evaluation:
    """Track every object of every video from the frame where it enters, and score the masks.

    Objects of one video are tracked together. An object that enters later is prompted when the tracker gets there, and
    nothing before that frame counts as predicted. Where objects must not overlap (every data set but SA-V) a pixel goes
    to the object with the highest logit.

    Args:
        predictor: a `sam2v.VideoPredictor`, anything with its methods, or a function without arguments that makes one
            (which worker processes need).
        records: videos of a data set (`sam2v.data.readers.open_dataset`).
        prompt: "mask", "box" or "clicks:N" (N clicks, each at the centre of what is still wrong).
        protocol: scoring convention, see `evaluate_folders`.
        out: folder for the predictions, in the data set's submission layout.
        run: processes, ranks, progress bar, resuming.

    Raises:
        ValueError: a video without objects, an unknown prompt or protocol, predictions that would replace annotations.
        OSError: an unreadable file (named).
    """
    prompt = Prompt.parse(prompt) if isinstance(prompt, str) else prompt
    task = Task(get_protocol(protocol), prompt, user_path(out) if out is not None else None)
    if task.out is not None:
        for record in records:
            if record.annotated and (task.out / record.name).resolve() == _annotation_folder(record).resolve():
                raise ValueError(
                    f"predictions in {out} would replace the annotations of {record.name}: name another --out"
                )
    run = run or Run()
    results = run.jobs([_VosJob(record, predictor, task, run) for record in records])
    return Evaluation({record.name: scores for record, scores in zip(records, results, strict=True)})


@dataclass(frozen=True)
class Task:
    """What is to be done with a video."""

    protocol: Protocol
    prompt: Prompt
    out: Path | None


_Argument = tuple["VideoRecord", "Predictor | Maker", Task]


class _VosJob(pool.Job[_Argument, SequenceScores, SequenceScores]):
    """One video."""

    def __init__(self, record: VideoRecord, predictor: Predictor | Maker, task: Task, run: Run) -> None:
        self.record, self.predictor, self.task, self.run = record, predictor, task, run
        self.name, self.size = record.name, len(_wanted_frames(record, task))

    def chunks(self) -> list[tuple[_Argument, int]]:
        """A video cannot be cut."""
        return [((self.record, self.predictor, self.task), self.size)]

    @staticmethod
    def work(argument: _Argument) -> SequenceScores:
        """Track and score."""
        record, predictor, task = argument
        return track_and_score(made(predictor), record, task)

    def load(self) -> SequenceScores | None:
        """An earlier run's scores, if what it wrote is still there."""
        part = self.run.load(self.name, *self._key)
        written = self.task.out is None or (self.task.out / self.name).is_dir()
        return SequenceScores.from_part(self.name, part) if part and written else None

    def finish(self, results: list[SequenceScores]) -> SequenceScores:
        """Keep the scores."""
        self.run.save(self.name, results[0].to_part(), *self._key)
        return results[0]

    @cached_property
    def _key(self) -> tuple[object, ...]:
        return key_of(self.run, self.record, self.task)


def track_and_score(predictor: Predictor, record: VideoRecord, task: Task) -> SequenceScores:
    """Track one video, write its predictions, score its annotated frames."""
    objects = scored_objects(record, task.protocol)
    asked = scored_frames(record, task.protocol)
    scored, scores = set(asked), {}
    written = set(record.scored) if task.out is not None else set()
    for frame_idx, masks in track(predictor, record, task.prompt, last=_wanted_frames(record, task)[-1]):
        if frame_idx in scored:
            scores[frame_idx] = score_masks(record, frame_idx, masks, objects, task.protocol.bound_th)
        if task.out is not None and frame_idx in written:
            write_frame(task.out, record, frame_idx, masks)
        pool.advance()
    found: dict[str, ObjectScores] = {}
    for obj in objects:
        frames = [index for index in _asked_of(record, task.protocol, obj) if index in scores]
        names = [record.frame_names[index] for index in frames]
        merged = merge_frames(names, [scores[index] for index in frames], [obj], task.protocol)
        found |= {record.object_name(obj): item for item in merged.values()}
    out = task.out / record.name if task.out is not None else None
    return SequenceScores(record.name, found, _annotation_folder(record), out, record.layout == "objects")


def _annotation_folder(record: VideoRecord) -> Path:
    folder = record.annotations.file(record.annotated[0]).parent
    return folder.parent if record.layout == "objects" else folder


def track(
    predictor: Predictor, record: VideoRecord, prompt: Prompt, last: int | None = None
) -> Iterator[tuple[int, dict[int, Mask]]]:
    """Yield (frame index, object -> H x W bool) for every frame up to `last`, in order; empty before any object enters.

    Tracking pauses where objects enter, so that no prompt reaches back in time.
    """
    entering: dict[int, list[int]] = {}
    for obj, frame_idx in record.first_frame.items():
        entering.setdefault(frame_idx, []).append(obj)
    if not entering:
        raise ValueError(f"video {record.name} has no object to track in {record.source}")
    last = len(record) - 1 if last is None else last
    starts = sorted(frame_idx for frame_idx in entering if frame_idx <= last)
    resolve = binary_masks if record.layout == "objects" else exclusive_masks
    state = predictor.init_state(record.source)
    for frame_idx in range(starts[0] if starts else last + 1):
        yield frame_idx, {}
    for start, end in zip(starts, [*starts[1:], last + 1], strict=True):
        truth, void = record.masks(start, entering[start]), record.void(start)
        for obj in entering[start]:
            introduce(predictor, state, start, obj, truth[obj], prompt, void)
        for frame_idx, obj_ids, masks in predictor.propagate_in_video(
            state, start_frame_idx=start, max_frame_num_to_track=end - start - 1
        ):
            yield frame_idx, resolve(obj_ids, masks)


def scored_objects(record: VideoRecord, protocol: Protocol) -> list[int]:
    """Objects that the convention counts, as `sam2v.evaluation.score` finds them in folders of predictions."""
    if record.layout != "labels":
        return list(record.first_frame)
    if protocol.objects == "first":
        first = [obj for obj, frame_idx in record.first_frame.items() if frame_idx == record.annotated[0]]
        return objects_of_first(first, map(record.areas, record.annotated[1:])) if first else []
    last = record.annotated[-1] if protocol.frames == "inner" else None
    return [obj for obj, frame_idx in record.first_frame.items() if frame_idx != last]


def score_masks(
    record: VideoRecord, frame_idx: int, masks: Mapping[int, Mask], objects: Sequence[int], bound_th: float
) -> FrameScores:
    """Score the objects that the annotation or the prediction shows on an annotated frame."""
    truth, void = record.masks(frame_idx, objects), record.void(frame_idx)
    annotated = [obj for obj in objects if truth[obj].any()]
    predicted = [obj for obj in objects if obj in masks and masks[obj].any()]
    scores = {}
    for obj in sorted({*annotated, *predicted}):
        guess = masks[obj] if obj in predicted else np.zeros_like(truth[obj])
        scores[obj] = frame_scores(guess, truth[obj], void, bound_th)
    return FrameScores(scores, tuple(predicted), tuple(annotated))


def scored_frames(record: VideoRecord, protocol: Protocol) -> tuple[int, ...]:
    """Annotated frames that the convention scores; none where annotations only introduce objects (test splits)."""
    if protocol.frames != "all" and set(record.annotated) <= set(record.first_frame.values()):
        return ()
    if record.layout != "objects":
        return _chosen(record.annotated, protocol)
    return tuple(sorted({index for obj in record.first_frame for index in _asked_of(record, protocol, obj)}))


def _asked_of(record: VideoRecord, protocol: Protocol, obj: int) -> tuple[int, ...]:
    """Those of one object: where objects have folders of their own, the frames that its folder has."""
    annotations = record.annotations
    own = annotations.frames_of(obj) if isinstance(annotations, ObjectFolders) else record.annotated
    return _chosen(own, protocol)


def _chosen(annotated: Sequence[int], protocol: Protocol) -> tuple[int, ...]:
    return tuple(annotated[1:-1] if protocol.frames == "inner" else annotated)


def _wanted_frames(record: VideoRecord, task: Task) -> range:
    """Frames to track: to the last one that is scored or written."""
    last = max([*scored_frames(record, task.protocol), *(record.scored if task.out is not None else ())], default=0)
    return range(last + 1)
