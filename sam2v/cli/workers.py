"""How many workers take the videos of a command: processes of this machine, or actors of a Ray cluster."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sam2v.jobs.units import Hire


def add_worker_arguments(parser: argparse.ArgumentParser, shared: str) -> None:
    """Which workers; `shared` is what all machines of a cluster must reach."""
    group = parser.add_argument_group("workers")
    group.add_argument("--workers", type=int, metavar="N", help="processes or actors with a model each (default: 1)")
    group.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help=f"a Ray cluster whose machines share {shared} (default: RAY_ADDRESS, or one that is begun here)",
    )
    group.add_argument("--gpus", type=float, default=0.0, metavar="N", help="that an actor needs (default: 0)")


def check_workers(args: argparse.Namespace) -> None:
    """Raise ValueError for a number of workers or GPUs that cannot be."""
    least = 0 if args.ray is None else 1
    if args.workers is not None and args.workers < least:
        raise ValueError(f"--workers must be at least {least}, got {args.workers}")
    if args.ray is None and args.gpus:
        raise ValueError("--gpus is for --ray; local workers share what --device names")
    if not args.gpus >= 0:
        raise ValueError(f"--gpus must not be negative, got {args.gpus}")


def workers_are_wanted(args: argparse.Namespace) -> bool:
    """Whether workers were asked for, be it one, or anything that only they have."""
    return args.workers is not None or args.ray is not None or args.gpus != 0


def is_alone(args: argparse.Namespace) -> bool:
    """Whether this process does the work itself."""
    return args.ray is None and (args.workers or 1) <= 1


def read_only(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments with which a process that leaves the work to others reads a model's settings and weights: on the
    CPU, whatever the workers' device, and in the precision that they will have. One that works itself keeps its own."""
    if is_alone(args) or getattr(args, "runtime", None) is not None:
        return args
    from sam2v.weights.hardware import dtype_there

    return argparse.Namespace(**{**vars(args), "device": "cpu", "dtype": dtype_there(args.dtype, args.device)})


def threads_of(args: argparse.Namespace) -> int | None:
    """Threads of the CPU for each of several workers; None: as many as one likes."""
    from sam2v.jobs.ranks import default_workers

    return max(1, default_workers() // args.workers) if (args.workers or 1) > 1 else None


def crew_of(args: argparse.Namespace, at_once: int = 1) -> Hire:
    """Makes the workers that the arguments name; those of this machine do several units `at_once` each."""
    if args.ray is None:
        from sam2v.jobs.local import local_crew

        return partial(local_crew, workers=1 if args.workers is None else args.workers, at_once=at_once)
    from sam2v.jobs.on_ray import RayCrew

    return partial(RayCrew, workers=args.workers, address=args.ray or None, gpus=args.gpus)
