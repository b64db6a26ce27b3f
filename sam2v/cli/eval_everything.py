"""`sam2v eval everything`: automatic masklets against annotated objects, beside two baselines."""

from __future__ import annotations

import argparse
from typing import Any

from sam2v.cli.eval_report import parts_folder, say_written
from sam2v.cli.eval_setup import PredictorSpec, add_video_arguments, records_from, run_from, spec_from
from sam2v.cli.masklet_options import add_masklet_arguments, add_proposal_arguments, masklet_options_from
from sam2v.cli.options import add_model_arguments, add_quiet_argument
from sam2v.cli.workers import add_worker_arguments
from sam2v.files import user_path


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "everything",
        help="everything found without a prompt, against what is annotated",
        description="Find and track everything in videos and score it against annotated objects, whatever they are"
        " called: recall of tubes and frames, identity switches, and precision and HOTA where the annotation covers"
        " everything. Beside automatic masklets stand the first frame's masks tracked, and every frame's linked.",
    )
    add_video_arguments(parser, "six objects, all annotated")
    parser.add_argument("--methods", default="masklets,first,link", help="which (default: %(default)s)")
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write the numbers, also of every video")
    add_worker_arguments(parser, "the data set and what is written")
    how = parser.add_argument_group("how objects are found")
    add_proposal_arguments(how)
    add_masklet_arguments(how)
    add_quiet_argument(parser)
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Find, score and report."""
    from sam2v.evaluation.everything import evaluate_everything, table, write_json
    from sam2v.jobs.parts import Parts
    from sam2v.jobs.ranks import rank_and_world

    methods: Any = [name.strip() for name in args.methods.split(",")]
    options = masklet_options_from(args)
    videos, complete = _videos(args)
    work = run_from(args, parts_folder(args))
    network = _Network(spec_from(args))
    found = evaluate_everything(network, videos, options, methods=methods, complete=complete, run=work)
    if rank_and_world()[0] != 0:
        return 0
    print(table(found))
    if args.json is not None:
        write_json(found, args.json)
        Parts(args.json.with_name(f"{args.json.name}.parts")).remove()
        say_written(args.json)
    return 0


class _Network:
    """Gives a process's one network."""

    def __init__(self, spec: PredictorSpec) -> None:
        self._spec = spec

    def __call__(self) -> Any:
        predictor: Any = self._spec()
        return predictor.model


def _videos(args: argparse.Namespace) -> tuple[Any, bool]:
    """The videos, and whether everything in them is annotated."""
    if (args.drawn is None) == (args.root is None):
        raise ValueError("give either --drawn N, or --dataset and --root")
    if args.drawn is not None:
        from sam2v.evaluation.drawn import drawn_videos

        if args.drawn < 1 or args.seed < 0 or (args.frames is not None and args.frames < 1):
            raise ValueError("--drawn and --frames must be at least 1, and --seed at least 0")
        return drawn_videos(args.drawn, args.seed, args.frames), True
    if args.dataset is None:
        raise ValueError("--root needs --dataset: how the folder is laid out")
    return records_from(args), False
