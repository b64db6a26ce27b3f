"""`sam2v models`: list the models and where their weights are."""

from __future__ import annotations

import argparse

DESCRIPTION = "List the models that ship as configurations: parameters, input size, and where their weights are."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""


def run(args: argparse.Namespace) -> int:
    """Print one line a model."""
    from sam2v.config import list_model_configs

    rows = [("name", "parameters", "input", "weights"), *(_row(name) for name in list_model_configs())]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for name, parameters, size, weights in rows:
        print(f"{name:<{widths[0]}}  {parameters:>{widths[1]}}  {size:>{widths[2]}}  {weights}")
    return 0


def _row(name: str) -> tuple[str, str, str, str]:
    from sam2v.config import load_model_config
    from sam2v.weights.skeleton import build_skeleton

    config = load_model_config(name)
    count = sum(parameter.numel() for parameter in build_skeleton(config).parameters())
    return name, f"{count / 1e6:.1f} M", f"{config.image_size}", _where(name)


def _where(name: str) -> str:
    from sam2v.weights.load import embedded_checkpoint
    from sam2v.weights.released import RELEASED, cached_path

    if embedded := embedded_checkpoint(name):
        return f"in the package: {embedded}"
    if name not in RELEASED:
        return "none"
    path = cached_path(name)
    return f"{path}" if path.is_file() else f"not downloaded (sam2v download {name})"
