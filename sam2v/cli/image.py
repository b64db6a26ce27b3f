"""`sam2v image`: segment objects in a picture."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from sam2v.cli.options import (
    add_model_arguments,
    add_runtime_arguments,
    box,
    check_folder,
    check_mask_size,
    click,
    export_from,
    few,
    load_model_from,
)
from sam2v.files import read_json, user_path, whole_file, write_text

#: Names of masks.
_MASK = re.compile(r"mask_\d+\.png")

DESCRIPTION = "Segment one object from points, or one object per box. Writes masks (PNG), an overlay and scores."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument("image", type=user_path, metavar="IMAGE", help="the picture")
    parser.add_argument("--point", action="append", default=[], metavar="X,Y[,LABEL]", help="a click; label 1 or 0")
    parser.add_argument("--box", action="append", default=[], metavar="X0,Y0,X1,Y1", help="a box; may be repeated")
    parser.add_argument("--mask", type=user_path, metavar="FILE", help="a mask of one object to refine")
    parser.add_argument("--single", action="store_true", help="one mask per prompt instead of three")
    parser.add_argument("--out", type=user_path, required=True, metavar="DIR", help="where the results go")
    add_model_arguments(parser)
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Segment and write."""
    import numpy as np

    from sam2v.arrays import host_of, on_device
    from sam2v.masks.png import write_binary
    from sam2v.predict.image import ImagePredictor
    from sam2v.tracking.prompts import mask_prompt
    from sam2v.tracking.step import given_logits
    from sam2v.video.frames import read_image

    points, labels, boxes = _prompts(args)
    check_folder(args.out)
    _check_inputs_stay(args)
    image = read_image(args.image)
    size = (image.shape[0], image.shape[1])
    mask = _mask_prompt(args, size)
    _check_prompts(points, labels, boxes, size)
    exported = export_from(args)
    predictor = ImagePredictor(load_model_from(args) if exported is None else exported)
    logits = None
    if mask is not None:
        host = host_of(predictor.device)
        plane = mask_prompt(mask, predictor.model.config.input_size, host).plane()
        logits = given_logits(on_device(plane[None, None], host))[0]
    predictor.set_image(image)
    answer = predictor.predict(
        point_coords=points or None,
        point_labels=labels or None,
        box=boxes[0] if len(boxes) == 1 else boxes or None,
        mask_input=logits,
        multimask_output=not args.single and len(boxes) < 2,
    )
    masks = answer.masks.reshape(-1, *size)
    scores = np.ravel(answer.iou)
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    for name in _earlier_masks(out / "masks.json"):
        (out / name).unlink(missing_ok=True)
    entries = []
    for number, (mask, score) in enumerate(zip(masks, scores, strict=True)):
        name = f"mask_{number}.png"
        write_binary(out / name, mask)
        entries.append({"file": name, "iou": round(float(score), 6), "area": int(mask.sum())})
    _write_overlay(out / "overlay.png", image, masks, scores, several=len(boxes) > 1)
    record = {"image": str(args.image), "height": image.shape[0], "width": image.shape[1], "masks": entries}
    write_text(out / "masks.json", json.dumps(record, indent=2) + "\n")
    print(f"{len(entries)} mask{'s' * (len(entries) != 1)}, overlay.png and masks.json in {out}")
    return 0


def _prompts(args: argparse.Namespace) -> tuple[list[list[float]], list[int], list[list[float]]]:
    clicks = [click(text, "--point", "X,Y[,LABEL]") for text in args.point]
    points, labels = [point for point, _ in clicks], [label for _, label in clicks]
    boxes = [box(text, "--box", "X0,Y0,X1,Y1") for text in args.box]
    if not points and not boxes and not args.mask:
        raise ValueError("nothing to segment: give --point, --box or --mask")
    if len(boxes) > 1 and points:
        raise ValueError("points belong to one object: give them with one --box at most")
    return points, labels, boxes


def _check_prompts(points: Any, labels: Any, boxes: Any, size: tuple[int, int]) -> None:
    """Raise ValueError for clicks and boxes that do not fit the picture, before a model is loaded."""
    from sam2v.tracking.prompts import check_boxes, check_points

    if points:
        check_points(points, labels, size, normalized=False)
    if boxes:
        check_boxes(boxes, size, normalized=False)


def _check_inputs_stay(args: argparse.Namespace) -> None:
    out = args.out.resolve()
    results = {out / name for name in ("overlay.png", "masks.json")}
    for path in (file.resolve() for file in (args.image, args.mask) if file):
        if path in results or (path.parent == out and _MASK.fullmatch(path.name)):
            raise ValueError(f"--out {args.out}: results would replace {path}; name another folder")


def _earlier_masks(record: Path) -> list[str]:
    """Names of the masks that an earlier run left, as its record tells; none where it tells nothing."""
    try:
        names = [entry["file"] for entry in read_json(record)["masks"]]
        return [name for name in names if _MASK.fullmatch(name)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _mask_prompt(args: argparse.Namespace, size: tuple[int, int]) -> Any:
    """The mask to refine, H x W bool; None without one."""
    if not args.mask:
        return None
    from sam2v.masks.png import read_objects

    objects = read_objects(args.mask)
    if len(objects) > 1:
        raise ValueError(f"{args.mask}: holds {len(objects)} objects ({few(objects)}); a mask to refine is of one")
    mask = next(iter(objects.values()))
    check_mask_size(args.mask, mask, size, "picture")
    return mask


def _write_overlay(path: Path, image: Any, masks: Any, scores: Any, several: bool) -> None:
    """Draw all objects; of one object's alternatives only the best."""
    from PIL import Image

    from sam2v.masks.draw import draw_masks

    shown = masks if several else masks[scores.argmax()][None]
    with whole_file(path) as temporary:
        Image.fromarray(draw_masks(image, shown, list(range(1, len(shown) + 1)))).save(temporary, "PNG")
