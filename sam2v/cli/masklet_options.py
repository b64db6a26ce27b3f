"""Arguments for finding everything in a video, which `sam2v auto` and `sam2v eval everything` share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sam2v.files import user_path

if TYPE_CHECKING:
    import numpy as np

    from sam2v.automatic.masklet_options import MaskletOptions

#: Argument -> option and what it says. Those that pictures have as well are not among them.
_NUMBERS: dict[str, tuple[type, str, str]] = {
    "max_objects": (int, "N", "objects tracked at a time"),
    "propose_every": (int, "N", "frames between proposals, 0: on the first frame alone"),
    "uncovered": (float, "SHARE", "also propose when so much more of the picture is covered by no object"),
    "min_area": (float, "SHARE", "smallest object, as a share of the picture"),
    "new_share": (float, "SHARE", "least share of a new object that no other covers"),
    "hot_start": (int, "N", "frames in which a new object has to prove itself"),
    "keep_alive": (int, "N", "frames that an object may be out of sight"),
    "min_quality": (float, "Q", "objects with masks that are worse on average are given up"),
}


def add_masklet_arguments(parser: Any) -> None:
    """Arguments of videos."""
    for name, (kind, metavar, what) in _NUMBERS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=what)
    parser.add_argument("--both", action="store_true", help="track objects also backwards, to where they began")
    parser.add_argument("--leave-out", metavar="FILE", help="a mask of the picture in which nothing is looked for")
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="LABEL=FILE",
        help="keep only objects that begin inside of a mask, with its label; may be repeated",
    )


def add_proposal_arguments(parser: Any) -> None:
    """Arguments of the grid and of the filters, as `sam2v auto` has them for pictures too."""
    parser.add_argument("--points-per-side", type=int, metavar="N", help="points of the grid a side")
    parser.add_argument("--pred-iou-thresh", type=float, metavar="IOU", help="least predicted IoU of a mask")
    parser.add_argument("--stability-score-thresh", type=float, metavar="S", help="least stability of a mask")


#: Options of the grid and the filters that videos have as pictures do.
SHARED = (
    *("points_per_side", "points_per_batch", "pred_iou_thresh", "stability_score_thresh", "stability_score_offset"),
    "box_nms_thresh",
)


def masklet_options_from(args: argparse.Namespace) -> MaskletOptions:
    """The options that the arguments name; the others are left as they are.

    Raises:
        ValueError: a value out of range, or --keep without a label. OSError: a mask cannot be read.
    """
    from sam2v.automatic.masklet_options import MaskletOptions

    given = {name: value for name in (*_NUMBERS, *SHARED) if (value := getattr(args, name, None)) is not None}
    masks: dict[str, Any] = {}
    if args.leave_out is not None:
        masks["leave_out"] = _mask(args.leave_out)
    if args.keep:
        masks["keep"] = dict(map(_kept, args.keep))
    return MaskletOptions(**given, both=args.both, **masks)


def video_flags(args: argparse.Namespace) -> list[str]:
    """The flags of videos that were given."""
    names = (*_NUMBERS, "both", "leave_out", "keep", "format", "fps")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) not in (None, False, [])]


def _kept(text: str) -> tuple[str, np.ndarray]:
    label, separator, file = text.partition("=")
    if not label or not separator or not file:
        raise ValueError(f"{text!r}: expected --keep LABEL=FILE")
    return label, _mask(file)


def _mask(file: str) -> np.ndarray:
    from sam2v.masks.png import read_binary

    return read_binary(user_path(file))
