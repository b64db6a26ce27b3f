"""Where the numbers of a run go: a CSV file, a picture of its curves, and TensorBoard if wanted."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sam2v.files import whole_file

_WIDTH, _HEIGHT, _MARGIN = 900, 260, 48
_COLOURS = ((31, 90, 160), (200, 80, 30), (40, 130, 60), (140, 60, 140))


class RunLog:
    """Rows of numbers, one file per kind; a continued run drops the rows after the step it continues from.

    Args:
        folder: where `train.csv` and `validation.csv` go.
        start: step the run starts from.
        tensorboard: also write event files below `folder`.

    Raises:
        ImportError: TensorBoard is wanted and not installed.
    """

    def __init__(self, folder: Path, start: int = 0, tensorboard: bool = False) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for kind in ("train", "validation"):
            rows = read_rows(folder / f"{kind}.csv")
            if rows:
                self._rewrite(kind, [row for row in rows if row["step"] <= start])
        self._writer: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise ImportError("train.tensorboard needs tensorboard: pip install 'sam2v[train]'") from None
            self._writer = SummaryWriter(str(folder), purge_step=start + 1)  # the first one that is not kept

    def add(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Append a row to `KIND.csv`."""
        row = {"step": step, **values}
        path = self.folder / f"{kind}.csv"
        known = read_rows(path)
        if known and list(known[0]) != list(row):
            self._rewrite(kind, [*known, row])
        else:
            with path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(row))
                if not known:
                    writer.writeheader()
                writer.writerow(_shown(row))
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{kind}/{name}", value, step)

    def plot(self) -> Path | None:
        """Draw the curves logged so far into `curves.png`; None if there is nothing to draw."""
        train, validation = read_rows(self.folder / "train.csv"), read_rows(self.folder / "validation.csv")
        panels: list[tuple[list[dict[str, float]], tuple[str, ...]]] = [(train, ("loss",)), (train, ("track_iou",))]
        if validation:
            panels.append((validation, tuple(name for name in validation[0] if name != "step")[:4]))
        panels = [(rows, names) for rows, names in panels if len(rows) > 1]
        if not panels:
            return None
        path = self.folder / "curves.png"
        with whole_file(path) as temporary:
            _draw_panels(panels).save(temporary, "PNG")
        return path

    def close(self) -> None:
        """Finish pending writes."""
        if self._writer is not None:
            self._writer.close()

    def _rewrite(self, kind: str, rows: Sequence[Mapping[str, float]]) -> None:
        names = list(dict.fromkeys(name for row in rows for name in row))
        with (
            whole_file(self.folder / f"{kind}.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            if rows:
                writer = csv.DictWriter(file, names)
                writer.writeheader()
                writer.writerows(_shown(row) for row in rows)


def read_rows(path: Path) -> list[dict[str, float]]:
    """Rows of a CSV file written by `RunLog`; an absent value is NaN, a line cut off at the end left out."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1].splitlines()
    rows = [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(whole)]
    return [{name: int(value) if name == "step" else value for name, value in row.items()} for row in rows]


def _shown(row: Mapping[str, float]) -> dict[str, object]:
    return {name: value if isinstance(value, int) else f"{value:.6g}" for name, value in row.items()}


def _draw_panels(panels: Sequence[tuple[Sequence[Mapping[str, float]], Sequence[str]]]) -> Any:
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (_WIDTH, _HEIGHT * len(panels)), "white")
    draw = ImageDraw.Draw(picture)
    for k, (rows, names) in enumerate(panels):
        _draw_panel(draw, k * _HEIGHT, rows, names)
    return picture


def _draw_panel(draw: Any, top: int, rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> None:
    points = {
        name: [(row["step"], row[name]) for row in rows if row.get(name, float("nan")) == row.get(name)]
        for name in names
    }
    values = sorted(value for line in points.values() for _, value in line)
    if not values:
        return
    low, high = min(0.0, values[0]), values[min(len(values) - 1, round(len(values) * 0.98))]  # first steps may tower
    last = max(1.0, float(rows[-1]["step"]))
    left, right, upper, lower = _MARGIN, _WIDTH - 12, top + 24, top + _HEIGHT - 24

    def place(step: float, value: float) -> tuple[float, float]:
        share = min(1.0, (value - low) / ((high - low) or 1.0))
        return left + (right - left) * step / last, lower - (lower - upper) * share

    draw.rectangle((left, upper, right, lower), outline=(190, 190, 190))
    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        draw.text((4, place(0, value)[1] - 6), f"{value:.3g}", fill="black")
    draw.text((right - 60, lower + 6), f"{last:.0f} steps", fill="black")
    for k, (name, line) in enumerate(points.items()):
        colour = _COLOURS[k % len(_COLOURS)]
        draw.text((left + 8 + 200 * k, top + 8), name, fill=colour)
        if len(line) > 1:
            draw.line([place(*point) for point in line], fill=colour, width=2)
