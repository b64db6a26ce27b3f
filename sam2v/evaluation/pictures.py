"""Pictures of an evaluation: bars per sequence, J&F over frames, a contact sheet of the worst frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2v.evaluation.results import Evaluation, SequenceScores
from sam2v.files import user_path
from sam2v.masks.grey import Values, is_white, one_object, present, void_pixels
from sam2v.masks.png import read_label_map
from sam2v.pillow import open_picture

if TYPE_CHECKING:
    from PIL import Image

RIGHT, INVENTED, MISSED = (70, 190, 90), (225, 60, 50), (60, 110, 230)  # green, red, blue
_CAPTION = 16


def figure(width: float, height: float) -> Any:
    """A matplotlib figure that touches no global state. Raises ImportError with what to install."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'sam2v[plot]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def plot(evaluation: Evaluation, path: str | Path) -> None:
    """Save bars of J and F per sequence beside J&F over frames (PNG, SVG or PDF by the suffix)."""
    names = list(evaluation.sequences)
    drawn = figure(13, max(3.2, 1.2 + 0.34 * len(names)))
    bars, lines = drawn.subplots(1, 2)
    j, f = (np.asarray([_sequence_mean(evaluation.sequences[n], kind) for n in names]) * 100 for kind in "jf")
    rows = np.arange(len(names))
    bars.barh(rows - 0.2, j, 0.38, label="J", color="#2a78b5")
    bars.barh(rows + 0.2, f, 0.38, label="F", color="#e08a2c")
    bars.set_yticks(rows, names)
    bars.invert_yaxis()
    mean = evaluation.mean
    bars.set(xlim=(0, 100), xlabel="percent", title=f"J&F {100 * mean['J&F']:.1f}, mean over objects")
    bars.axvline(100 * mean["J&F"], color="#444444", linewidth=1, linestyle="--")
    bars.legend(loc="lower right")
    for name in names:
        values = 100 * np.asarray(list(evaluation.sequences[name].by_frame().values()))
        lines.plot(np.linspace(0, 100, len(values)), values, linewidth=1, label=name)
    lines.set(
        xlim=(0, 100),
        ylim=(0, 101),
        xlabel="position in the sequence (percent)",
        ylabel="J&F",
        title="over frames",
    )
    if len(names) <= 20:
        lines.legend(fontsize="small")
    user_path(path).parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=120)


def worst_frames(evaluation: Evaluation, count: int = 12, per_sequence: int = 3) -> list[tuple[str, str, float]]:
    """The (sequence, frame, J&F) of the lowest J&F, at most `per_sequence` of one sequence, worst first."""
    found = []
    for name, sequence in evaluation.sequences.items():
        ranked = sorted(sequence.by_frame().items(), key=lambda item: (item[1], item[0]))
        found += [(name, frame, value) for frame, value in ranked[:per_sequence]]
    return sorted(found, key=lambda item: (item[2], item[0], item[1]))[:count]


def contact_sheet(
    evaluation: Evaluation,
    path: str | Path,
    images: str | Path | None = None,
    count: int = 12,
    width: int = 320,
) -> None:
    """Save the worst frames as tiles: right pixels green, invented ones red, missed ones blue.

    `images` holds SEQUENCE/FRAME.jpg (or .png) to draw on; frames without a picture there get a black background.
    """
    from PIL import Image

    tiles = [
        _tile(evaluation.sequences[name], frame, value, user_path(images) if images is not None else None, width)
        for name, frame, value in worst_frames(evaluation, count)
    ]
    if not tiles:
        raise ValueError("there are no scored frames to draw")
    columns = min(4, len(tiles))
    height = max(tile.height for tile in tiles)
    sheet = Image.new("RGB", (columns * width, -(-len(tiles) // columns) * height), "white")
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % columns * width, index // columns * height))
    user_path(path).parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _sequence_mean(sequence: SequenceScores, kind: str) -> float:
    values = [np.mean(getattr(scores, kind)) for scores in sequence.objects.values()]
    return float(np.mean(values)) if values else float("nan")


def _tile(sequence: SequenceScores, frame: str, value: float, images: Path | None, width: int) -> Image.Image:
    from PIL import Image, ImageDraw

    right, invented, missed = _errors(sequence, frame)
    picture = np.asarray(_background(images, sequence.name, frame, right.shape), dtype=np.float32)
    for area, colour in ((right, RIGHT), (invented, INVENTED), (missed, MISSED)):
        picture[area] = 0.4 * picture[area] + 0.6 * np.asarray(colour, dtype=np.float32)
    height = round(width * right.shape[0] / right.shape[1])
    tile = Image.new("RGB", (width, height + _CAPTION), "white")
    tile.paste(Image.fromarray(picture.astype(np.uint8)).resize((width, height)), (0, _CAPTION))
    ImageDraw.Draw(tile).text((3, 2), f"{sequence.name} {frame}  J&F {100 * value:.1f}", fill="black")
    return tile


def _errors(sequence: SequenceScores, frame: str) -> tuple[Any, Any, Any]:
    """(right, invented, missed) pixels, H x W bool, over the objects scored on this frame."""
    total: tuple[Any, Any, Any] | None = None
    for obj, scores in sequence.objects.items():
        if frame not in scores.frames:
            continue
        pred, gt = (read_label_map(file) for file in sequence.files(obj, frame))
        masks = _object_masks(pred, gt, obj, sequence)
        parts = masks[0] & masks[1], masks[0] & ~masks[1], masks[1] & ~masks[0]
        total = parts if total is None else tuple(a | b for a, b in zip(total, parts, strict=True))  # type: ignore[assignment]
    assert total is not None  # the frame came from the scores
    return total


def _object_masks(pred: Values, gt: Values, obj: str, sequence: SequenceScores) -> tuple[Any, Any]:
    if sequence.per_object or (len(sequence.objects) == 1 and int(obj) not in present(gt)):
        return one_object(pred), one_object(gt)
    white = is_white(present(pred), sequence.objects)
    shown, void = one_object(pred) if white else pred == int(obj), void_pixels(gt)
    return shown if void is None else shown & ~void, gt == int(obj)


def _background(images: Path | None, name: str, frame: str, shape: tuple[int, int]) -> Image.Image:
    from PIL import Image

    for suffix in (".jpg", ".png", ".jpeg"):
        if images is not None and (images / name / f"{frame}{suffix}").is_file():
            with open_picture(images / name / f"{frame}{suffix}") as picture:
                return picture.convert("RGB").resize((shape[1], shape[0]))
    return Image.new("RGB", (shape[1], shape[0]), "black")
