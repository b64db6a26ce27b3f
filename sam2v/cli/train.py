"""`sam2v train`: train or fine-tune a model by a recipe."""

from __future__ import annotations

import argparse

DESCRIPTION = (
    "Train by a recipe: a name from configs/train or a YAML file. Several processes: "
    "torchrun --nproc_per_node N -m sam2v.cli train --config RECIPE. "
    "Stop at any time; --resume goes on with the same numbers."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument(
        "--config", required=True, metavar="RECIPE", help="name of a shipped recipe, or path of a YAML file"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="changes, e.g. optim.lr=1e-4 stages.0.steps=200"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in the recipe's folder (out=...)")
    parser.add_argument("--device", help="where to compute (default: the GPU if there is one)")
    parser.add_argument("--stop-after", type=int, metavar="STEP", help="stop at this step with everything saved")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Train; prints where the weights are."""
    from sam2v.training.config import load_train_config
    from sam2v.training.loop import describe, train

    if args.stop_after is not None and args.stop_after < 1:
        raise ValueError(f"--stop-after {args.stop_after}: must be at least 1")
    config = load_train_config(args.config, args.overrides)
    first = _is_first()
    if first and not args.quiet:
        print(f"{describe(config)}; writing to {config.out}")
    result = train(config, args.resume, args.device, args.stop_after, progress=not args.quiet)
    if first:
        best = "" if result.best is None else f", best validation {result.best:.1f}"
        print(
            f"{result.steps} of {config.total_steps} steps, loss {result.loss:.3f}{best}: "
            f"{result.folder}/last.safetensors"
        )
    return 0


def _is_first() -> bool:
    import os

    return os.environ.get("RANK", "0") == "0"
