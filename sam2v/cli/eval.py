"""`sam2v eval`: score mask folders, and run evaluation protocols with a model or a baseline."""

from __future__ import annotations

import argparse
from typing import Any

from sam2v.cli import eval_everything, eval_protocols
from sam2v.cli.eval_report import add_reporting, chosen_protocol, parts_folder, report
from sam2v.files import user_path

DESCRIPTION = "Measure tracking quality on a data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    commands = parser.add_subparsers(dest="eval_command", required=True, metavar="COMMAND")
    _add_score(commands)
    _add_miou(commands)
    eval_protocols.add_parsers(commands)
    eval_everything.add_parser(commands)


def _add_score(commands: Any) -> None:
    parser = commands.add_parser(
        "score",
        help="J&F of any method's PNG folders",
        description="J&F of PRED/SEQUENCE/FRAME.png (label maps, or 0 / 255 pictures of one object; or one"
        " folder per object) against GT, with the DAVIS toolkit's conventions. Values are printed in percent"
        " and written as fractions.",
    )
    parser.add_argument("pred", type=user_path, metavar="PRED", help="folder of predicted sequences")
    parser.add_argument("gt", type=user_path, metavar="GT", help="folder of annotated sequences, or a data set's root")
    parser.add_argument("--sequences", help="names separated by commas, or a .txt file with one a line")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--binary", action="store_true", default=None, help="every non-zero pixel is the one object")
    kind.add_argument(
        "--labels", action="store_false", dest="binary", default=None, help="pixel values are object numbers"
    )
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    add_reporting(parser, "davis")
    parser.set_defaults(run=run_score)


def _add_miou(commands: Any) -> None:
    parser = commands.add_parser("miou", help="mean IoU of single images: PRED/NAME.png against GT/NAME.png")
    parser.add_argument("pred", type=user_path, metavar="PRED", help="folder of predicted label maps")
    parser.add_argument("gt", type=user_path, metavar="GT", help="folder of annotations of the same names")
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write the mean and every object's IoU")
    parser.set_defaults(run=run_miou)


def run_score(args: argparse.Namespace) -> int:
    """Score two folders and report."""
    from sam2v.evaluation.score import evaluate_folders

    evaluation = evaluate_folders(
        args.pred,
        args.gt,
        protocol=chosen_protocol(args, "davis"),
        sequences=args.sequences,
        binary=args.binary,
        workers=args.workers,
        progress=not args.quiet,
        parts=parts_folder(args),
    )
    report(args, evaluation)
    return 0


def run_miou(args: argparse.Namespace) -> int:
    """Score single images and print the mean."""
    from sam2v.evaluation.miou import evaluate_images

    scores = evaluate_images(args.pred, args.gt)
    objects = sum(map(len, scores.images.values()))
    print(f"mIoU {100 * scores.mean:.2f} over {objects} objects in {len(scores.images)} images")
    if args.json is not None:
        scores.write_json(args.json)
    return 0
