"""`sam2v annotate`: a page on this machine on which objects are clicked on, tracked, corrected and exported."""

from __future__ import annotations

import argparse

from sam2v.cli.options import (
    add_aspect_argument,
    add_memory_argument,
    add_model_arguments,
    load_model_from,
    memory_from,
)

DESCRIPTION = (
    "Open the annotator in a browser: click on objects, see their masks, track them, correct, export. "
    "Everything runs on this machine, and every change is on disk at once."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument(
        "source", nargs="?", default=".", metavar="FILE|FOLDER", help="a video, or a folder of videos (default: here)"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="for projects (default: the folder 'annotations' beside the videos)"
    )
    parser.add_argument(
        "--masks", metavar="PATH", help="begin with masks: what sam2v track wrote, or other PNG, npz, COCO or SA-V"
    )
    serving = parser.add_argument_group("server")
    serving.add_argument(
        "--host", default="127.0.0.1", help="address to serve at; one that others can reach needs the printed token"
    )
    serving.add_argument("--port", type=int, default=0, help="port to serve at (default: one that is free)")
    serving.add_argument("--no-browser", action="store_true", help="only print the address")
    add_memory_argument(parser)
    add_aspect_argument(parser)
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ImportError("sam2v annotate needs more packages: pip install 'sam2v[app]'") from error
    from sam2v.app.launch import Place, begin_with, launch, listen
    from sam2v.app.library import Library
    from sam2v.app.projects import Projects
    from sam2v.app.worker import Worker
    from sam2v.files import user_path
    from sam2v.predict.video import VideoPredictor

    if not 0 <= args.port <= 65535:
        raise ValueError(f"--port must be from 0 to 65535, got {args.port}")
    memory = memory_from(args)
    library = Library(user_path(args.source), None if args.out is None else user_path(args.out))
    masks = None if args.masks is None else user_path(args.masks)
    if masks is not None and library.only is None:
        raise ValueError("--masks belong to one video: name it instead of a folder")
    if masks is not None and not masks.exists():
        raise FileNotFoundError(f"--masks {masks}: no such file or folder")
    place = Place(args.host, args.port)
    with listen(place) as listener:
        worker = Worker()
        predictor = worker.submit(
            lambda: VideoPredictor(load_model_from(args), policy=memory, keep_aspect=args.keep_aspect)
        ).result()
        projects = Projects(library, predictor, worker)
        if masks is not None:
            begin_with(projects, masks)
        about = {"model": args.model, "device": str(predictor.model.device), "memory": memory}
        launch(projects, about, place, listener, browser=not args.no_browser)
    return 0
