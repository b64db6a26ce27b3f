"""`sam2v auto`: segment everything in a picture, in a folder of pictures, or in a video."""

from __future__ import annotations

import argparse
from pathlib import Path

from sam2v.cli import auto_masklets, auto_masks
from sam2v.cli.masklet_options import video_flags
from sam2v.cli.options import add_model_arguments, add_quiet_argument, check_folder
from sam2v.cli.workers import add_worker_arguments, workers_are_wanted
from sam2v.files import user_path

DESCRIPTION = (
    "Segment everything without a prompt. Of pictures it writes label maps, overlays, records and a COCO data set; in"
    " a video it tracks what it finds, and writes masklets."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument(
        "source", type=user_path, nargs="+", metavar="SOURCE", help="a picture, a folder of pictures, or a video"
    )
    parser.add_argument(
        "--out",
        type=user_path,
        required=True,
        metavar="DIR",
        help="where the results go; of several sources into a folder for each, DIR/NAME",
    )
    parser.add_argument("--fresh", action="store_true", help="of several sources, do again what is done")
    add_quiet_argument(parser)
    auto_masks.add_arguments(parser)
    auto_masklets.add_arguments(parser)
    add_worker_arguments(parser, "the sources and DIR")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Find and write, by what each source is."""
    from sam2v.cli.track_record import RECORD

    check_folder(args.out)
    videos = [_is_video(args, source) for source in args.source]
    if len(videos) > 1 or workers_are_wanted(args):
        from sam2v.cli.auto_many import run_many

        return run_many(args, videos)
    if (args.out / RECORD).exists():
        raise ValueError(
            f"--out {args.out}: holds a run of sam2v track, which results would replace; name another folder"
        )
    return (auto_masklets if videos[0] else auto_masks).run(args, args.source[0])


def _is_video(args: argparse.Namespace, source: Path) -> bool:
    """Whether a source is a video; raises an error if there is none, or options do not fit."""
    from sam2v.video.frames import is_image_name

    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder")
    is_video = args.video or not (source.is_dir() or is_image_name(source))
    if is_video and (odd := auto_masks.picture_flags(args)):
        raise ValueError(f"{odd[0]} is an option of pictures, not of videos")
    if not is_video and (odd := video_flags(args)):
        raise ValueError(f"{odd[0]} is an option of videos (a folder that holds a video's frames: add --video)")
    return bool(is_video)
