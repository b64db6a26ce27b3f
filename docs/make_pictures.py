"""Makes the pictures of README.md and docs/effects.md from the project's own drawn clips and the embedded model.

    python docs/make_pictures.py [--demo DIR] [--out docs/images] [--checkpoint FILE]

DIR is what `sam2v demo --out DIR` wrote; without it the demonstration is run into a temporary folder.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import sam2v
from sam2v.cli.main import main as sam2v_command
from sam2v.data.synthetic import demo_clip
from sam2v.masks.boxes import mask_to_box
from sam2v.masks.clicks import Click, central_click
from sam2v.masks.draw import draw_masks
from sam2v.masks.png import read_label_map

#: Files that this script writes, in the folder of pictures.
PICTURES = ("demo.jpg", "refinement.jpg", "images.jpg", "everything.jpg", "effects.jpg")
#: Effects that are shown, each panel with its own.
_EFFECTS = (
    ("background:blur=8", "1:outline"),
    ("1:spotlight", "1:outline=white"),
    ("background:desaturate", "2:recolour=red"),
    ("background:pixelate=14",),
    ("1:trail=4",),
    ("1:enlarge=1.5",),
    ("2:duplicate=100",),
    ("objects:erase",),
    ("objects:cutout", "objects:outline"),
)
#: Seed and object of a clip of which one click does not tell enough.
_HARD = (4, 1)
_GAP, _CAPTION = 6, 20
_WIDTH = 1040  # pixels; keeps the files small
Panel = tuple[np.ndarray, str]  # H x W x 3 uint8, and what is written below it


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, help="folder that sam2v demo wrote (default: run it)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images", help="folder for the pictures")
    parser.add_argument("--checkpoint", default="auto", help="weights of sam2v_nano (default: the embedded ones)")
    args = parser.parse_args()
    model = sam2v.load_model(checkpoint=None if args.checkpoint == "none" else args.checkpoint)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        demo = args.demo or Path(scratch)
        if args.demo is None:
            _run_demo(demo, model, Path(scratch))
        _save(args.out / "demo.jpg", _demo_panels(demo), columns=3)
    _save(args.out / "refinement.jpg", _refinement_panels(model), columns=2)
    _save(args.out / "images.jpg", _image_panels(model), columns=2)
    _save(args.out / "everything.jpg", _everything_panels(model), columns=2)
    _save(args.out / "effects.jpg", _effects_panels(), columns=3)


def _run_demo(folder: Path, model: object, scratch: Path) -> None:
    """Run `sam2v demo` with this very model."""
    weights = sam2v.save_checkpoint(model, scratch / "weights.safetensors")  # type: ignore[arg-type]
    code = sam2v_command(["demo", "--out", str(folder), "--checkpoint", str(weights), "--quiet"])
    if code:
        raise SystemExit(code)


def _demo_panels(folder: Path) -> list[Panel]:
    """Six frames of the demonstration with its masks."""
    pictures = sorted((folder / "frames").glob("*.png"))
    panels = []
    for index in np.linspace(0, len(pictures) - 1, 6).round().astype(int):
        labels = read_label_map(folder / pictures[index].name)
        ids = [int(i) for i in np.unique(labels) if i]
        masks = np.stack([labels == i for i in ids]) if ids else np.zeros((0, *labels.shape), bool)
        picture = np.asarray(Image.open(pictures[index]).convert("RGB"))
        panels.append((draw_masks(picture, masks, ids), f"frame {index}"))
    return panels


def _refinement_panels(model: object) -> list[Panel]:
    """One click, the frame where its masklet is worst, and the same frame and a later one after a correction there."""
    clip = demo_clip(seed=_HARD[0])
    frames, truth = clip.frames.permute(0, 2, 3, 1).numpy(), clip.masks[:, _HARD[1]].numpy()
    video = sam2v.VideoPredictor(model)  # type: ignore[arg-type]
    state = video.init_state(frames)
    first = central_click(truth[0])
    assert first is not None
    result = video.add_points(state, 0, 1, [[first.x, first.y]])
    panels = [(_with_clicks(frames[0], result.binary(), [first]), "frame 0, one click")]
    quality = {r.frame_idx: _iou(r.binary()[0], truth[r.frame_idx]) for r in video.propagate_in_video(state)}
    worst = min(quality, key=quality.__getitem__)
    mask = video.result(state, worst).binary()
    panels.append((draw_masks(frames[worst], mask, [1]), f"frame {worst}, as tracked: IoU {quality[worst]:.2f}"))
    clicks: list[Click] = []
    while len(clicks) < 3 and (click := central_click(truth[worst], mask[0])) is not None:
        clicks.append(click)
        points, labels = [[c.x, c.y] for c in clicks], [c.label for c in clicks]
        mask = video.add_points(state, worst, 1, points, labels).binary()
    corrected = f"frame {worst}, {len(clicks)} clicks later: IoU {_iou(mask[0], truth[worst]):.2f}"
    panels.append((_with_clicks(frames[worst], mask, clicks), corrected))
    again = {r.frame_idx: _iou(r.binary()[0], truth[r.frame_idx]) for r in video.propagate_in_video(state)}
    near = min(worst + 5, len(frames) - 1)
    text = f"frame {near}, tracked again: IoU {again[near]:.2f} (was {quality[near]:.2f})"
    panels.append((draw_masks(frames[near], video.result(state, near).binary(), [1]), text))
    return panels


def _image_panels(model: object) -> list[Panel]:
    """The three answers to one click, and three boxes."""
    clip = demo_clip(frames=2)
    picture, truth = clip.frames[0].permute(1, 2, 0).numpy(), clip.masks[0].numpy()
    image = sam2v.ImagePredictor(model)  # type: ignore[arg-type]
    image.set_image(picture)
    click = central_click(truth[1])
    assert click is not None
    masks, iou, _ = image.predict([[click.x, click.y]])
    panels = [
        (_with_clicks(picture, masks[i : i + 1], [click]), f"one click, predicted IoU {iou[i]:.2f}")
        for i in np.argsort(-iou)
    ]
    masks, _, _ = image.predict(box=mask_to_box(truth) + [0, 0, 1, 1], multimask_output=False)
    panels.append((draw_masks(picture, masks[:, 0], [1, 2, 3]), "three boxes, one batch"))
    return panels


def _everything_panels(model: object) -> list[Panel]:
    """Masklets of everything, found without a prompt."""
    frames = demo_clip().frames.permute(0, 2, 3, 1).numpy()
    shown = [0, len(frames) // 3, 2 * len(frames) // 3, len(frames) - 1]
    panels = []
    for result in sam2v.AutomaticMasklets(model).track(frames):  # type: ignore[arg-type]
        if result.frame_idx in shown:
            picture = draw_masks(frames[result.frame_idx], result.binary(), result.obj_ids)
            panels.append((picture, f"frame {result.frame_idx}, {len(result.obj_ids)} objects found without a prompt"))
    return panels


def _effects_panels(index: int = 12) -> list[Panel]:
    """A frame of the demonstration clip, with its exact masks, with effects; what is transparent is white."""
    clip = demo_clip(frames=2 * index)
    frames = clip.frames.permute(0, 2, 3, 1).numpy()
    masks = [dict(enumerate(frame.numpy(), 1)) for frame in clip.masks]
    panels = []
    for effects in _EFFECTS:
        picture = sam2v.effects.Edit(frames, masks.__getitem__, effects)[index]
        if picture.shape[2] == 4:
            picture = np.where(picture[..., 3:] > 0, picture[..., :3], np.uint8(255))
        panels.append((picture, " ".join(effects)))
    return panels


def _with_clicks(picture: np.ndarray, masks: np.ndarray, clicks: Sequence[Click]) -> np.ndarray:
    """The mask of object 1 and the clicks: a green dot is positive, a red one negative."""
    image = Image.fromarray(draw_masks(picture, masks, [1], labels=False))
    draw = ImageDraw.Draw(image)
    for x, y, label in clicks:
        draw.ellipse(
            (x - 5, y - 5, x + 5, y + 5), fill=(0, 200, 60) if label else (230, 30, 30), outline="white", width=2
        )
    return np.asarray(image)


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union; 1 where both are empty."""
    union = (mask | truth).sum()
    return float((mask & truth).sum() / union) if union else 1.0


def _save(path: Path, panels: Sequence[Panel], columns: int) -> None:
    """Lay the panels out in rows on white."""
    height, width = panels[0][0].shape[:2]
    rows = -(-len(panels) // columns)
    size = (columns * (width + _GAP) - _GAP, rows * (height + _CAPTION + _GAP) - _GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, (picture, text) in enumerate(panels):
        x, y = number % columns * (width + _GAP), number // columns * (height + _CAPTION + _GAP)
        sheet.paste(Image.fromarray(picture), (x, y))
        draw.text((x + 2, y + height + 2), text, fill="black", font=font)
    if sheet.width > _WIDTH:
        sheet = sheet.resize((_WIDTH, round(sheet.height * _WIDTH / sheet.width)), Image.Resampling.LANCZOS)
    sheet.save(path, quality=88, subsampling=0, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
