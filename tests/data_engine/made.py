"""Projects and masks for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sam2v.data_engine.masklet_file import MaskletMasks
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.work import Act, Work


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
