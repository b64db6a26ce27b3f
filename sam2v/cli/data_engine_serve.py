"""`sam2v data-engine serve`: the page in which people annotate and verify."""

from __future__ import annotations

import argparse
from typing import Any

from sam2v.cli.options import add_memory_argument, add_model_arguments, load_model_from, memory_from


def add_parser(commands: Any, add_project_arguments: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "serve",
        help="let people annotate and verify in a page",
        description="Serve the page in which people take tasks, annotate or verify, and hand in. Everybody opens the"
        " printed address with their own token, from sam2v data-engine token. Any number may work at once.",
    )
    add_project_arguments(parser)
    serving = parser.add_argument_group("server")
    serving.add_argument("--host", default="127.0.0.1", help="address to serve at (default: %(default)s)")
    serving.add_argument("--port", type=int, default=0, help="port to serve at (default: one that is free)")
    serving.add_argument("--no-browser", action="store_true", help="only print the address")
    add_memory_argument(parser)
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from sam2v.cli.data_engine import open_project

    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ImportError("sam2v data-engine serve needs more packages: pip install 'sam2v[app,engine]'") from error
    if not 0 <= args.port <= 65535:
        raise ValueError(f"--port must be from 0 to 65535, got {args.port}")
    memory = memory_from(args)
    from sam2v.app.launch import Place, hosts_of, listen, run_app

    place = Place(args.host, args.port)
    with open_project(args) as project, listen(place) as listener:
        from sam2v.app.desk import Desk
        from sam2v.app.task_server import make_task_app
        from sam2v.app.worker import Worker
        from sam2v.data_engine.tools import Tools

        worker = Worker()
        tools = worker.submit(lambda: Tools(load_model_from(args), memory)).result()
        about = {"model": args.model, "device": str(tools.video.model.device), "memory": memory}
        predictor = tools.refining if project.settings.phase == 3 else tools.video
        app = make_task_app(Desk(project), predictor, worker, about, tools.name, hosts_of(args.host))
        said = (
            f"Everybody puts their token from 'sam2v data-engine token {project.folder} NAME' behind it. Ctrl-C ends."
        )
        run_app(app, place, listener, "?token=", said, browser=not args.no_browser)
    return 0
