"""`sam2v auto` of several sources, by one or many workers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam2v.cli.auto_masklets import check_frames_stay, formats_of, write_masklets
from sam2v.cli.auto_masks import checked_pictures, mask_options_from, write_masks
from sam2v.cli.many import ModelWork, VideoTask, check_places, facts_of, named, run_videos
from sam2v.cli.masklet_options import masklet_options_from
from sam2v.cli.options import load_model_from
from sam2v.cli.workers import check_workers, is_alone, read_only, threads_of
from sam2v.jobs.parts import plain
from sam2v.jobs.units import Unit, size_of

if TYPE_CHECKING:
    from sam2v.automatic.masklets import AutomaticMasklets
    from sam2v.automatic.masks import AutomaticMasks
    from sam2v.model.network import Sam2Network


@dataclass
class Finders:
    """A network, and what finds everything with it, by a command's arguments."""

    args: argparse.Namespace
    network: Sam2Network

    @cached_property
    def masklets(self) -> AutomaticMasklets:
        """For videos."""
        from sam2v.automatic.masklets import AutomaticMasklets

        return AutomaticMasklets(self.network, options=masklet_options_from(self.args))

    @cached_property
    def masks(self) -> AutomaticMasks:
        """For pictures."""
        from sam2v.automatic.masks import AutomaticMasks

        return AutomaticMasks(self.network, mask_options_from(self.args))


class AutoWork(ModelWork[Finders]):
    """Finds everything in one source after the other with one model."""

    def load(self) -> Finders:
        return Finders(self.args, load_model_from(self.args))

    def do(self, tool: Finders, unit: Unit, folder: Path) -> dict[str, Any]:
        task: VideoTask = unit.argument
        if not task.settings["formats"]:
            files = checked_pictures(task.source, unit.folder)
            return facts_of(unit, folder, pictures=len(files), masks=write_masks(tool.masks, files, folder))
        from tqdm import tqdm

        from sam2v.video.sources import open_source

        formats = formats_of(self.args)
        with open_source(task.source) as frames, tqdm(disable=True) as bar:
            check_frames_stay(frames, task.source, unit.folder, formats)
            found, count = write_masklets(tool.masklets, frames, formats, folder, self.args.fps, bar)
        return facts_of(unit, folder, frames=count, objects=len(found.masklets), left_out=found.left_out)


def run_many(args: argparse.Namespace, videos: Sequence[bool]) -> int:
    """Find everything in every source, each into a folder of its own.

    Args:
        args: of the command. videos: which of its sources are videos, not pictures.
    """
    check_workers(args)
    options = {True: plain(masklet_options_from(args)), False: plain(mask_options_from(args))}
    formats = formats_of(args)
    sources = named(args.source)
    check_places(sources, args.out)
    finders = Finders(args, load_model_from(read_only(args)))
    model = _model(finders.network)
    tasks = {}
    for (name, source), is_video in zip(sources.items(), videos, strict=True):
        how = {"options": options[is_video], "formats": formats if is_video else [], "fps": args.fps}
        about = {"video": str(source.resolve()), "size": size_of(source)}
        tasks[name] = VideoTask(source, {**about, **model, **how})
    work = AutoWork(args, Path.cwd(), threads_of(args), finders if is_alone(args) else None)
    del finders
    return run_videos(work, tasks, args, "what was found", "source")


def _model(network: Sam2Network) -> dict[str, Any]:
    """What of a model decides results."""
    from sam2v.predict.loading import calls_of

    calls = calls_of(network)
    return {"model": plain(calls.config), "dtype": calls.precision, "weights": calls.checksum()}
