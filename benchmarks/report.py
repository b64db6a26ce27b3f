"""What the speed benchmarks report in the same way: agreement of masks, cells of tables, JSON, a picture of bars."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_COLOURS = {"sam2v": "#1f6f8b", "sam2": "#d98c3f", "transformers": "#8a8f98"}


@dataclass
class Agreement:
    """How far two programs' mask logits agree, gathered over frames or clicks.

    Attributes:
        iou: of every pair of masks (logits above 0), 1 where both are empty.
        apart: the largest difference of the logits, for every array compared.
    """

    iou: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """Compare two N x H x W arrays of logits."""
        self.apart.append(float(np.abs(a.astype(np.float32) - b).max()))
        inside, other = (plane.reshape(len(plane), -1) > 0 for plane in (a, b))
        either = (inside | other).sum(1)
        self.iou += np.where(either, (inside & other).sum(1) / np.maximum(either, 1), 1.0).tolist()

    def cells(self) -> list[str]:
        """Mean IoU and largest difference for a table."""
        if not self.apart:
            return ["-", "-"]
        return [f"{np.mean(self.iou):.4f}", f"{max(self.apart):.1e}"]

    def summary(self) -> dict[str, Any] | None:
        """For JSON; None when nothing was compared."""
        if not self.apart:
            return None
        mean, least = float(np.mean(self.iou)), min(self.iou)
        return {"mean_iou": mean, "least_iou": least, "max_difference": max(self.apart), "differences": self.apart}


@dataclass
class Bars:
    """One bar for every program in a group of a picture; `values` are by program, higher is longer."""

    title: str
    values: dict[str, float]


def write_results(folder: Path, name: str, result: dict[str, Any], groups: list[Bars], title: str, unit: str) -> None:
    """Write NAME.json and, where matplotlib is installed, NAME.png into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{name}.json"]
    written[0].write_text(json.dumps(result, indent=1) + "\n")
    if draw_bars(folder / f"{name}.png", groups, title, unit):
        written.append(folder / f"{name}.png")
    print(f"written: {', '.join(map(str, written))}", file=sys.stderr)


def draw_bars(path: Path, groups: list[Bars], title: str, unit: str) -> bool:
    """Draw a PNG of bars from left to right, a panel for every group: the values of two groups may lie far apart.
    Without matplotlib nothing is drawn, and the answer is False."""
    try:
        import matplotlib
    except ImportError:
        print("no picture: pip install 'sam2v[plot]'", file=sys.stderr)
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    most = max(len(group.values) for group in groups)
    size = (7, 0.8 + len(groups) * (0.45 + 0.27 * most))
    figure, panels = pyplot.subplots(len(groups), 1, figsize=size, squeeze=False, layout="constrained")
    for axes, group in zip(panels[:, 0], groups):
        names, values = list(group.values), list(group.values.values())
        bars = axes.barh(names, values, color=[_COLOURS.get(name, "0.5") for name in names], height=0.75)
        axes.bar_label(bars, [short(value) for value in values], padding=3, fontsize=8)
        axes.set(xlim=(0, 1.15 * max(values)), xticks=[])
        axes.set_title(group.title, fontsize=9, loc="left")
        axes.tick_params(labelsize=8, length=0)
        axes.invert_yaxis()
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    panels[-1, 0].set_xlabel(unit, fontsize=8)
    figure.suptitle(textwrap.fill(title, 110), fontsize=8)
    figure.savefig(path, dpi=130, format="png")
    pyplot.close(figure)
    return True


def short(value: float) -> str:
    """Three digits that count: 4.21, 42.1, 421, 4210."""
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(value))))}f}" if value > 0 else "0"
