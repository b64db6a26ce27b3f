"""What `sam2v track` is asked of one video, from its arguments to a job."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sam2v.cli.options import check_folder, check_rate, export_from, load_model_from, memory_from
from sam2v.cli.prompts import FramePrompt, classes_of, gather_prompts, imported_prompts, object_files
from sam2v.cli.track_job import Exemplars, TrackJob
from sam2v.output.writers import checked_formats
from sam2v.tracking.options import VideoOptions

if TYPE_CHECKING:
    from sam2v.predict.video import Direction, VideoPredictor


@dataclass(frozen=True)
class TrackRequest:
    """What is asked of one video.

    Attributes:
        args: of the command; those that name videos, results, files of prompts and masks do not count, but
        video: the file or folder of frames, out: the folder of its results,
        files: of prompts, and masks: what to start from.
    """

    args: argparse.Namespace
    video: Path
    out: Path
    files: Sequence[str]
    masks: Path | None

    def prompts(self, imported: bool = True) -> list[FramePrompt]:
        """All prompts, by frame.

        Args:
            imported: whether the masks to start from are read, for which the video is opened.

        Raises:
            ValueError: malformed ones, or none; exemplars that do not fit. OSError: a file is missing.
        """
        args, exemplars = self.args, self._exemplars
        there = self.masks is not None and imported
        masks = imported_prompts(self.masks, args.masks_frames, self.video, self.out) if there else []  # type: ignore[arg-type]
        needed = not exemplars.given and (self.masks is None or imported)
        prompts = gather_prompts(args.point, args.box, args.mask, self.files, masks, needed)
        exemplars.check(prompts)
        return prompts

    def job(self, predictor: VideoPredictor, prompts: Sequence[FramePrompt]) -> TrackJob:
        """The job of prompts that `prompts` gave."""
        args = self.args
        direction: Direction = "both" if args.both else "reverse" if args.reverse else "forward"
        span = (direction, args.start, args.max_frames)
        formats, classes = checked_formats(args.format), classes_of(args.classes)
        return TrackJob(predictor, self.video, prompts, *span, self.out, formats, self._exemplars, classes)

    @property
    def _exemplars(self) -> Exemplars:
        given = object_files(self.args.exemplar, "--exemplar")
        return Exemplars(given, object_files(self.args.save_exemplar, "--save-exemplar"))


def check_arguments(args: argparse.Namespace) -> None:
    """Raise ValueError for arguments that are wrong whatever the video and the prompts are."""
    check_folder(args.out)
    checked_formats(args.format)
    check_rate(args.fps)
    if args.max_frames is not None and args.max_frames < 0:
        raise ValueError(f"--max-frames must not be negative, got {args.max_frames}")
    object_files(args.exemplar, "--exemplar")
    object_files(args.save_exemplar, "--save-exemplar")
    classes_of(args.classes)
    if args.masks_frames is not None and args.masks is None:
        raise ValueError("--masks-frames chooses among those of --masks")
    memory_from(args)
    if args.frames_per_encoding is not None and args.frames_per_encoding < 1:
        raise ValueError(f"--frames-per-encoding must be at least 1, got {args.frames_per_encoding}")
    if args.videos_at_once is not None and args.videos_at_once < 1:
        raise ValueError(f"--videos-at-once must be at least 1, got {args.videos_at_once}")
    _options(args)


def predictor_from(args: argparse.Namespace) -> VideoPredictor:
    """A predictor of the network, or of the exported model, that the arguments name."""
    exported = export_from(args)
    how = {"policy": args.memory, "frames_per_encoding": args.frames_per_encoding, "options": _options(args)}
    if exported is not None:
        from sam2v.runtime.predictors import VideoPredictor as ExportedVideoPredictor

        return ExportedVideoPredictor(exported, **how)
    from sam2v.predict.video import VideoPredictor

    return VideoPredictor(load_model_from(args), **how)


def _options(args: argparse.Namespace) -> VideoOptions:
    return VideoOptions(
        non_overlap_masks=args.non_overlap,
        fill_hole_area=args.fill_holes,
        keep_aspect=args.keep_aspect,
        resize=args.resize,
    )
