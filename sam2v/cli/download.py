"""`sam2v download`: fetch released weights."""

from __future__ import annotations

import argparse

from sam2v.files import user_path

DESCRIPTION = (
    "Fetch released weights into the cache, or check that they are there. A broken transfer goes on "
    "where it stopped. SAM2V_HOME moves the cache, SAM2V_WEIGHTS_URL names a mirror."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="a name from 'sam2v models', or a Hugging Face id")
    parser.add_argument("--dir", type=user_path, help="folder to put the files in instead of the cache")
    parser.add_argument("--sha256", help="digest the file must have (with one NAME)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Download each NAME and print its path."""
    from sam2v.weights.download import download_released
    from sam2v.weights.hub import download_hub
    from sam2v.weights.released import is_hub_id, released_url

    if args.sha256 and len(args.names) > 1:
        raise ValueError("--sha256 goes with a single NAME")
    hub = [name for name in args.names if is_hub_id(name)]
    if hub and (args.dir or args.sha256):
        raise ValueError(
            f"--dir and --sha256 do not go with a Hugging Face id ({hub[0]}): its files stay in the hub's cache"
        )
    for name in args.names:
        if name not in hub:
            released_url(name)  # a misspelt name is reported before anything is fetched
    for name in args.names:
        print(download_hub(name) if name in hub else download_released(name, args.dir, args.sha256, args.quiet))
    return 0
