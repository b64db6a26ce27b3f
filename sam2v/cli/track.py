"""`sam2v track`: track prompted objects through a video, and go on after an interruption."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from sam2v.cli.options import (
    add_aspect_argument,
    add_memory_argument,
    add_model_arguments,
    add_quiet_argument,
    add_runtime_arguments,
    export_from,
    load_model_from,
    memory_from,
    no_progress,
)
from sam2v.files import user_path

if TYPE_CHECKING:
    from sam2v.predict.video import VideoPredictor

DESCRIPTION = (
    "Track objects, prompted by clicks, boxes or masks on any frame, through a video. "
    "Frames count from 0, coordinates are pixels of the video. An interrupted run goes on when started again."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument("video", type=user_path, metavar="VIDEO", help="a video file or a folder of frames")
    prompts = parser.add_argument_group("prompts", "F: frame, ID: number of the object; all may be repeated")
    prompts.add_argument(
        "--point", action="append", default=[], metavar="F:ID:X,Y[,LABEL]", help="a click; label 1 or 0"
    )
    prompts.add_argument("--box", action="append", default=[], metavar="F:ID:X0,Y0,X1,Y1", help="a box")
    prompts.add_argument("--mask", action="append", default=[], metavar="F:ID:FILE", help="a mask image, object not 0")
    prompts.add_argument("--prompts", action="append", default=[], metavar="FILE", help="prompts in JSON")
    prompts.add_argument(
        "--exemplar", action="append", default=[], metavar="ID:FILE", help="what another run's --save-exemplar kept"
    )
    prompts.add_argument(
        "--masks",
        type=user_path,
        metavar="PATH",
        help="masks to start from: label maps (DAVIS), npz, COCO, ...: each object's first one",
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
    span.add_argument(
        "--frames-per-encoding", type=int, default=1, metavar="N", help="frames encoded in one batch (default: 1)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=user_path, required=True, metavar="DIR", help="where the results go")
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
    add_model_arguments(parser)
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Track and write."""
    from sam2v.cli.prompts import classes_of, gather_prompts, imported_prompts, object_files
    from sam2v.cli.track_job import Exemplars, TrackJob
    from sam2v.output.writers import checked_formats
    from sam2v.predict.video import Direction
    from sam2v.tracking.options import VideoOptions

    formats = checked_formats(args.format)
    if args.fps is not None and not 0.001 <= args.fps < math.inf:
        raise ValueError(f"--fps must be a number from 0.001 on, got {args.fps}")
    if args.max_frames is not None and args.max_frames < 0:
        raise ValueError(f"--max-frames must not be negative, got {args.max_frames}")
    exemplars = Exemplars(
        object_files(args.exemplar, "--exemplar"), object_files(args.save_exemplar, "--save-exemplar")
    )
    classes = classes_of(args.classes)
    if args.masks_frames is not None and args.masks is None:
        raise ValueError("--masks-frames chooses among those of --masks")
    imported = imported_prompts(args.masks, args.masks_frames, args.video, args.out) if args.masks is not None else []
    prompts = gather_prompts(args.point, args.box, args.mask, args.prompts, imported, needed=not exemplars.given)
    exemplars.check(prompts)
    memory = memory_from(args)
    if args.frames_per_encoding < 1:
        raise ValueError(f"--frames-per-encoding must be at least 1, got {args.frames_per_encoding}")
    options = VideoOptions(
        non_overlap_masks=args.non_overlap, fill_hole_area=args.fill_holes, keep_aspect=args.keep_aspect
    )
    predictor = _predictor(args, policy=memory, frames_per_encoding=args.frames_per_encoding, options=options)
    direction: Direction = "both" if args.both else "reverse" if args.reverse else "forward"
    span = (direction, args.start, args.max_frames)
    job = TrackJob(predictor, args.video, prompts, *span, args.out, formats, exemplars, classes)
    job.run(fps=args.fps, fresh=args.fresh, no_progress=no_progress(args))
    return 0


def _predictor(args: argparse.Namespace, **options: Any) -> VideoPredictor:
    """A predictor of a network, or of an exported model."""
    exported = export_from(args)
    if exported is not None:
        from sam2v.runtime.predictors import VideoPredictor as ExportedVideoPredictor

        return ExportedVideoPredictor(exported, **options)
    from sam2v.predict.video import VideoPredictor

    return VideoPredictor(load_model_from(args), **options)
