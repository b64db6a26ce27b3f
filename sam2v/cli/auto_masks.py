"""`sam2v auto` of pictures."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam2v.cli.masklet_options import SHARED
from sam2v.cli.options import load_model_from, no_progress

if TYPE_CHECKING:
    from sam2v.automatic.masks import AutomaticMasks
    from sam2v.automatic.options import MaskOptions

#: Option -> type and what its flag says; the two switches and the grids are declared by hand.
_FLAGS: dict[str, tuple[type, str, str]] = {
    "points_per_side": (int, "N", "the grid has N x N points (default: 32)"),
    "points_per_batch": (int, "N", "points decoded together (default: 64)"),
    "pred_iou_thresh": (float, "IOU", "drop masks whose predicted IoU is not above it (default: 0.8)"),
    "stability_score_thresh": (float, "S", "drop masks that are less stable (default: 0.95)"),
    "stability_score_offset": (float, "LOGIT", "how far the cuts lie from each other's middle (default: 1)"),
    "mask_threshold": (float, "LOGIT", "above it a pixel is the object (default: 0)"),
    "box_nms_thresh": (float, "IOU", "drop the worse of two masks whose boxes overlap more (default: 0.7)"),
    "crop_n_layers": (int, "N", "also look at 2 x 2, 4 x 4, ... crops (default: 0)"),
    "crop_nms_thresh": (float, "IOU", "as --box-nms-thresh, between crops (default: 0.7)"),
    "crop_overlap_ratio": (float, "SHARE", "how far crops overlap (default: 0.341)"),
    "crop_n_points_downscale_factor": (int, "N", "each layer has fewer points a side by it (default: 1)"),
    "min_mask_region_area": (int, "PIXELS", "remove smaller parts and holes (default: 0)"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sam2v.MaskOptions` as flags."""
    group = parser.add_argument_group("masks")
    for name, (kind, metavar, what) in _FLAGS.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=what)
    group.add_argument("--point-grids", metavar="FILE", help="JSON: a list of grids, each a list of [x, y] in [0, 1]")
    group.add_argument("--output-mode", choices=("coco_rle", "uncompressed_rle"), help="run lengths in the records")
    group.add_argument("--use-m2m", action="store_true", default=None, help="refine every mask once more")
    group.add_argument("--single", action="store_false", default=None, dest="multimask_output", help="one mask a point")


def picture_flags(args: argparse.Namespace) -> list[str]:
    """The flags that were given and mean nothing for a video."""
    names = [name for name in (*_FLAGS, "point_grids", "output_mode", "use_m2m") if name not in SHARED]
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) is not None]
    return given + ["--single"] * (args.multimask_output is not None)


def mask_options_from(args: argparse.Namespace) -> MaskOptions:
    """The options that the flags name; the others are left as they are.

    Raises:
        ValueError: a value out of range, or a file of grids that is none. OSError: it cannot be read.
    """
    from sam2v.automatic.options import MaskOptions

    names = [field.name for field in fields(MaskOptions)]
    given: dict[str, Any] = {name: value for name in names if (value := getattr(args, name)) is not None}
    if args.point_grids is not None:
        given = {"points_per_side": None, **given, "point_grids": _grids(args.point_grids)}
    return MaskOptions(**{"output_mode": "coco_rle", **given})


def run(args: argparse.Namespace, source: Path) -> int:
    """Find and write the masks of a picture, or of the pictures in a folder, one after the other."""
    from sam2v.automatic.masks import AutomaticMasks
    from sam2v.output.lock import FolderLock

    options = mask_options_from(args)
    files = checked_pictures(source, args.out)
    finder = AutomaticMasks(load_model_from(args), options)
    several = len(files) > 1
    with FolderLock(args.out):
        count = write_masks(
            finder, files, args.out, no_progress(args) if several else True, progress=not several and not args.quiet
        )
    what = f"{count or 'no'} mask{'s' * (count != 1)} in {f'{len(files)} pictures' if several else files[0]}"
    print(f"{what}; labels, overlays, records and masks.json in {args.out}")
    return 0


def checked_pictures(source: Path, out: Path) -> list[Path]:
    """The picture, or those of a folder in natural order.

    Raises:
        ValueError: one is none, or there are none, or results in a folder `out` would replace them.
    """
    from sam2v.video.frames import image_size

    files = _pictures(source)
    _check_inputs_stay(files, out)
    for file in files:
        image_size(file)  # what is no picture shows before a model is loaded
    return files


def write_masks(
    finder: AutomaticMasks, files: list[Path], folder: Path, no_bar: bool | None = True, progress: bool = False
) -> int:
    """Find the masks of pictures and write them to a folder; how many there are.

    Args:
        no_bar: tqdm's `disable`, of the bar over pictures. progress: whether each picture has a bar.
    """
    from tqdm import tqdm

    from sam2v.automatic.files import PictureResults
    from sam2v.video.folder import names_of
    from sam2v.video.frames import read_image

    count = 0
    with PictureResults(folder, finder.options.output_mode) as results:
        bar = tqdm(files, unit="picture", disable=no_bar)
        for file, name in zip(bar, names_of(files), strict=True):
            frame = read_image(file)
            found = finder.find(frame, progress=progress)
            results.write(name, file.name, frame, found)
            count += len(found)
    return count


def _pictures(source: Path) -> list[Path]:
    """The picture, or those of a folder in natural order.

    Raises:
        ValueError: a folder without any.
    """
    from sam2v.video.frames import is_image_name, natural_key

    if not source.is_dir():
        return [source]
    files = [file for file in source.iterdir() if file.is_file() and not file.name.startswith(".")]
    pictures = sorted(filter(is_image_name, files), key=lambda file: (natural_key(file.stem), file.name))
    if not pictures:
        raise ValueError(f"{source}: the folder holds no pictures (jpg, png, webp, bmp, tiff)")
    return pictures


def _check_inputs_stay(files: list[Path], out: Path) -> None:
    from sam2v.automatic.files import LABELS, OVERLAYS

    results = {(out / folder).resolve() for folder, _ in (LABELS, OVERLAYS)}
    if files[0].resolve().parent in results:
        raise ValueError(f"--out {out}: results would replace pictures in {files[0].parent}; name another folder")


def _grids(path: str) -> list[Any]:
    from sam2v.files import read_json

    try:
        grids = read_json(path)
    except ValueError as error:
        raise ValueError(f"--point-grids {error}") from None
    if not isinstance(grids, list):
        raise ValueError(f"--point-grids {path}: expected a list of grids, one for the picture and one for each layer")
    return grids
