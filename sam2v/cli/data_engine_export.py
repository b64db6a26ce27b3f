"""`sam2v data-engine export`: a project's masklets as a data set."""

from __future__ import annotations

import argparse
from typing import Any

from sam2v.cli.options import add_quiet_argument, no_progress
from sam2v.files import user_path


def add_parser(commands: Any, add_project_arguments: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "export",
        help="write a data set",
        description="Write what is verified, and automatic masklets that were not rejected, as a data set with splits"
        " by video and a data card",
    )
    add_project_arguments(parser)
    parser.add_argument("--out", type=user_path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--format", default="sav", metavar="LIST", help="of sav, davis, coco, yolo (default: sav)")
    parser.add_argument(
        "--split",
        default="train=0.8,val=0.1,test=0.1",
        metavar="LIST",
        help="shares of the videos; those that have been exported stay where they are (default: %(default)s)",
    )
    parser.add_argument("--unverified", action="store_true", help="also what waits for verification")
    add_quiet_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export and say what."""
    from sam2v.cli.data_engine import open_project

    shares = _shares(args.split)
    formats = [name.strip() for name in args.format.split(",") if name.strip()]
    with open_project(args) as project:
        from tqdm import tqdm

        from sam2v.data_engine.export import export_project

        which: Any = "annotated" if args.unverified else "verified"
        with tqdm(unit="video", disable=no_progress(args)) as bar:
            done = export_project(project, args.out, formats, shares, which, bar.update)
    for split, count in done.videos.items():
        print(f"{split}: {count} videos, {done.masklets[split]} masklets")
    for name, reason in done.failed.items():
        print(f"left out: {name}: {reason}")
    return 0


def _shares(text: str) -> dict[str, float]:
    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): float(share) for name, share in pairs}
    except ValueError:
        raise ValueError(f"--split {text}: expected shares such as train=0.8,val=0.1,test=0.1") from None
