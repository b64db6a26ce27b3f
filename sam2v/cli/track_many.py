"""`sam2v track` of several videos, by one or many workers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam2v.cli.many import ModelWork, VideoTask, check_places, facts_of, named, run_videos, stamp
from sam2v.cli.prompts import FramePrompt, check_masks_stay, mask_frames
from sam2v.cli.track_request import TrackRequest, predictor_from
from sam2v.cli.workers import check_workers, is_alone, read_only, threads_of
from sam2v.files import user_path
from sam2v.jobs.parts import plain
from sam2v.jobs.units import Unit, size_of

if TYPE_CHECKING:
    from sam2v.predict.video import VideoPredictor

#: Videos that one CUDA device tracks at a time by default.
_ON_CUDA = 4


class TrackWork(ModelWork["VideoPredictor"]):
    """Tracks one video after the other with one model; several at once, in threads, share its batches."""

    def load(self) -> VideoPredictor:
        return predictor_from(self.args)

    def do(self, tool: VideoPredictor, unit: Unit, folder: Path) -> dict[str, Any]:
        request = _request(self.args, unit.name, unit.argument.source)
        frames, objects = request.job(tool, request.prompts()).run_whole(folder, self.args.fps)
        return facts_of(unit, folder, frames=frames, objects=objects)

    def stop(self, tool: VideoPredictor) -> None:
        """Let videos that are under way end at their next frames."""
        tool.engine.shared.end()


def run_many(args: argparse.Namespace) -> int:
    """Track every video into a folder of its own.

    Everything but what is in the videos and in masks to start from is checked before the model is loaded.
    """
    check_workers(args)
    if args.videos_at_once is not None and args.ray is not None:
        raise ValueError("--videos-at-once is for workers of this machine, without --ray")
    if args.save_exemplar:
        raise ValueError("--save-exemplar is for one video, without --workers and --ray")
    mask_frames(args.masks_frames)
    sources = named(args.video)
    requests = {name: _request(args, name, video) for name, video in sources.items()}
    check_places(sources, args.out)
    prompts = {}
    for name, request in requests.items():
        prompts[name] = request.prompts(imported=False)
        if request.masks is not None:
            check_masks_stay(request.masks, request.out)
    predictor = predictor_from(read_only(args))
    tasks = {name: _task(predictor, request, prompts[name]) for name, request in requests.items()}
    threads = threads_of(args) if args.runtime is None else None
    work = TrackWork(args, Path.cwd(), threads, predictor if is_alone(args) else None)
    at_once = _at_once(args, predictor)
    del predictor, prompts
    return run_videos(work, tasks, args, args.format, at_once=at_once)


def _at_once(args: argparse.Namespace, predictor: VideoPredictor) -> int:
    """How many videos a worker tracks at a time: several are for devices that one does not fill."""
    if args.videos_at_once is not None:
        return int(args.videos_at_once)
    return _ON_CUDA if str(predictor.engine.backend.device).startswith("cuda") and args.ray is None else 1


def _request(args: argparse.Namespace, name: str, video: Path) -> TrackRequest:
    """What is asked of one of several videos; a folder of prompts, and that of masks, has something of its name.

    Raises:
        FileNotFoundError: it has not. ValueError: there is more than one.
    """
    files = []
    for text in args.prompts:
        place = user_path(text)
        if place.is_dir():
            place = place / f"{name}.json"
            if not place.is_file():
                raise FileNotFoundError(f"--prompts {text}: no {place.name} with prompts of {video}")
        files.append(str(place))
    masks = None if args.masks is None else _masks_of(args.masks, name, video)
    return TrackRequest(args, video, args.out / name, files, masks)


def _masks_of(place: Path, name: str, video: Path) -> Path:
    if not place.is_dir():
        raise ValueError(f"--masks {place}: of several videos, a folder with masks under the name of each")
    if (place / name).exists():
        return place / name
    found = sorted(path for path in place.iterdir() if path.is_file() and path.stem == name)
    if len(found) > 1:
        raise ValueError(f"--masks {place}: both {found[0].name} and {found[1].name} are masks of {video}")
    if not found:
        raise FileNotFoundError(f"--masks {place}: no {name} with masks of {video}")
    return found[0]


def _task(predictor: VideoPredictor, request: TrackRequest, prompts: list[FramePrompt]) -> VideoTask:
    """A video, and everything that its results depend on."""
    args, job = request.args, request.job(predictor, prompts)
    job.check_ids()
    settings: dict[str, Any] = {
        **job.description(),
        "model": plain(predictor.origin.model),
        "size": size_of(request.video),
        "fps": args.fps,
        "masks": None if request.masks is None else [stamp(request.masks), args.masks_frames],
    }
    return VideoTask(request.video, settings)
