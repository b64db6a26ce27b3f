"""`sam2v data-engine simulate`: what each phase takes, with annotators who know the truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sam2v.cli.eval_setup import add_video_arguments, records_from
from sam2v.cli.options import add_memory_argument, add_model_arguments, add_quiet_argument, load_model_from, memory_from
from sam2v.files import user_path


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "simulate",
        help="compare the phases with simulated annotators",
        description="Annotate videos whose masks are known once by each phase, through the same queue and bench that"
        " people use, and print what each took and how well its masks agree with those of phase 1.",
    )
    parser.add_argument("--out", type=user_path, required=True, metavar="DIR", help="a new folder for the projects")
    add_video_arguments(parser, "three objects")
    how = parser.add_argument_group("annotators")
    how.add_argument("--phases", default="1,2,3", help="which (default: %(default)s)")
    how.add_argument("--rate", type=float, default=6.0, help="annotated frames per second (default: 6)")
    how.add_argument("--objects", type=int, default=1, metavar="N", help="of a video at most (default: 1)")
    how.add_argument("--wrong", type=float, default=0.75, metavar="IOU", help="frames below are edited (default: 0.75)")
    how.add_argument("--good", type=float, default=0.85, metavar="IOU", help="editing ends there (default: 0.85)")
    how.add_argument("--clicks", type=int, default=6, metavar="N", help="on a frame at most (default: 6)")
    how.add_argument("--strokes", type=int, default=12, metavar="N", help="of a brush then (default: 12)")
    how.add_argument("--errors", type=float, default=0.0, metavar="SHARE", help="wrong verdicts of verifiers")
    how.add_argument("--satisfied", type=float, default=0.5, metavar="IOU", help="mean that passes (default: 0.5)")
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write the figures")
    add_memory_argument(how)
    add_quiet_argument(parser)
    add_model_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Annotate, compare and print."""
    from sam2v.cli.data_engine import project_class

    project_class()
    from tqdm import tqdm

    from sam2v.cli.options import no_progress
    from sam2v.data_engine.comparison import compare_phases, table, to_json, write_frames
    from sam2v.data_engine.project import Settings
    from sam2v.data_engine.simulated import Manner, Verification
    from sam2v.data_engine.tools import Tools
    from sam2v.files import check_new, write_text

    phases, memory = _phases(args.phases), memory_from(args)
    manner = Manner(args.wrong, args.good, args.clicks, args.strokes)
    verification, settings = Verification(args.satisfied, args.errors), Settings(3, args.rate, args.objects)
    check_new(args.out)
    videos = _videos(args)
    tools = Tools(load_model_from(args), memory)
    for path, truth in videos.values() if args.drawn is not None else ():
        write_frames(path, truth.source)
    total = len(videos) * len(phases) * args.objects
    with tqdm(total=total, unit="task", disable=no_progress(args)) as bar:
        figures = compare_phases(
            videos,
            tools,
            args.out,
            phases=phases,
            rate=settings.rate,
            objects=settings.objects,
            manner=manner,
            verification=verification,
            step=bar.update,
        )
    print(table(figures))
    if args.json is not None:
        write_text(args.json, to_json(figures))
    return 0


def _phases(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if "1" not in parts or set(parts) - {"1", "2", "3"}:
        raise ValueError(f"--phases {text}: of 1, 2 and 3, with 1 to compare with")
    return sorted({int(part) for part in parts})


def _videos(args: argparse.Namespace) -> dict[str, tuple[Path, Any]]:
    """Path and truth by name; drawn ones are not there yet."""
    if (args.drawn is None) == (args.dataset is None):
        raise ValueError("name the videos: --drawn N, or --dataset KIND --root ROOT")
    if args.drawn is not None:
        from sam2v.data_engine.comparison import DrawnTruth

        if args.drawn < 1 or args.seed < 0 or (args.frames is not None and args.frames < 2):
            raise ValueError("--drawn must be at least 1, --seed at least 0 and --frames at least 2")
        drawn = (DrawnTruth(seed, args.frames or 48) for seed in range(args.seed, args.seed + args.drawn))
        return {video.name: (args.out / "videos" / video.name, video) for video in drawn}
    if args.root is None:
        raise ValueError("--dataset needs --root")
    from sam2v.data_engine.videos import safe_name

    return {safe_name(record.name): (record.source, record) for record in records_from(args)}
