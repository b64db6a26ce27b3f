"""Projects and masks for tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.comparison import write_frames
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.queue import Queue, Task
from sam2v.data_engine.video_work import AutoWork
from sam2v.data_engine.work import Act, Work
from sam2v.jobs.units import Unit


def empty_videos(folder: Path, count: int) -> Path:
    """Files that only have the names of videos."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"v{number:05d}.mp4").touch()
    return folder


def made_up(folder: Path, count: int = 3, **settings: object) -> Project:
    """A project of records without pixels."""
    return Project.create(folder / "project", [empty_videos(folder / "videos", count)], Settings().changed(**settings))


def square(at: int = 0, frames: tuple[int, ...] = (0, 4, 8)) -> MaskletMasks:
    """A square that moves."""
    masks = {}
    for index in frames:
        masks[index] = np.zeros((12, 16), bool)
        masks[index][2:6, at + index // 4 : at + index // 4 + 4] = True
    return MaskletMasks.of(masks, (12, 16))


def work(at: int = 0, clicks: int = 2) -> Work:
    """Work with clicks on the first frame."""
    acts = [Act(0, "click", 3.0, 4.0, 1, seconds=0.5) for _ in range(clicks)]
    return Work(square(at), acts, 3, "nano", active_seconds=2.5, model_seconds=0.5)


def handed_in(queue: Queue, who: int, checker: int) -> tuple[Task, Task]:
    """Somebody's next task, done, and the task of whoever verifies it."""
    task = queue.take(who, "annotate")
    assert task is not None
    queue.submit(task, work())
    check = queue.take(checker, "verify")
    assert check is not None
    return task, check


@dataclass(frozen=True)
class Squares:
    """A clip of two squares that move, with their masks; object 2 leaves after half of it."""

    frames: int = 9
    size: tuple[int, int] = (48, 64)
    shift: int = 0

    @property
    def annotated(self) -> tuple[int, ...]:
        return tuple(range(self.frames))

    @property
    def source(self) -> np.ndarray:
        clip = np.random.default_rng(self.shift).integers(40, 90, (self.frames, *self.size, 3), dtype=np.uint8)
        for index in self.annotated:
            for obj, mask in self.masks(index).items():
                clip[index][mask] = (220, 60 * obj, 30)
        return clip

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        found = {}
        for obj in (1, 2):
            mask = np.zeros(self.size, bool)
            left = 6 + 30 * (obj - 1) + frame_idx + self.shift
            mask[10 : 10 + 14 * obj, left : left + 14] = True
            if (objects is None or obj in objects) and (obj == 1 or frame_idx < self.frames // 2):
                found[obj] = mask
        return found


def squares(folder: Path, count: int = 1) -> dict[str, tuple[Path, Squares]]:
    """Folders of frames with their truth, by name."""
    found = {}
    for number in range(count):
        truth = Squares(shift=number)
        write_frames(folder / f"squares{number}", truth.source)
        found[f"squares{number}"] = folder / f"squares{number}", truth
    return found


@dataclass(frozen=True)
class Dying(AutoWork):
    """Its worker is killed in the middle of the first unit for which there is no marker yet.

    Attributes:
        marker: a file.
    """

    marker: Path = Path()

    def do(self, tool: Any, unit: Unit, folder: Path) -> dict[str, Any]:
        facts = super().do(tool, unit, folder)
        if unit.name == "squares2" and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return facts
