"""Options and output that every scoring command of `sam2v eval` has."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sam2v.cli.options import add_quiet_argument
from sam2v.files import user_path

if TYPE_CHECKING:
    from sam2v.evaluation.protocol import Protocol
    from sam2v.evaluation.results import Evaluation
    from sam2v.evaluation.youtube import Categories


def add_reporting(parser: argparse.ArgumentParser, protocol: str | None) -> None:
    """Options of scoring and its output; `protocol` is the default, None where the data set decides."""
    default = protocol or "the data set's own"
    parser.add_argument(
        "--protocol",
        default=protocol,
        help="davis (objects of the first frame; first and last frame left out), all-frames (the same, every"
        f" frame), youtube (objects that enter later; sparse annotations), sav; default: {default}",
    )
    parser.add_argument(
        "--frames", choices=("inner", "all", "after-first"), help="frames to score, if not the protocol's"
    )
    parser.add_argument(
        "--bound-th", type=float, help="boundary tolerance: share of the diagonal (0.008), or pixels from 1 on"
    )
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write means and every object's statistics")
    parser.add_argument("--csv", type=user_path, metavar="FILE", help="write a row per object")
    parser.add_argument("--frames-csv", type=user_path, metavar="FILE", help="write a row per object and frame")
    parser.add_argument("--plot", type=user_path, metavar="FILE", help="draw bars per sequence, J&F over frames")
    parser.add_argument("--worst", type=user_path, metavar="FILE", help="draw a contact sheet of the worst frames")
    parser.add_argument(
        "--images", type=user_path, metavar="DIR", help="pictures for the contact sheet: DIR/SEQUENCE/FRAME.jpg"
    )
    parser.add_argument("--meta", type=user_path, metavar="FILE", help="YouTube-VOS meta.json with categories")
    parser.add_argument("--seen", type=user_path, metavar="FILE", help="seen categories: train meta.json or .txt")
    add_quiet_argument(parser)


def chosen_protocol(args: argparse.Namespace, default: str) -> Protocol:
    """The protocol that the options name.

    Raises:
        ValueError: options that contradict each other. OSError, ImportError: what the report needs is not there.
    """
    from sam2v.evaluation.protocol import get_protocol

    if (args.meta is None) != (args.seen is None):
        raise ValueError("--meta and --seen go together: the objects' categories, and which training saw")
    if args.images is not None and args.worst is None:
        raise ValueError("--images are the pictures of a contact sheet: they need --worst FILE")
    if args.meta is not None:
        _categories(args)
    check_plot(args)
    return get_protocol(args.protocol or default, args.frames, args.bound_th)


def check_plot(args: argparse.Namespace) -> None:
    """Raise ImportError if a plot is wanted and cannot be drawn."""
    if args.plot is not None:
        from sam2v.evaluation.pictures import figure

        figure(1, 1)


def _categories(args: argparse.Namespace) -> tuple[Categories, set[str]]:
    """The objects' categories, and those that training saw."""
    from sam2v.evaluation.youtube import read_categories, read_seen

    return read_categories(args.meta), read_seen(args.seen)


def parts_folder(args: argparse.Namespace) -> Path | None:
    """Where finished sequences are kept until the JSON file is written; None without one."""
    return args.json.with_name(f"{args.json.name}.parts") if args.json else None


def report(args: argparse.Namespace, evaluation: Evaluation) -> None:
    """Print the table and write what was asked for; only rank 0 does."""
    from sam2v.jobs.parts import Parts
    from sam2v.jobs.ranks import rank_and_world

    if rank_and_world()[0] != 0:
        return
    print(evaluation.table())
    if args.meta is not None:
        from sam2v.evaluation.youtube import seen_unseen

        split = seen_unseen(evaluation, *_categories(args))
        print("  ".join(f"{name} {100 * value:.1f}" for name, value in split.items()))
    _write(args, evaluation)
    parts = parts_folder(args)
    if parts is not None:
        Parts(parts).remove()


def _write(args: argparse.Namespace, evaluation: Evaluation) -> None:
    if args.json is not None:
        evaluation.write_json(args.json)
    if args.csv is not None:
        evaluation.write_csv(args.csv)
    if args.frames_csv is not None:
        evaluation.write_frames_csv(args.frames_csv)
    if args.plot is not None or args.worst is not None:
        from sam2v.evaluation import pictures

        if args.plot is not None:
            pictures.plot(evaluation, args.plot)
        if args.worst is not None:
            pictures.contact_sheet(evaluation, args.worst, args.images)
    say_written(args.json, args.csv, args.frames_csv, args.plot, args.worst)


def say_written(*paths: Path | None) -> None:
    """Name the files on stderr."""
    for path in filter(None, paths):
        print(f"written: {path}", file=sys.stderr)
