"""`sam2v data-engine auto` and `propose`: a model's work on every video of a project, by many workers."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from sam2v.cli.masklet_options import add_masklet_arguments, add_proposal_arguments, masklet_options_from
from sam2v.cli.options import add_memory_argument, add_model_arguments, add_quiet_argument, memory_from, no_progress
from sam2v.cli.workers import add_worker_arguments, check_workers, crew_of, threads_of


def add_parsers(commands: Any, add_project_arguments: Any) -> None:
    """Add the subcommands."""
    auto = commands.add_parser(
        "auto",
        help="find everything",
        description="Find and track everything in every video; the masklets become proposals. Videos that were done"
        " with the same model and options are not done again, and those that failed are tried again.",
    )
    _add_shared(auto, add_project_arguments)
    how = auto.add_argument_group("how objects are found")
    add_proposal_arguments(how)
    add_masklet_arguments(how)
    auto.set_defaults(run=run_auto)
    propose = commands.add_parser(
        "propose",
        help="track proposals anew",
        description="Track masklets that wait to be annotated anew, with another model or after edits: from the frames"
        " that were edited, else from the mask that the model was surest of",
    )
    _add_shared(propose, add_project_arguments)
    propose.set_defaults(run=run_propose)
    agree = commands.add_parser(
        "agree",
        help="measure agreement with tracking backwards",
        description="Track every object backwards, from where it is seen last, and compare: one of the scores that"
        " automatic verification (verify) learns from",
    )
    _add_shared(agree, add_project_arguments)
    agree.set_defaults(run=run_agree)


def _add_shared(parser: argparse.ArgumentParser, add_project_arguments: Any) -> None:
    add_project_arguments(parser)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="videos (default: all)")
    add_worker_arguments(parser, "the project's disk")
    add_memory_argument(parser)
    add_quiet_argument(parser)
    add_model_arguments(parser)


def run_auto(args: argparse.Namespace) -> int:
    """Find everything."""
    options = masklet_options_from(args)
    return _run(args, "masklets found", lambda runs: partial(runs.run_auto, options=options))


def run_propose(args: argparse.Namespace) -> int:
    """Propose anew."""
    return _run(args, "masklets proposed anew", lambda runs: runs.run_propose)


def run_agree(args: argparse.Namespace) -> int:
    """Measure agreement."""
    return _run(args, "masklets measured", lambda runs: runs.run_agree)


def _run(args: argparse.Namespace, what: str, chosen: Any) -> int:
    from sam2v.cli.data_engine import open_project

    memory = memory_from(args)
    check_workers(args)
    with open_project(args) as project:
        from tqdm import tqdm

        from sam2v.data_engine import runs
        from sam2v.data_engine.tools import ModelSpec

        model = (args.model, args.checkpoint, args.device, args.dtype, tuple(args.override), args.fast)
        spec = ModelSpec(*model, memory, threads_of(args))
        with tqdm(unit="video", disable=no_progress(args)) as bar:
            report = chosen(runs)(project, spec, hire=crew_of(args), step=bar.update, only=args.only)
    before = f" ({report.before} were done before)" if report.before else ""
    print(f"{report.done} videos{before}, {report.masklets} {what}")
    for name, reason in (report.failed or {}).items():
        print(f"failed: {name}: {reason}")
    return 0
