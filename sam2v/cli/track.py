"""`sam2v track`: track prompted objects through a video, and go on after an interruption."""

from __future__ import annotations

import argparse

from sam2v.cli.options import (
    add_aspect_argument,
    add_memory_argument,
    add_model_arguments,
    add_quiet_argument,
    add_resize_argument,
    add_runtime_arguments,
    no_progress,
)
from sam2v.cli.workers import add_worker_arguments, workers_are_wanted
from sam2v.files import user_path

DESCRIPTION = (
    "Track objects, prompted by clicks, boxes or masks on any frame, through a video. "
    "Frames count from 0, coordinates are pixels of the video. An interrupted run goes on when started again."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument("video", type=user_path, nargs="+", metavar="VIDEO", help="a video file or a folder of frames")
    prompts = parser.add_argument_group("prompts", "F: frame, ID: number of the object; all may be repeated")
    prompts.add_argument(
        "--point", action="append", default=[], metavar="F:ID:X,Y[,LABEL]", help="a click; label 1 or 0"
    )
    prompts.add_argument("--box", action="append", default=[], metavar="F:ID:X0,Y0,X1,Y1", help="a box")
    prompts.add_argument("--mask", action="append", default=[], metavar="F:ID:FILE", help="a mask image, object not 0")
    prompts.add_argument(
        "--prompts",
        action="append",
        default=[],
        metavar="FILE",
        help="prompts in JSON; of several videos also a folder with NAME.json for each",
    )
    prompts.add_argument(
        "--exemplar", action="append", default=[], metavar="ID:FILE", help="what another run's --save-exemplar kept"
    )
    prompts.add_argument(
        "--masks",
        type=user_path,
        metavar="PATH",
        help="masks to start from: label maps (DAVIS), npz, COCO, ...: each object's first one; of several videos a"
        " folder with those of each under its name",
    )
    prompts.add_argument("--masks-frames", metavar="F,F,...", help="all masks on these frames instead")
    span = parser.add_argument_group("what is tracked")
    span.add_argument("--start", type=int, metavar="F", help="where to start (default: the earliest prompt)")
    span.add_argument("--max-frames", type=int, metavar="N", help="frames to go from the start")
    ways = span.add_mutually_exclusive_group()
    ways.add_argument("--reverse", action="store_true", help="towards the beginning")
    ways.add_argument("--both", action="store_true", help="to the end, then towards the beginning")
    span.add_argument("--non-overlap", action="store_true", help="give every pixel to one object at most")
    span.add_argument(
        "--fill-holes", type=int, default=8, metavar="AREA", help="fill holes up to this area (default: 8)"
    )
    add_memory_argument(span)
    add_aspect_argument(span)
    add_resize_argument(span)
    span.add_argument(
        "--frames-per-encoding",
        type=int,
        metavar="N",
        help="frames encoded in one batch (default: 4 on CUDA, else 1)",
    )
    span.add_argument(
        "--videos-at-once",
        type=int,
        metavar="N",
        help="videos that share every batch, where there are several (default: 4 on CUDA, else 1)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        type=user_path,
        required=True,
        metavar="DIR",
        help="where the results go; of several videos into a folder for each, DIR/NAME",
    )
    output.add_argument(
        "--format",
        default="png,coco,mp4",
        metavar="LIST",
        help="of png, objects, coco, sav, yolo, cvat, labelstudio, npz, mp4, webm, gif (default: %(default)s)",
    )
    output.add_argument(
        "--save-exemplar", action="append", default=[], metavar="ID:FILE", help="keep what is known of an object"
    )
    output.add_argument(
        "--class", action="append", default=[], dest="classes", metavar="ID=NAME", help="what an object is"
    )
    output.add_argument("--fps", type=float, help="frame rate of overlays (default: the video's, or 25)")
    output.add_argument("--fresh", action="store_true", help="start over, forgetting an earlier run in DIR")
    add_quiet_argument(output)
    add_worker_arguments(parser, "the videos and DIR")
    add_model_arguments(parser)
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Track and write."""
    from sam2v.cli.track_request import TrackRequest, check_arguments, predictor_from

    check_arguments(args)
    if len(args.video) > 1 or workers_are_wanted(args):
        from sam2v.cli.track_many import run_many

        return run_many(args)
    request = TrackRequest(args, args.video[0], args.out, args.prompts, args.masks)
    prompts = request.prompts()
    request.job(predictor_from(args), prompts).run(args.fps, args.fresh, no_progress(args))
    return 0
