"""`sam2v data-engine`: from videos to a data set, by people and models together."""

from __future__ import annotations

import argparse
from typing import Any

from sam2v.cli import (
    data_engine_check,
    data_engine_export,
    data_engine_runs,
    data_engine_serve,
    data_engine_simulate,
)
from sam2v.files import user_path

DESCRIPTION = "Turn videos into a data set: propose, annotate, verify and export masklets, and measure what each takes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    commands = parser.add_subparsers(dest="engine_command", required=True, metavar="COMMAND")
    _add_init(commands)
    _add_videos(commands)
    _add_status(commands)
    _add_annotators(commands)
    _add_release(commands)
    data_engine_serve.add_parser(commands, add_project_arguments)
    data_engine_runs.add_parsers(commands, add_project_arguments)
    data_engine_check.add_parser(commands, add_project_arguments)
    data_engine_export.add_parser(commands, add_project_arguments)
    data_engine_simulate.add_parser(commands)


def add_project_arguments(parser: argparse.ArgumentParser) -> None:
    """Which project, and how long to wait for its database."""
    parser.add_argument("project", type=user_path, metavar="DIR", help="the project's folder")
    parser.add_argument(
        "--database",
        metavar="URL",
        help="of the database, where the project does not say all (a password), and once for a server",
    )
    parser.add_argument(
        "--patience", type=float, default=30.0, metavar="S", help="seconds to wait for a database that is away"
    )


def open_project(args: argparse.Namespace) -> Any:
    """The project that the arguments name; ImportError where SQLAlchemy is missing."""
    return project_class().open(args.project, args.database, args.patience)


def project_class() -> Any:
    """`sam2v.data_engine.project.Project`, or an error that says what to install."""
    try:
        import sqlalchemy  # noqa: F401
    except ImportError:
        raise ImportError("sam2v data-engine needs more packages: pip install 'sam2v[engine]'") from None
    from sam2v.data_engine.project import Project

    return Project


def _add_init(commands: Any) -> None:
    parser = commands.add_parser("init", help="make a project", description="Make a project of videos in a new folder")
    add_project_arguments(parser)
    parser.add_argument(
        "--videos", nargs="+", required=True, metavar="PATH", help="files, folders of frames, folders of either"
    )
    parser.add_argument(
        "--phase", type=int, default=3, help="1: every frame by itself, 2: masks across time, 3: clicks (default: 3)"
    )
    parser.add_argument("--rate", type=float, default=6.0, help="annotated frames per second (default: 6)")
    parser.add_argument("--objects", type=int, default=1, metavar="N", help="to be found in every video (default: 1)")
    parser.set_defaults(run=run_init)


def _add_videos(commands: Any) -> None:
    parser = commands.add_parser("add", help="add videos", description="Add videos; those that are known stay")
    add_project_arguments(parser)
    parser.add_argument("--videos", nargs="+", required=True, metavar="PATH", help="as for init")
    parser.set_defaults(run=run_add)


def _add_status(commands: Any) -> None:
    parser = commands.add_parser("status", help="how far it is", description="Count videos, masklets, tasks and costs")
    add_project_arguments(parser)
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write the numbers as well")
    parser.set_defaults(run=run_status)


def _add_annotators(commands: Any) -> None:
    parser = commands.add_parser(
        "token", help="let somebody annotate", description="Enter a person and print their token, in place of an older"
    )
    add_project_arguments(parser)
    parser.add_argument("name", metavar="NAME", help="who")
    parser.set_defaults(run=run_token)


def _add_release(commands: Any) -> None:
    parser = commands.add_parser(
        "release", help="take tasks back", description="Take tasks back from those who have not come back to them"
    )
    add_project_arguments(parser)
    parser.add_argument("--hours", type=float, default=24.0, help="handed out so long ago (default: 24)")
    parser.set_defaults(run=run_release)


def run_init(args: argparse.Namespace) -> int:
    """Make a project."""
    from sam2v.data_engine.project import Settings

    settings = Settings(args.phase, args.rate, args.objects)
    with project_class().create(args.project, args.videos, settings, args.database, args.patience) as project:
        from sam2v.data_engine.status import status_of

        print(f"{sum(status_of(project).videos.values())} videos in {project.folder}")
    return 0


def run_add(args: argparse.Namespace) -> int:
    """Add videos."""
    with open_project(args) as project:
        print(f"{project.add_videos(args.videos)} new videos")
    return 0


def run_status(args: argparse.Namespace) -> int:
    """Print how far it is."""
    import json
    from dataclasses import asdict

    with open_project(args) as project:
        from sam2v.data_engine.status import status_of
        from sam2v.files import write_text

        found = status_of(project)
    print("\n".join(found.lines()))
    if args.json is not None:
        write_text(args.json, json.dumps(asdict(found), indent=1) + "\n")
    return 0


def run_token(args: argparse.Namespace) -> int:
    """Enter a person."""
    with open_project(args) as project:
        print(project.new_token(args.name))
    return 0


def run_release(args: argparse.Namespace) -> int:
    """Take tasks back."""
    if not args.hours >= 0:
        raise ValueError(f"--hours must not be negative, got {args.hours}")
    with open_project(args) as project:
        from sam2v.data_engine.queue import Queue

        print(f"{Queue(project).release(args.hours * 3600)} tasks taken back")
    return 0
