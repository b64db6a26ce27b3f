"""Training data from unlabelled clips: GrabCut finds objects in given rectangles, dense flow carries them along.

    pip install opencv-python-headless
    python examples/label_clips.py VIDEOS examples/label_clips.json OUT

VIDEOS holds the clips. The JSON file lists rectangles: {"CLIP": {"FRAME": [[x0, y0, x1, y1], ...]}}, as shares of the
frame's width and height. OUT receives
    pictures/, regions/   pictures and region maps, for `sources.N.photographs=` and `sources.N.regions=`,
    clips/                images/ and masks/ of short clips, for a source of `kind: folder`.
The masks are guesses: look at them, and delete what is wrong (`--leave-out NAME ...` skips clips by name).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

WIDTH = 640  # of pictures, in pixels
REACH = 14  # frames that a region is carried, either way
Mask = np.ndarray


def cut_out(picture: np.ndarray, labels: np.ndarray | None, box: tuple[int, int, int, int], rounds: int) -> Mask:
    """GrabCut within a box (x0, y0, x1, y1), from it alone or from labels of the whole picture."""
    x0, y0, x1, y1 = box
    models = np.zeros((1, 65)), np.zeros((1, 65))
    if labels is None:
        found = np.zeros(picture.shape[:2], np.uint8)
        cv2.grabCut(picture, found, (x0, y0, x1 - x0, y1 - y0), *models, rounds, cv2.GC_INIT_WITH_RECT)
    else:
        found = np.full(picture.shape[:2], cv2.GC_BGD, np.uint8)
        part = np.ascontiguousarray(labels[y0:y1, x0:x1])
        view = np.ascontiguousarray(picture[y0:y1, x0:x1])
        cv2.grabCut(view, part, None, *models, rounds, cv2.GC_INIT_WITH_MASK)
        found[y0:y1, x0:x1] = part
    mask = np.isin(found, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0


def largest_parts(mask: Mask, share: float = 0.15) -> Mask:
    """The largest connected part, and others that are not much smaller."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    return np.isin(parts, [k + 1 for k in range(count - 1) if areas[k] > share * areas.max()])


def refine(picture: np.ndarray, mask: Mask) -> Mask:
    """Snap a carried mask to the picture's borders; where the two disagree much, the carried one counts."""
    area = int(mask.sum())
    if area < 60:
        return mask
    radius = max(3, int(0.08 * area**0.5))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    whole = mask.astype(np.uint8)
    labels = np.full(mask.shape, cv2.GC_BGD, np.uint8)
    labels[cv2.dilate(whole, disc) > 0] = cv2.GC_PR_BGD
    labels[mask] = cv2.GC_PR_FGD
    labels[cv2.erode(whole, disc) > 0] = cv2.GC_FGD
    ys, xs = np.nonzero(mask)
    pad = 4 * radius
    box = (max(0, xs.min() - pad), max(0, ys.min() - pad), xs.max() + pad, ys.max() + pad)
    try:
        sharp = cut_out(picture, labels, box, 2)
    except cv2.error:  # all one colour
        return mask
    return sharp if (sharp & mask).sum() > 0.8 * (sharp | mask).sum() else mask


def carry(frames: list[np.ndarray], start: int, mask: Mask) -> dict[int, Mask]:
    """The mask on the frames around `start`, along dense inverse-search flow."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    x, y = np.meshgrid(np.arange(mask.shape[1], dtype=np.float32), np.arange(mask.shape[0], dtype=np.float32))
    masks = {start: mask}
    for way in (1, -1):
        for old, new in ((start + way * k, start + way * (k + 1)) for k in range(REACH)):
            if not 0 <= new < len(frames):
                break
            moved = flow.calc(grey[new], grey[old], None)  # where every pixel of the new frame was on the old one
            at = x + moved[..., 0], y + moved[..., 1]
            masks[new] = refine(frames[new], cv2.remap(masks[old].astype(np.float32), *at, cv2.INTER_LINEAR) > 0.5)
    return masks


def views(masks: dict[int, Mask]) -> Iterator[tuple[int, int, int, int]]:
    """The whole frame where the object is not tiny, and a closer view of it."""
    ys, xs = np.nonzero(np.any(list(masks.values()), axis=0))
    height, width = next(iter(masks.values())).shape
    if len(ys) == 0:
        return
    if np.mean([mask.mean() for mask in masks.values()]) > 0.02:
        yield 0, 0, width, height
    side = 1.5 * max(np.ptp(xs), np.ptp(ys))
    if side < 0.9 * height:
        cx, cy = (xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2
        yield (
            int(max(0, cx - 0.62 * side)), int(max(0, cy - side / 2)),
            int(min(width, cx + 0.62 * side)), int(min(height, cy + side / 2)),
        )  # fmt: skip


def write_clip(out: Path, name: str, frames: list[np.ndarray], masks: dict[int, Mask], view: tuple[int, ...]) -> None:
    x0, y0, x1, y1 = view
    for folder in ("images", "masks"):
        (out / folder / name).mkdir(parents=True, exist_ok=True)
    scale = min(1.0, 300 / min(y1 - y0, x1 - x0))
    for number, t in enumerate(sorted(masks)):
        picture = cv2.resize(frames[t][y0:y1, x0:x1], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(masks[t][y0:y1, x0:x1].astype(np.float32), picture.shape[1::-1]) > 0.5
        cv2.imwrite(str(out / "images" / name / f"{number:05d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 93])
        Image.fromarray(mask.astype(np.uint8)).save(out / "masks" / name / f"{number:05d}.png")


def label(video: Path, rectangles: dict[str, list[list[float]]], out: Path, leave_out: set[str]) -> None:
    """Pictures, region maps and clips of one video."""
    from sam2v.video.sources import open_source

    source = open_source(video)
    frames = []
    for frame in (source[t] for t in range(len(source))):
        height, width = frame.shape[:2]
        small = cv2.resize(frame, (WIDTH, round(height * WIDTH / width)), interpolation=cv2.INTER_AREA)
        frames.append(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    height = frames[0].shape[0]
    for frame_number, boxes in rectangles.items():
        t = int(frame_number)
        regions = np.zeros(frames[t].shape[:2], np.uint8)
        for k, (x0, y0, x1, y1) in enumerate(boxes, 1):
            box = (
                int(x0 * WIDTH),
                int(y0 * height),
                int(min(x1 * WIDTH, WIDTH - 1)),
                int(min(y1 * height, height - 1)),
            )
            mask = cut_out(frames[t], None, box, 6)
            if not mask.any():
                continue
            mask = largest_parts(mask)
            regions[mask] = k
            if mask.mean() < 0.003:
                continue
            masks = carry(frames, t, mask)
            for n, view in enumerate(views(masks)):
                name = f"{video.stem}-{t:04d}-{k}-{n}"
                if name not in leave_out:
                    write_clip(out / "clips", name, frames, masks, view)
        stem = f"{video.stem}-{t:04d}"
        cv2.imwrite(str(out / "pictures" / f"{stem}.jpg"), frames[t], [cv2.IMWRITE_JPEG_QUALITY, 95])
        Image.fromarray(regions).save(out / "regions" / f"{stem}_0.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path)
    parser.add_argument("rectangles", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="NAME")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for folder in ("pictures", "regions"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    for clip, rectangles in json.loads(args.rectangles.read_text()).items():
        (video,) = args.videos.glob(f"{clip}.*")
        label(video, rectangles, args.out, set(args.leave_out))
        print(f"{clip}: {sum(map(len, rectangles.values()))} regions")


if __name__ == "__main__":
    main()
