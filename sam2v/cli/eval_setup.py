"""What evaluation commands run on: data sets, the model of each process, and how an interrupted run goes on."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sam2v.cli.workers import check_workers, crew_of, threads_of
from sam2v.files import user_path

if TYPE_CHECKING:
    from sam2v.evaluation.predictor import Predictor
    from sam2v.jobs.run import Run

DATASETS = ("davis2016", "davis2017", "mose", "lvos", "youtube-vos", "sav", "project", "folder")


@dataclass(frozen=True)
class PredictorSpec:
    """What to load; calling it gives this process's one predictor."""

    model: str
    checkpoint: str
    device: str | None
    dtype: str | None
    overrides: tuple[str, ...]
    fast: bool
    baseline: str | None
    threads: int | None = None
    memory: str = "recent"
    keep_aspect: bool = False
    resize: Literal["host", "device"] = "host"

    def __call__(self) -> Predictor:
        """Load on the first call."""
        if self not in _LOADED:
            _LOADED[self] = self._load()
        return _LOADED[self]

    def _load(self) -> Predictor:
        import torch

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.baseline is not None:
            from sam2v.evaluation.baselines import make_baseline

            return make_baseline(self.baseline)
        import sam2v
        from sam2v.tracking.options import VideoOptions

        options = (self.model, self.checkpoint, self.device, self.dtype, self.overrides, self.fast)
        how = VideoOptions(keep_aspect=self.keep_aspect, resize=self.resize)
        return sam2v.VideoPredictor(sam2v.load_model(*options), policy=self.memory, options=how)


_LOADED: dict[PredictorSpec, Predictor] = {}


def add_video_arguments(parser: argparse.ArgumentParser, drawn: str) -> None:
    """Videos whose masks are known: drawn clips (`drawn` says of what), or a data set's."""
    videos = parser.add_argument_group("videos")
    videos.add_argument("--drawn", type=int, metavar="N", help=f"N drawn clips of {drawn}")
    videos.add_argument("--seed", type=int, default=0, help="of the first drawn clip (default: 0)")
    videos.add_argument("--frames", type=int, metavar="N", help="frames of a drawn clip (default: 48)")
    videos.add_argument("--dataset", choices=DATASETS, help="how ROOT is laid out")
    videos.add_argument("--root", type=user_path, metavar="ROOT", help="the data set's folder")
    videos.add_argument("--split", help="e.g. val (default: the data set's validation split)")
    videos.add_argument("--sequences", help="names separated by commas, or a .txt file with one a line")


def records_from(args: argparse.Namespace) -> Any:
    """The videos that --dataset, --root, --split and --sequences name."""
    from sam2v.data.readers import open_dataset
    from sam2v.evaluation.folders import read_sequence_list

    options = {"videos": read_sequence_list(args.sequences)} if args.sequences else {}
    return open_dataset(args.dataset, args.root, args.split, **options)


def spec_from(args: argparse.Namespace, baseline: str | None = None, *how: Any) -> PredictorSpec:
    """The model that the arguments name; `how` are the last fields of `PredictorSpec`."""
    model = (args.model, args.checkpoint, args.device, args.dtype, tuple(args.override), args.fast)
    return PredictorSpec(*model, baseline, threads_of(args), *how)


def run_from(args: argparse.Namespace, parts: Path | None, *how: Any) -> Run:
    """Resuming counts only with the same weights (a checkpoint file is known by its size and time) and the same
    `how`."""
    from sam2v.jobs.parts import fingerprint
    from sam2v.jobs.ranks import rank_and_world
    from sam2v.jobs.run import Run

    check_workers(args)
    if args.ray is not None and rank_and_world()[1] > 1:
        raise ValueError("--ray does not go with torchrun: either hands the videos out")
    file = user_path(args.checkpoint)
    stamp = (file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else ()
    key = fingerprint(args.model, args.checkpoint, stamp, args.override, args.dtype, args.fast, *how)
    workers, hire = args.workers or 0, None if args.ray is None else crew_of(args)
    return Run(workers=workers, progress=not args.quiet, parts=parts, key=key, hire=hire)
