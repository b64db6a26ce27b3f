"""`sam2v data-engine verify`: automatic verification before people."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(commands: Any, add_project_arguments: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "verify",
        help="verify automatically what is surely right",
        description="Learn from what people verified which masklets are surely right, and verify those; the others, and"
        " a random share of all, stay with people. Prints the precision and recall on masklets that were not learnt"
        " from.",
    )
    add_project_arguments(parser)
    parser.add_argument("--precision", type=float, default=0.95, help="wanted, 0 to 1 (default: %(default)s)")
    parser.add_argument(
        "--share", type=float, default=0.1, help="of the masklets that people verify in any case (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Learn, verify and report."""
    from sam2v.cli.data_engine import open_project

    with open_project(args) as project:
        from sam2v.data_engine.checking import check

        done = check(project, args.precision, args.share)
    rule = done.rule
    learnt = f"{rule.samples} verdicts, {rule.right} of them satisfactory"
    if rule.recall:
        print(f"learnt from {learnt}: precision {rule.precision:.3f}, recall {rule.recall:.3f}")
    else:
        print(f"learnt from {learnt}: no score reaches a precision of {args.precision:g}")
    print(f"{done.accepted} verified, {done.left} left to people, {done.drawn} drawn for them at random")
    return 0
