"""A project as a data set: SA-V, DAVIS, COCO and YOLO, by splits, through the library's writers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.card import write_card
from sam2v.data_engine.export_plan import PlannedVideo, Which, keep_splits, plan_export, without_automatic
from sam2v.data_engine.export_sav import SavExport, check_rate, frames_24
from sam2v.data_engine.project import Project
from sam2v.files import check_new, whole_file, whole_folder, write_text
from sam2v.masks.result import MaskletFrame
from sam2v.output.base import MaskWriter
from sam2v.output.writers import open_writer
from sam2v.video.base import FrameSource
from sam2v.video.sources import open_source

ExportFormat = Literal["sav", "davis", "coco", "yolo"]


@dataclass
class Exported:
    """What an export did: videos and masklets by split, and what could not be read, with the reason, by video."""

    videos: dict[str, int] = field(default_factory=dict)
    masklets: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def export_project(
    project: Project,
    out: Path,
    formats: Sequence[str],
    shares: Mapping[str, float],
    which: Which = "verified",
    step: Callable[[], object] = bool,
) -> Exported:
    """Write a project's masklets, and its data card, to a new folder, which appears whole.

    Videos that have no split yet are given theirs, for good, once everything is written.

    Args:
        formats: of sav, davis, coco, yolo. shares, which: see `plan_export`. step: is called after every video.

    Raises:
        ValueError: a format or a split that there is not, a rate that a format has not, nothing to export, names in the
            database that lead out of the folder, or another export meanwhile. FileExistsError: something is there.
        OSError: the disk is full, or the database is away; nothing is left, and no split is given.
    """
    formats = checked(formats)
    if "sav" in formats:
        check_rate(project.settings.rate)
    check_new(out)
    plan, done = plan_export(project, shares, which), Exported()
    if formats == ["sav"]:
        plan = without_automatic(plan)
    if not any(plan.videos.values()):
        raise ValueError(f"{project.folder}: no masklet is {which} yet, and none was found automatically")
    with whole_folder(out) as folder:
        for split, videos in plan.videos.items():
            _export_split(folder, split, videos, formats, done, step)
        write_card(folder, project, plan, done.failed)
        keep_splits(project, plan)  # last: an export that fails before changes nothing
    return done


def checked(formats: Sequence[str]) -> list[ExportFormat]:
    """Formats, each once. ValueError: one that there is not, or none."""
    for name in formats or [""]:
        if name not in get_args(ExportFormat):
            raise ValueError(f"unknown format {name!r}; accepted: {', '.join(get_args(ExportFormat))}")
    return list(dict.fromkeys(formats))  # type: ignore[arg-type]


def _export_split(
    folder: Path,
    split: str,
    videos: Sequence[PlannedVideo],
    formats: Sequence[ExportFormat],
    done: Exported,
    step: Callable[[], object],
) -> None:
    done.videos[split] = done.masklets[split] = 0
    if not videos:
        return
    listed = []
    with ExitStack() as stack:
        yolo = stack.enter_context(_Yolo(folder / "yolo" / split)) if "yolo" in formats else None
        for video in videos:
            try:
                opened = _Opened(video, whole="sav" in formats)
            except (OSError, ValueError) as error:  # written down; the others go on
                done.failed[video.name] = " ".join(str(error).split())
                step()
                continue
            with opened.source:
                if "sav" in formats:
                    SavExport(folder / "sav", split).write(video, opened.source, opened.masks)
                if "davis" in formats:
                    _write_davis(folder / "davis", opened)
                if "coco" in formats:
                    _write_coco(folder / "coco" / split / video.name, opened)
                if yolo is not None:
                    yolo.write(opened)
            listed.append(video.name)
            done.videos[split] += 1
            done.masklets[split] += len(video.masklets)
            step()
    if "davis" in formats:
        write_text(folder / "davis" / "ImageSets" / "2017" / f"{split}.txt", "".join(f"{name}\n" for name in listed))


class _Opened:
    """A video of an export, every frame of which that is written can be decoded.

    Attributes:
        masks: by object. frames: annotated ones.

    Args:
        whole: whether the frames between annotated ones are written as well, 24 a second.

    Raises:
        OSError, ValueError: a video or a file of masks that cannot be read.
    """

    def __init__(self, video: PlannedVideo, whole: bool) -> None:
        self.video = video
        self.masks = {one.number: MaskletMasks.load(one.masks) for one in video.masklets}
        self.frames = sorted({index for masks in self.masks.values() for index in masks.rows})
        self.source: FrameSource = open_source(video.path)
        try:
            if any(masks.size != self.source.size for masks in self.masks.values()):
                raise ValueError(f"{video.path}: not of the size that its masks have; was the video replaced?")
            between = frames_24(len(self.source), self.source.fps) if whole else ()
            for index in sorted({*self.frames, *between}):
                self.source[index]
        except BaseException:
            self.source.close()
            raise

    def results(self, first: int = 0) -> Iterator[tuple[int, MaskletFrame]]:
        """(frame index, result with its picture) of every annotated frame; results are numbered from `first`."""
        for number, index in enumerate(self.frames, first):
            rows = {obj: masks.rows[index] for obj, masks in self.masks.items() if index in masks.rows}
            found = frame_of({obj: self.masks[obj].mask(index) for obj in rows}, number, self.source.size)
            found.iou = torch.tensor([row.iou for row in rows.values()])
            found.object_score = torch.tensor([row.score for row in rows.values()])
            yield index, found.with_frame(self.source[index])


def frame_of(masks: Mapping[int, np.ndarray], frame_idx: int, size: tuple[int, int]) -> MaskletFrame:
    """A result of masks, H x W bool by object; where they overlap, the later object wins in label maps."""
    logits = np.full((len(masks), 1, *size), -10.0, np.float32)
    for row, mask in enumerate(masks.values()):
        logits[row, 0][mask] = 10.0 + 0.01 * row
    sure = torch.ones(len(masks))
    return MaskletFrame(frame_idx, list(masks), torch.from_numpy(logits), sure, 10 * sure)


class _Yolo:
    """One data set of the annotated frames of many videos, whose sizes may differ. Frames are numbered through."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: MaskWriter | None = None
        self._names: dict[int, str] = {}

    def __enter__(self) -> _Yolo:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close(finished=error[0] is None)

    def write(self, opened: _Opened) -> None:
        """Write the annotated frames of a video."""
        size = opened.source.size
        if self._writer is None:
            self._writer = open_writer("yolo", self._folder, size=size, frame_names=self._names.__getitem__)
        self._writer.target = replace(self._writer.target, size=size)
        for index, result in opened.results(len(self._names)):
            self._names[result.frame_idx] = f"{opened.video.name}-{index:05d}"
            self._writer.write(result)


def _write_coco(folder: Path, opened: _Opened) -> None:
    """A COCO data set of a video, with the pictures of its annotated frames."""
    names = {"frame_names": "{:05d}".format, "file_names": "images/{:05d}.jpg".format}
    with open_writer("coco", folder, size=opened.source.size, fps=opened.source.fps, **names) as writer:  # type: ignore[arg-type]
        for index, result in opened.results():
            result.frame_idx = index
            writer.write(result)
            _write_picture(folder / "images" / f"{index:05d}.jpg", result.frame)


def _write_davis(root: Path, opened: _Opened) -> None:
    """The annotated frames of a video, as a sequence of its own."""
    name = opened.video.name
    with open_writer("png", root / "Annotations" / "480p" / name, size=opened.source.size) as writer:
        for number, (_, result) in enumerate(opened.results()):
            assert result.frame_idx == number
            writer.write(result)
            _write_picture(root / "JPEGImages" / "480p" / name / f"{number:05d}.jpg", result.frame)


def _write_picture(path: Path, frame: np.ndarray | None) -> None:
    from PIL import Image

    assert frame is not None  # results of an export carry theirs
    with whole_file(path) as temporary:
        Image.fromarray(frame).save(temporary, "JPEG", quality=95)
