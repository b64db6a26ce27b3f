"""`sam2v auto`: segment everything in a picture, in a folder of pictures, or in a video."""

from __future__ import annotations

import argparse

from sam2v.cli import auto_masklets, auto_masks
from sam2v.cli.masklet_options import video_flags
from sam2v.cli.options import add_model_arguments, add_quiet_argument
from sam2v.files import user_path

DESCRIPTION = (
    "Segment everything without a prompt. Of pictures it writes label maps, overlays, records and a COCO data set; in"
    " a video it tracks what it finds, and writes masklets."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument("source", type=user_path, metavar="SOURCE", help="a picture, a folder of pictures, or a video")
    parser.add_argument("--out", type=user_path, required=True, metavar="DIR", help="where the results go")
    add_quiet_argument(parser)
    auto_masks.add_arguments(parser)
    auto_masklets.add_arguments(parser)
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Find and write, by what the source is."""
    from sam2v.video.frames import is_image_name

    source = args.source
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder")
    is_video = args.video or not (source.is_dir() or is_image_name(source))
    if is_video and (odd := auto_masks.picture_flags(args)):
        raise ValueError(f"{odd[0]} is an option of pictures, not of videos")
    if not is_video and (odd := video_flags(args)):
        raise ValueError(f"{odd[0]} is an option of videos (a folder that holds a video's frames: add --video)")
    return (auto_masklets if is_video else auto_masks).run(args, source)
