"""`sam2v eval`: score mask folders, run protocols, make baselines."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam2v.evaluation.results import Evaluation


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `eval` with its own subcommands."""
    parser = subparsers.add_parser("eval", help="J&F of predictions, evaluation protocols, baselines")
    commands = parser.add_subparsers(dest="eval_command", required=True, metavar="COMMAND")
    _add_score(commands)
    _add_miou(commands)


def _add_score(commands: Any) -> None:
    parser = commands.add_parser(
        "score",
        help="J&F of any method's PNG folders",
        description="J&F of PRED/SEQUENCE/FRAME.png (label maps, or 0 / 255 pictures of one object; or one"
        " folder per object) against GT, with the DAVIS toolkit's conventions. Values are printed in percent"
        " and written as fractions.",
    )
    parser.add_argument("pred", type=Path, metavar="PRED", help="folder of predicted sequences")
    parser.add_argument("gt", type=Path, metavar="GT", help="folder of annotated sequences, or a data set's root")
    add_scoring(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run_score)


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """Options of scoring, shared with the protocols."""
    parser.add_argument(
        "--protocol",
        default="davis",
        help="davis (default: objects of the first frame, first and last frame left out), all-frames (the"
        " same, every frame), youtube (objects that enter later; sparse annotations), sav",
    )
    parser.add_argument(
        "--frames", choices=("inner", "all", "after-first"), help="frames to score, if not the protocol's"
    )
    parser.add_argument(
        "--bound-th",
        type=float,
        help="boundary tolerance: share of the diagonal (0.008), or pixels from 1 on",
    )
    parser.add_argument("--sequences", help="names separated by commas, or a .txt file with one a line")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--binary", action="store_true", default=None, help="every non-zero pixel is the one object")
    kind.add_argument(
        "--labels", action="store_false", dest="binary", default=None, help="pixel values are object numbers"
    )
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write means and every object's statistics")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a row per object")
    parser.add_argument("--frames-csv", type=Path, metavar="FILE", help="write a row per object and frame")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw bars per sequence and J&F over frames")
    parser.add_argument("--worst", type=Path, metavar="FILE", help="draw a contact sheet of the worst frames")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="frames to draw the contact sheet on: DIR/SEQUENCE/FRAME.jpg",
    )
    parser.add_argument("--meta", type=Path, metavar="FILE", help="YouTube-VOS meta.json with the objects' categories")
    parser.add_argument(
        "--seen", type=Path, metavar="FILE", help="categories seen in training: train meta.json or .txt"
    )


def _add_miou(commands: Any) -> None:
    parser = commands.add_parser("miou", help="mean IoU of single images: PRED/NAME.png against GT/NAME.png")
    parser.add_argument("pred", type=Path, metavar="PRED")
    parser.add_argument("gt", type=Path, metavar="GT")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.set_defaults(run=run_miou)


def run_score(args: argparse.Namespace) -> int:
    """Score two folders and report."""
    return score_and_report(args, args.pred, args.gt)


def score_and_report(args: argparse.Namespace, pred: Path, gt: Path) -> int:
    """Score `pred` against `gt` with the options of `add_scoring`; rank 0 prints and writes."""
    from sam2v.evaluation.parts import Parts
    from sam2v.evaluation.protocol import get_protocol
    from sam2v.evaluation.ranks import rank_and_world
    from sam2v.evaluation.score import evaluate_folders

    if (args.meta is None) != (args.seen is None):
        raise ValueError("--meta and --seen go together: the objects' categories, and which of them training saw")
    parts = args.json.with_name(args.json.name + ".parts") if args.json else None
    evaluation = evaluate_folders(
        pred,
        gt,
        protocol=get_protocol(args.protocol, args.frames, args.bound_th),
        sequences=args.sequences,
        binary=args.binary,
        workers=args.workers,
        progress=not args.quiet,
        parts=parts,
    )
    if rank_and_world()[0] == 0:
        _report(args, evaluation, gt)
        if parts is not None:
            Parts(parts).remove()
    return 0


def _report(args: argparse.Namespace, evaluation: Evaluation, gt: Path) -> None:
    print(evaluation.table())
    if args.meta is not None:
        from sam2v.evaluation.youtube import read_categories, read_seen, seen_unseen

        split = seen_unseen(evaluation, read_categories(args.meta), read_seen(args.seen))
        print("  ".join(f"{name} {100 * value:.1f}" for name, value in split.items()))
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
    written = [args.json, args.csv, args.frames_csv, args.plot, args.worst]
    for path in filter(None, written):
        print(f"written: {path}", file=sys.stderr)


def run_miou(args: argparse.Namespace) -> int:
    """Score single images and print the mean."""
    from sam2v.evaluation.miou import evaluate_images

    scores = evaluate_images(args.pred, args.gt)
    objects = sum(map(len, scores.images.values()))
    print(f"mIoU {100 * scores.mean:.2f} over {objects} objects in {len(scores.images)} images")
    if args.json is not None:
        scores.write_json(args.json)
    return 0
