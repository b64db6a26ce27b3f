"""`sam2v edit`: effects on tracked objects and on the background, written as a video."""

from __future__ import annotations

import argparse

from sam2v.cli.options import add_quiet_argument, no_progress
from sam2v.files import user_path

DESCRIPTION = (
    "Blur, cut out, erase, outline... tracked objects and the background, and write the video anew, with the sound and "
    "the times of the original. An effect is TARGET:EFFECT[=VALUE[,key=value]]; a target is an object's id, objects or "
    "background. Effects: spotlight, blur, pixelate, desaturate, recolour, fill, outline, cutout, erase, duplicate, "
    "trail, enlarge."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument("video", type=user_path, metavar="VIDEO", help="a video file or a folder of frames")
    parser.add_argument(
        "--masks",
        type=user_path,
        required=True,
        metavar="PATH",
        help="what sam2v track wrote, or other masks: PNG, npz, COCO, SA-V",
    )
    parser.add_argument(
        "--effect",
        action="append",
        default=[],
        metavar="TARGET:EFFECT",
        help="such as background:blur=12 or 1:outline; may be repeated, done in this order",
    )
    parser.add_argument(
        "--out",
        type=user_path,
        required=True,
        metavar="FILE",
        help="a .mp4, .webm or .gif, or a new folder for pictures",
    )
    parser.add_argument("--format", choices=("mp4", "webm", "gif", "png"), help="default: by the ending of --out")
    parser.add_argument(
        "--allow-gaps", action="store_true", help="treat frames that no masks are known of as frames without objects"
    )
    parser.add_argument("--no-sound", action="store_true", help="leave the sound out")
    add_quiet_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Read, edit and write."""
    from tqdm import tqdm

    from sam2v.effects.rendering import render

    if not args.effect:
        raise ValueError("nothing to do: give --effect, such as --effect background:blur=12")
    done = 0
    with tqdm(unit="frame", disable=no_progress(args)) as bar:

        def show(count: int, total: int | None) -> None:
            nonlocal done
            bar.total, done = total, count
            bar.update()

        out = render(
            args.video,
            args.masks,
            args.effect,
            args.out,
            format=args.format,
            sound=not args.no_sound,
            gaps="unchanged" if args.allow_gaps else "error",
            progress=show,
        )
    print(f"{done} frame{'s' * (done != 1)} in {out}")
    return 0
