"""`sam2v auto`: segment everything in a picture or in a folder of pictures."""

from __future__ import annotations

import argparse

from sam2v.cli import auto_masks
from sam2v.cli.options import add_model_arguments, add_quiet_argument

DESCRIPTION = "Segment everything without a prompt. Writes label maps, overlays, records and a COCO data set."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument("source", metavar="SOURCE", help="a picture, or a folder of pictures")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the results go")
    add_quiet_argument(parser)
    auto_masks.add_arguments(parser)
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Find and write, by what the source is."""
    from sam2v.files import user_path

    source = user_path(args.source)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder")
    return auto_masks.run(args, source)
