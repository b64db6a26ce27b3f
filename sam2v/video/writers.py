"""Where masks go: writers that put every frame on disk as it comes, and can be continued after an interruption."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from sam2v.masks.result import MaskletFrame

FORMATS: dict[str, str] = {
    "png": "one palette PNG per frame, a pixel's value is the object's id (DAVIS)",
    "objects": "one black and white PNG per object and frame, in a folder per object (SA-V)",
    "coco": "masks.json, a COCO data set with run-length masks, and masks.jsonl, its lines as they come",
    "npz": "one NumPy archive per frame with masks, ids and scores",
    "mp4": "overlay.mp4, the masks drawn over the video (H.264)",
    "webm": "overlay.webm, the masks drawn over the video (VP9)",
    "gif": "overlay.gif, the masks drawn over the video",
}


@dataclass(frozen=True)
class Target:
    """What a writer writes about.

    Attributes:
        folder: where its files go.
        size: (height, width) of the video.
        fps: frames per second, for writers of video.
        frame_name: what a frame's files are called.
        resume: continue what an earlier writer of the same format left in the folder.
    """

    folder: Path
    size: tuple[int, int]
    fps: float
    frame_name: Callable[[int], str]
    resume: bool


class MaskWriter(ABC):
    """Takes results frame by frame, in any order; a frame written again replaces the earlier one.

    Everything written stays valid if the program stops at any moment. Use as a context manager, or call `close`.

    Attributes:
        path: the file or folder that holds the output after `close`.
    """

    path: Path

    def __init__(self, target: Target) -> None:
        self.target = target
        self._closed = False

    def write(self, result: MaskletFrame) -> None:
        """Write one frame.

        Raises:
            ValueError: masks of another size than the video, a closed writer, or an overlay without a picture.
            OSError: the disk is full or the folder cannot be written; the message names the file, and what was
                written before stays valid.
        """
        if self._closed:
            raise ValueError(f"this writer is closed: {self.path}")
        if result.size != self.target.size:
            height, width = self.target.size
            got = f"{result.size[0]} x {result.size[1]}"
            raise ValueError(f"masks are {got} (height x width), but the video is {height} x {width}")
        self._write(result)

    @staticmethod
    @abstractmethod
    def remove_results(folder: Path, format: str) -> None:
        """Remove what a writer of this format left in a folder, as its record tells; nothing else."""

    @abstractmethod
    def done_frames(self) -> set[int]:
        """Frames that are on disk for good, those of the run that is being continued included."""

    def flush(self) -> None:  # noqa: B027 - most writers hold nothing back
        """Put everything written so far on disk for good, so that a run may go on from here.

        Raises:
            OSError: it cannot be written, or was lost when an earlier write failed.
        """

    def close(self) -> None:
        """Finish the output. Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self._finish()

    @abstractmethod
    def _write(self, result: MaskletFrame) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except OSError:
            if error is None:  # otherwise the first error is the one to tell
                raise


def open_writer(
    format: str,
    out_dir: str | Path,
    *,
    size: tuple[int, int],
    fps: float | None = None,
    frame_names: Sequence[str] | Callable[[int], str] | None = None,
    resume: bool = False,
    **style: Any,
) -> MaskWriter:
    """Open a writer of one of the `FORMATS`.

    Args:
        format: a key of `FORMATS`.
        out_dir: folder for the output, made if missing. Writers of different formats may share one.
        size: (height, width) of the video.
        fps: frame rate of overlays; None = 25.
        frame_names: what files about a frame are called: a sequence, or a function of the frame's index; default
            "00000", "00001", ...
        resume: continue what an earlier run left here. Otherwise this format's earlier record is forgotten and its
            files are overwritten.
        style: for overlays, options of `sam2v.masks.draw_masks`: alpha, contour, labels.

    Raises:
        ValueError: unknown format, a size that is not positive, a rate below 0.001, an impossible style.
        TypeError: style options for a format that draws nothing.
        OSError: the folder cannot be made.
    """
    from sam2v.video.overlay import OverlayWriter

    if format not in FORMATS:
        raise ValueError(f"unknown output format {format!r}; accepted: {', '.join(FORMATS)}")
    if min(size) < 1 or (fps is not None and not 0.001 <= fps < math.inf):
        raise ValueError(f"size must be positive and fps at least 0.001, got size {size}, fps {fps}")
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    target = Target(folder, size, fps or 25.0, _namer(frame_names), resume)
    if format in ("mp4", "webm", "gif"):
        return OverlayWriter(target, format, style)
    if style:
        raise TypeError(f"format {format!r} draws nothing and takes no option {', '.join(style)}")
    return _data_writers()[format](target)


def remove_results(format: str, folder: Path) -> None:
    """Remove what a writer of one of the `FORMATS` left in a folder, as its record tells; nothing else."""
    from sam2v.video.overlay import OverlayWriter

    _data_writers().get(format, OverlayWriter).remove_results(folder, format)


def _data_writers() -> "dict[str, type[MaskWriter]]":
    from sam2v.video.mask_writers import CocoWriter, LabelMapWriter, NpzWriter, ObjectWriter

    return {"png": LabelMapWriter, "objects": ObjectWriter, "coco": CocoWriter, "npz": NpzWriter}


def _namer(names: Sequence[str] | Callable[[int], str] | None) -> Callable[[int], str]:
    if names is None:
        return "{:05d}".format
    if callable(names):
        return names
    known = list(names)

    def name(frame_idx: int) -> str:
        if not 0 <= frame_idx < len(known):
            raise ValueError(f"frame_names has {len(known)} names, none for frame {frame_idx}")
        return known[frame_idx]

    return name
