"""What every writer of masks offers, and what it is told about the video."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sam2v.masks.result import MaskletFrame
from sam2v.video.base import SQUARE

if TYPE_CHECKING:
    from typing_extensions import Self


#: The class of objects of which nobody said what they are.
NO_CLASS = "object"
#: Frames that a video of unknown length may have: days of film. Records of later ones are no records.
MOST_FRAMES = 10_000_000


@dataclass(frozen=True)
class Target:
    """What a writer writes about.

    Attributes:
        folder: where its files go.
        size: (height, width) of the video.
        fps: frames per second of films that are drawn.
        frame_name: what files about a frame are called.
        file_name: the name, with its ending, of the picture that a frame is.
        resume: continue what an earlier writer of the same format left in the folder.
        video_name: what the video is called.
        video_file: the name, with its ending, of the video file.
        classes: what objects are, by their ids.
        video_fps: frames per second of the video itself; None = `fps`.
        length: function that gives the number of frames of the video, None while that is unknown.
        pixel_aspect: width of a pixel of the video over its height, as it is shown.
        count: as `length`, but reads the video on where it takes that.
    """

    folder: Path
    size: tuple[int, int]
    fps: float
    frame_name: Callable[[int], str]
    file_name: Callable[[int], str]
    resume: bool
    video_name: str = "video"
    video_file: str = "video.mp4"
    classes: Mapping[int, str] = field(default_factory=dict)
    video_fps: float | None = None
    length: Callable[[], int | None] = lambda: None
    pixel_aspect: Fraction = SQUARE
    count: Callable[[], int | None] = lambda: None

    @property
    def rate(self) -> float:
        """Frames per second of the video, for what tells times in it."""
        return self.video_fps or self.fps

    def class_of(self, obj_id: int) -> str:
        """What an object is, "object" where nobody said so."""
        return self.classes.get(obj_id, NO_CLASS)

    def check_entry(self, entry: Mapping[str, Any], path: Path, number: int) -> None:
        """Raise ValueError, naming the line of a record, unless its entry is about a frame of the video."""
        frames = min(self.length() or MOST_FRAMES, MOST_FRAMES)
        if entry["frame_idx"] >= frames:
            raise ValueError(f"{path}: line {number} is about frame {entry['frame_idx']} of a video of {frames} frames")

    @property
    def class_names(self) -> list[str]:
        """All classes, each once, in the order of the objects that they were given to; then that of all others."""
        names = [*(self.classes[obj_id] for obj_id in sorted(self.classes)), NO_CLASS]
        return list(dict.fromkeys(names))


class Finishing:
    """Finished at the end of a `with` block; left to be continued where that ends with an error."""

    def close(self, finished: bool = True) -> None:
        """Finish, or with `finished=False` keep what a later run can continue from."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close(finished=error is None)
        except OSError:
            if error is None:  # otherwise the first error is the one to tell
                raise


def is_object(item: Any, keys: Iterable[str]) -> bool:
    """Whether what a record has of an object has some keys, and a whole number as `id` where there is one."""
    return isinstance(item, dict) and set(keys) <= set(item) and type(item.get("id", 0)) is int


class MaskWriter(Finishing, ABC):
    """Takes results frame by frame, in any order; a frame written again replaces the earlier one.

    Everything written stays valid if the program stops at any moment. Use as a context manager, or call `close`.

    Attributes:
        path: the file or folder that holds the output after `close`.
        draws: whether results must carry their picture.
    """

    path: Path
    draws = False

    def __init__(self, target: Target) -> None:
        self.target = target
        self._closed = False

    def write(self, result: MaskletFrame) -> None:
        """Write one frame.

        Raises:
            ValueError: masks of another size than the video, a closed writer, or an overlay without a picture.
            OSError: the disk is full or the folder cannot be written; the message names the file, and what was written
                before stays valid.
        """
        self.check(result)
        self._write(result)

    def check(self, result: MaskletFrame) -> None:
        """Raise ValueError for a result that cannot be written."""
        if self._closed:
            raise ValueError(f"this writer is closed: {self.path}")
        if result.size != self.target.size:
            height, width = self.target.size
            got = f"{result.size[0]} x {result.size[1]}"
            raise ValueError(f"masks are {got} (height x width), but the video is {height} x {width}")

    @staticmethod
    def record_path(folder: Path, format: str) -> Path:
        """Where a writer of this format keeps the record of what it left in a folder."""
        return folder / f".sam2v-{format}.jsonl"

    @staticmethod
    @abstractmethod
    def remove_results(folder: Path, format: str) -> None:
        """Remove what a writer of this format left in a folder, as its record tells; nothing else.

        Raises:
            ValueError: the record names files outside of the folder, or is none.
        """

    @abstractmethod
    def done_frames(self) -> set[int]:
        """Frames that are on disk for good, those of the run that is being continued included."""

    def flush(self) -> None:
        """Put everything written so far on disk for good, so that a run may go on from here.

        Raises:
            OSError: it cannot be written.
        """

    def close(self, finished: bool = True) -> None:
        """Finish the output. Closing twice is harmless.

        Args:
            finished: nothing more is to come; else what a later writer can continue from is kept as it is.
        """
        if not self._closed:
            self._closed = True
            self._finish(finished)

    @abstractmethod
    def _write(self, result: MaskletFrame) -> None: ...

    @abstractmethod
    def _finish(self, finished: bool) -> None: ...
