"""The pictures of a record: a folder of images or a video file, read one frame at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sam2v.video.frames import image_size, is_image_name, natural_key, read_image

if TYPE_CHECKING:
    from sam2v.video.base import FrameSource


class Frames(Protocol):
    """Where a record's frames come from: named, countable, decoded on demand."""

    @property
    def source(self) -> Path:
        """The folder or file, as every part of sam2v that opens videos takes it."""

    @property
    def names(self) -> tuple[str, ...]:
        """Stems of all frames in order; predictions are named after them."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""

    def read(self, index: int) -> np.ndarray:
        """H x W x 3 uint8 RGB."""


@dataclass(frozen=True)
class FrameFolder:
    """Images in one folder. Nothing is opened before it is asked for; `size` reads one header."""

    source: Path
    files: tuple[str, ...]

    @classmethod
    def scan(cls, folder: Path) -> FrameFolder:
        """The images of a folder, in natural order. Raises FileNotFoundError if there is none."""
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder of frames")
        files = sorted((path.name for path in folder.iterdir() if is_image_name(path)), key=natural_key)
        if not files:
            raise FileNotFoundError(f"{folder}: no image in this folder of frames")
        return cls(folder, tuple(files))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(Path(file).stem for file in self.files)

    @cached_property
    def size(self) -> tuple[int, int]:
        return image_size(self.source / self.files[0])

    def read(self, index: int) -> np.ndarray:
        return read_image(self.source / self.files[index])


@dataclass(frozen=True)
class VideoFrames:
    """Frames of a video file, whose number and size are known beforehand; the first read opens the file."""

    source: Path
    count: int
    size: tuple[int, int]
    fps: float | None = None

    @classmethod
    def probe(cls, path: Path) -> VideoFrames:
        """Ask the file itself for its number of frames, size and frame rate."""
        from sam2v.video.sources import open_source

        with open_source(path) as video:
            return cls(path, len(video), video.size, video.fps)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{index:05d}" for index in range(self.count))

    @cached_property
    def _video(self) -> FrameSource:
        from sam2v.video.sources import open_source

        return open_source(self.source)

    def read(self, index: int) -> np.ndarray:
        try:
            return self._video[index]
        except IndexError:
            raise ValueError(f"{self.source}: has no frame {index}, though it should have {self.count}") from None

    def __getstate__(self) -> dict[str, Any]:
        """An open decoder stays in its process."""
        return {key: value for key, value in self.__dict__.items() if key != "_video"}
