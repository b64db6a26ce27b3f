"""Scores as values: of an object, a sequence, a data set; their means, JSON and table."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sam2v.evaluation.metrics import Statistics, mean_over, statistics
from sam2v.files import user_path, whole_file, write_text
from sam2v.video.frames import natural_key

_COLUMNS = ("J_mean", "J_recall", "J_decay", "F_mean", "F_recall", "F_decay")


@dataclass(frozen=True)
class ObjectScores:
    """J and F of one object on the frames (stems) it was scored on; fractions."""

    frames: tuple[str, ...]
    j: tuple[float, ...]
    f: tuple[float, ...]

    @cached_property
    def j_statistics(self) -> Statistics:
        """Mean, recall and decay of J."""
        return statistics(self.j)

    @cached_property
    def f_statistics(self) -> Statistics:
        """Mean, recall and decay of F."""
        return statistics(self.f)

    def to_dict(self) -> dict[str, float]:
        """{"J_mean", "J_recall", "J_decay", "F_mean", "F_recall", "F_decay"}."""
        j, f = self.j_statistics, self.f_statistics
        return dict(zip(_COLUMNS, (j.mean, j.recall, j.decay, f.mean, f.recall, f.decay), strict=True))


@dataclass(frozen=True)
class SequenceScores:
    """The objects of one sequence.

    gt, pred: the folders of its annotations and predictions (None: not written), with one folder per object below them
    if `per_object`.
    """

    name: str
    objects: Mapping[str, ObjectScores]
    gt: Path
    pred: Path | None
    per_object: bool = False

    def files(self, obj: str, frame: str) -> tuple[Path, Path]:
        """(prediction, annotation) file of one object on one frame. ValueError if none was written."""
        if self.pred is None:
            raise ValueError(f"the predictions of {self.name!r} were not written to a folder")
        below = f"{obj}/{frame}.png" if self.per_object else f"{frame}.png"
        return self.pred / below, self.gt / below

    def to_part(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        objects = {obj: [scores.frames, scores.j, scores.f] for obj, scores in self.objects.items()}
        pred = None if self.pred is None else str(self.pred)
        return {"gt": str(self.gt), "pred": pred, "per_object": self.per_object, "objects": objects}

    @classmethod
    def from_part(cls, name: str, part: Mapping[str, Any]) -> SequenceScores:
        """The inverse of `to_part`."""
        objects = {obj: ObjectScores(*map(tuple, found)) for obj, found in part["objects"].items()}
        pred = None if part["pred"] is None else Path(part["pred"])
        return cls(name, objects, Path(part["gt"]), pred, part["per_object"])

    def by_frame(self) -> dict[str, float]:
        """J&F of every scored frame, averaged over the objects scored on it."""
        values: dict[str, list[float]] = {}
        for scores in self.objects.values():
            for frame, j, f in zip(scores.frames, scores.j, scores.f, strict=True):
                values.setdefault(frame, []).append((j + f) / 2)
        return {frame: sum(values[frame]) / len(values[frame]) for frame in sorted(values, key=natural_key)}


@dataclass(frozen=True)
class Evaluation:
    """Scores of a data set. Means are over objects, as the DAVIS toolkit's; all values are fractions."""

    sequences: Mapping[str, SequenceScores]

    def objects(self) -> Iterator[tuple[str, str, ObjectScores]]:
        """(sequence, object, scores) of every object."""
        for name, sequence in self.sequences.items():
            for obj, scores in sequence.objects.items():
                yield name, obj, scores

    def statistics(self, only: Collection[tuple[str, str]] | None = None) -> tuple[Statistics, Statistics]:
        """(J, F) statistics averaged over all objects, or over the (sequence, object) pairs in `only`."""
        kept = [scores for name, obj, scores in self.objects() if only is None or (name, obj) in only]
        return mean_over([s.j_statistics for s in kept]), mean_over([s.f_statistics for s in kept])

    @cached_property
    def mean(self) -> dict[str, float]:
        """{"J&F", "J", "F"} over all objects."""
        j, f = self.statistics()
        return {"J&F": (j.mean + f.mean) / 2, "J": j.mean, "F": f.mean}

    def to_dict(self) -> dict[str, Any]:
        """{"mean": ..., "sequences": {name: {"objects": {id: {"J_mean", ...}}}}}."""
        return {
            "mean": self.mean,
            "sequences": {
                name: {"objects": {obj: scores.to_dict() for obj, scores in sequence.objects.items()}}
                for name, sequence in self.sequences.items()
            },
        }

    def write_json(self, path: str | Path) -> None:
        """Write `to_dict()`; NaN (an object without a scored frame) becomes null."""
        write_text(user_path(path), json.dumps(_without_nan(self.to_dict()), indent=1) + "\n")

    def write_csv(self, path: str | Path) -> None:
        """One row per object, fractions, and a last row with the means over objects."""
        j, f = self.statistics()
        mean = (j.mean, j.recall, j.decay, f.mean, f.recall, f.decay)
        with _csv(user_path(path)) as rows:
            rows.writerow(["sequence", "object", "J&F", *_COLUMNS])
            for name, obj, scores in self.objects():
                values = scores.to_dict()
                rows.writerow([name, obj, (values["J_mean"] + values["F_mean"]) / 2, *values.values()])
            rows.writerow(["mean", "", (j.mean + f.mean) / 2, *mean])

    def write_frames_csv(self, path: str | Path) -> None:
        """One row per sequence, object and frame: J and F, fractions."""
        with _csv(user_path(path)) as rows:
            rows.writerow(["sequence", "object", "frame", "J", "F"])
            for name, obj, scores in self.objects():
                rows.writerows((name, obj, *row) for row in zip(scores.frames, scores.j, scores.f, strict=True))

    def table(self) -> str:
        """Per-sequence table in percent: a row per object where a sequence has several, and the mean over objects."""
        width = max([8, *(len(name) for name in self.sequences)])
        lines = [f"{'sequence':<{width}}  obj    J&F  " + "".join(f"{name:>9}" for name in _COLUMNS)]
        for name, obj, scores in self.objects():
            lines.append(_row(f"{name:<{width}}  {obj:>3}", scores.j_statistics, scores.f_statistics))
        lines += ["-" * len(lines[0]), _row(f"{'mean':<{width}}  {'':>3}", *self.statistics())]
        return "\n".join(lines)


def _row(head: str, j: Statistics, f: Statistics) -> str:
    values = [j.mean, j.recall, j.decay, f.mean, f.recall, f.decay]
    return f"{head}  {50 * (j.mean + f.mean):5.1f}  " + "".join(f"{100 * value:9.1f}" for value in values)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


@contextmanager
def _csv(path: Path) -> Iterator[Any]:
    """A CSV file being written, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        yield csv.writer(file)
