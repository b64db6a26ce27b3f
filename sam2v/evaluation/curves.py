"""J&F over the number of annotated frames: values, table, JSON, CSV and plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.evaluation.pictures import figure
from sam2v.files import user_path, write_text

Step = tuple[tuple[float, ...], tuple[float, ...]]  # J and F of every scored frame


@dataclass(frozen=True)
class Curve:
    """One object under interactive annotation.

    Attributes:
        steps: after each annotated frame, J and F of every scored frame, in the order of the video.
        annotated: the frames that were annotated, in that order. clicks: how many clicks each took.
        asked: annotated frames allowed; where fewer were needed, the last result stands for the rest.
    """

    steps: tuple[Step, ...]
    annotated: tuple[int, ...]
    clicks: tuple[int, ...]
    asked: int

    def at(self, frames: int) -> tuple[float, float, int]:
        """(mean J, mean F, clicks made) with up to `frames` annotated frames."""
        done = min(frames, len(self.steps))
        j, f = self.steps[done - 1]
        return float(np.mean(j)), float(np.mean(f)), sum(self.clicks[:done])

    def to_part(self) -> list[Any]:
        """Everything, as JSON holds it."""
        return [self.steps, self.annotated, self.clicks, self.asked]

    @classmethod
    def from_part(cls, part: Sequence[Any]) -> Curve:
        """The inverse of `to_part`."""
        steps = tuple((tuple(j), tuple(f)) for j, f in part[0])
        return cls(steps, tuple(part[1]), tuple(part[2]), part[3])


@dataclass(frozen=True)
class InteractiveResult:
    """Curves of all objects, by video and object. Means are over objects; values are fractions."""

    mode: str
    sequences: Mapping[str, Mapping[str, Curve]]

    def curves(self) -> list[Curve]:
        """All objects' curves."""
        return [curve for objects in self.sequences.values() for curve in objects.values()]

    def rows(self) -> list[dict[str, float]]:
        """For 1, 2, ... annotated frames: {"frames", "J&F", "J", "F", "clicks"}, clicks per object."""
        curves, found = self.curves(), []
        for frames in range(1, max(curve.asked for curve in curves) + 1):
            j, f, clicks = (float(value) for value in np.mean([curve.at(frames) for curve in curves], axis=0))
            found.append({"frames": frames, "J&F": (j + f) / 2, "J": j, "F": f, "clicks": clicks})
        return found

    def to_dict(self) -> dict[str, Any]:
        """{"mode", "mean": rows, "sequences": {name: {"objects": {id: {"annotated", "clicks", "J", "F"}}}}}."""
        sequences = {
            name: {"objects": {obj: _object(curve) for obj, curve in objects.items()}}
            for name, objects in self.sequences.items()
        }
        return {"mode": self.mode, "mean": self.rows(), "sequences": sequences}

    def table(self) -> str:
        """One row per number of annotated frames, in percent."""
        lines = [f"{self.mode + ' frames':>14}{'J&F':>8}{'J':>8}{'F':>8}{'clicks':>8}"]
        for row in self.rows():
            percent = "".join(f"{100 * row[name]:8.1f}" for name in ("J&F", "J", "F"))
            lines.append(f"{row['frames']:>14.0f}{percent}{row['clicks']:8.1f}")
        return "\n".join(lines)


def write_curves_json(results: Sequence[InteractiveResult], path: str | Path) -> None:
    """Write {mode: `to_dict()`}."""
    content = {result.mode: result.to_dict() for result in results}
    write_text(user_path(path), json.dumps(content, indent=1) + "\n")


def write_curves_csv(results: Sequence[InteractiveResult], path: str | Path) -> None:
    """One row per mode and number of annotated frames."""
    lines = ["mode,frames,J&F,J,F,clicks"]
    for result in results:
        lines += [",".join([result.mode, *(repr(value) for value in row.values())]) for row in result.rows()]
    write_text(user_path(path), "\n".join(lines) + "\n")


def plot_curves(results: Sequence[InteractiveResult], path: str | Path) -> None:
    """Save J&F over the number of annotated frames, a line per mode. Raises ImportError without matplotlib."""
    drawn = figure(6, 4)
    axes = drawn.subplots()
    for result in results:
        rows = result.rows()
        values = [100 * row["J&F"] for row in rows]
        axes.plot([row["frames"] for row in rows], values, marker="o", label=result.mode)
    axes.set(xlabel="annotated frames", ylabel="J&F (percent)", ylim=(0, 101))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    user_path(path).parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=120)


def _object(curve: Curve) -> dict[str, Any]:
    means = [curve.at(frames) for frames in range(1, curve.asked + 1)]
    return {
        "annotated": list(curve.annotated),
        "clicks": list(curve.clicks),
        "J": [j for j, _, _ in means],
        "F": [f for _, f, _ in means],
    }
