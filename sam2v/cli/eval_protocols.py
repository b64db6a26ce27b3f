"""`sam2v eval vos` and `sam2v eval interactive`: run a model or a baseline over a data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam2v.cli.eval_report import add_reporting, check_plot, chosen_protocol, parts_folder, report, say_written
from sam2v.cli.eval_setup import DATASETS, PredictorSpec, records_from, run_from, spec_from
from sam2v.cli.options import (
    add_aspect_argument,
    add_memory_argument,
    add_model_arguments,
    add_quiet_argument,
    add_resize_argument,
    memory_from,
)
from sam2v.cli.workers import add_worker_arguments
from sam2v.files import user_path

if TYPE_CHECKING:
    from sam2v.jobs.run import Run


def add_parsers(commands: Any) -> None:
    """Add the two subcommands."""
    _add_vos(commands)
    _add_interactive(commands)


def _add_vos(commands: Any) -> None:
    parser = commands.add_parser(
        "vos",
        help="semi-supervised protocol: prompt objects where they enter, track, score",
        description="Track every object of a data set from a prompt on the frame where it enters, write the"
        " predictions in the data set's submission layout, and score them.",
    )
    _add_data_and_model(parser)
    parser.add_argument("--prompt", default="mask", help="mask (default), box, or clicks:N")
    parser.add_argument("--out", type=user_path, metavar="DIR", help="write the predicted masks")
    add_reporting(parser, None)
    parser.set_defaults(run=run_vos)


def _add_interactive(commands: Any) -> None:
    parser = commands.add_parser(
        "interactive",
        help="interactive protocols: J&F over the number of annotated frames",
        description="Simulate a user who corrects frames with clicks: offline (several passes, each time the"
        " frame with the lowest IoU) or online (one pass, pausing when the IoU falls under a threshold).",
    )
    _add_data_and_model(parser)
    parser.add_argument("--mode", choices=("offline", "online", "both"), default="both", help="default: both")
    parser.add_argument("--frames", type=int, default=8, help="annotated frames at most (default: 8)")
    parser.add_argument("--clicks", type=int, default=3, help="clicks per annotated frame (default: 3)")
    parser.add_argument("--threshold", type=float, default=0.75, help="online: IoU to pause under (0.75)")
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write means and every object's curve")
    parser.add_argument("--csv", type=user_path, metavar="FILE", help="write a row per number of frames")
    parser.add_argument("--plot", type=user_path, metavar="FILE", help="draw J&F over annotated frames")
    add_quiet_argument(parser)
    parser.set_defaults(run=run_interactive)


def _add_data_and_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", choices=DATASETS, required=True, help="how ROOT is laid out")
    parser.add_argument("--root", type=user_path, required=True, metavar="ROOT", help="the data set's folder")
    parser.add_argument("--split", help="e.g. val (default: the data set's validation split)")
    parser.add_argument("--sequences", help="names separated by commas, or a .txt file with one a line")
    parser.add_argument("--baseline", choices=("copy", "flow"), help="instead of a model: copy or warp masks")
    add_worker_arguments(parser, "the data set and what is written")
    add_memory_argument(parser)
    add_aspect_argument(parser)
    add_resize_argument(parser)
    add_model_arguments(parser)


def run_vos(args: argparse.Namespace) -> int:
    """Track, write, score and report."""
    from sam2v.data.annotations import LabelMaps, ObjectFolders
    from sam2v.evaluation.vos import evaluate_vos, own_protocol

    chosen_protocol(args, "davis")  # what is wrong with the options is said first
    if args.worst is not None and args.out is None:
        raise ValueError("--worst draws the written predictions: it needs --out DIR")
    run = _run(args, parts_folder(args))
    records = records_from(args)
    if args.worst is not None and not isinstance(records[0].annotations, LabelMaps | ObjectFolders):
        raise ValueError(f"--worst draws annotations that are pictures, of which {args.root} has none")
    protocol = chosen_protocol(args, args.protocol or own_protocol(args.dataset, records))
    found = evaluate_vos(_spec(args), records, prompt=args.prompt, protocol=protocol, out=args.out, run=run)
    if not any(sequence.objects for sequence in found.sequences.values()):
        where = f"; predictions are in {args.out}" if args.out else ""
        print(f"{args.root} annotates only the frames where objects enter: nothing to score{where}")
        return 0
    report(args, found)
    return 0


def run_interactive(args: argparse.Namespace) -> int:
    """Run one or both protocols and report."""
    from sam2v.evaluation import curves
    from sam2v.evaluation.interactive import InteractiveSettings, evaluate_interactive
    from sam2v.jobs.parts import Parts
    from sam2v.jobs.ranks import rank_and_world

    modes: tuple[Any, ...] = ("offline", "online") if args.mode == "both" else (args.mode,)
    check_plot(args)
    settings = [InteractiveSettings(mode, args.frames, args.clicks, args.threshold) for mode in modes]
    records, spec = records_from(args), _spec(args)
    parts = parts_folder(args)
    results = [
        evaluate_interactive(spec, records, one, run=_run(args, parts / one.mode if parts else None))
        for one in settings
    ]
    if rank_and_world()[0] != 0:
        return 0
    print("\n\n".join(result.table() for result in results))
    if args.json is not None:
        curves.write_curves_json(results, args.json)
        if parts is not None:
            Parts(parts).remove()
    if args.csv is not None:
        curves.write_curves_csv(results, args.csv)
    if args.plot is not None:
        curves.plot_curves(results, args.plot)
    say_written(args.json, args.csv, args.plot)
    return 0


def _spec(args: argparse.Namespace) -> PredictorSpec:
    return spec_from(args, args.baseline, memory_from(args), args.keep_aspect, args.resize)


def _run(args: argparse.Namespace, parts: Path | None) -> Run:
    how = [args.resize] if args.resize != "host" else []  # what was begun before there was this option goes on
    return run_from(args, parts, args.baseline, memory_from(args), args.keep_aspect, *how)
