"""The masks drawn over the video, as mp4, webm or gif, written while tracking, continued after an interruption.

Pictures are encoded into short clips in a hidden folder; a clip counts once it is complete, and an index says which
frames it holds. Closing joins the clips, by copying their packets when frames came in order, and by encoding them
again in the order of time when they did not (reverse tracking, corrections). For mp4 and webm the joined file then
takes the place of the clips, so that a later run continues from it.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.files import naming
from sam2v.masks.draw import draw_masks
from sam2v.masks.result import MaskletFrame
from sam2v.output.base import MaskWriter, Target
from sam2v.output.encode import Palette, VideoEncoder, encode_all, join
from sam2v.output.journal import Journal
from sam2v.video.file import VideoFile

CLIP_FRAMES = 64
PALETTE_FRAMES = 16  # pictures that the colours of a GIF are chosen from
DRAWING_OPTIONS = ("alpha", "contour", "labels")


class OverlayWriter(MaskWriter):
    """overlay.mp4, overlay.webm or overlay.gif. Results must carry their picture (`MaskletFrame.with_frame`)."""

    def __init__(self, target: Target, format: str, style: dict[str, Any] | None = None) -> None:
        super().__init__(target)
        self.path, self._parts = _places(target.folder, format)
        self.format = format
        self.style = style or {}
        unknown = set(self.style) - set(DRAWING_OPTIONS)
        if unknown:
            raise TypeError(f"unknown option {sorted(unknown)[0]!r}; accepted: {', '.join(DRAWING_OPTIONS)}")
        nothing = np.zeros((1, 1, 3), np.uint8), np.zeros((0, 1, 1), bool)
        draw_masks(*nothing, [], **self.style)  # impossible values show now, not at the first frame
        if not target.resume:
            shutil.rmtree(self._parts, ignore_errors=True)
        self._index = Journal(self._parts / "clips.jsonl", target.resume)
        self._encoder: VideoEncoder | None = None
        self._frames: list[int] = []  # in the clip that is being encoded
        self._lost: list[int] = []  # in a clip that an error cost us

    @staticmethod
    def remove_results(folder: Path, format: str) -> None:
        overlay, parts = _places(folder, format)
        if parts.is_dir():
            shutil.rmtree(parts, ignore_errors=True)
            overlay.unlink(missing_ok=True)

    def done_frames(self) -> set[int]:
        return {frame for _, frames in self._clips() for frame in frames}

    def _write(self, result: MaskletFrame) -> None:
        if result.frame is None:
            raise ValueError(f"frame {result.frame_idx} has no picture to draw on: pass result.with_frame(frame)")
        picture = result.overlay(**self.style)
        with self._giving_up_on_errors():
            encoder = self._encoder or self._start_clip()
            encoder.add(picture)
            self._frames.append(result.frame_idx)
            if len(self._frames) == CLIP_FRAMES:
                self._finish_clip()

    def flush(self) -> None:
        if self._lost:
            raise OSError(f"{self.path}: frames {self._lost[0]} to {self._lost[-1]} were lost")
        if self._encoder is not None:
            with self._giving_up_on_errors():
                self._finish_clip()

    def _finish(self) -> None:
        with self._giving_up_on_errors():
            if self._encoder is not None:
                self._finish_clip()
        self._index.close()
        clips = self._clips()
        if clips:
            with self._giving_up_on_errors():
                self._assemble(clips)
        self._index.close()

    def _start_clip(self) -> VideoEncoder:
        self._parts.mkdir(parents=True, exist_ok=True)
        self._frames = []
        self._encoder = VideoEncoder(self._part("open"), self._clip_format, self.target.size, self.target.fps)
        return self._encoder

    def _finish_clip(self) -> None:
        assert self._encoder is not None
        self._encoder.close()
        self._encoder = None
        clip = self._new_part()
        self._part("open").replace(clip)
        self._index.append({"clip": clip.name, "frames": self._frames})
        self._frames = []

    def _assemble(self, clips: list[tuple[Path, list[int]]]) -> None:
        """Make the output from the clips. Whenever this is interrupted, the index and its clips stay valid."""
        order = [frame for _, frames in clips for frame in frames]
        in_order = order == sorted(set(order))
        whole = self._part("open") if self.format != "gif" else self._parts / "whole.gif"
        copied = self.format != "gif" and in_order
        copied = copied and join([clip for clip, _ in clips], whole, self.format, self.target.fps)
        if self.format == "gif":  # its 256 colours are no source for a later run: the clips are kept
            palette = Palette(list(self._pictures(clips, PALETTE_FRAMES)))
            encode_all(self._pictures(clips), whole, "gif", self.target.fps, palette)
            whole.replace(self.path)
            return
        if not copied:
            encode_all(self._pictures(clips), whole, self.format, self.target.fps)
        merged = self._new_part()
        whole.replace(merged)
        _publish(merged, self.path)
        self._index.rewrite([{"clip": merged.name, "frames": sorted(set(order))}])
        for clip, _ in clips:
            clip.unlink(missing_ok=True)

    def _pictures(self, clips: list[tuple[Path, list[int]]], at_most: int | None = None) -> Iterator[np.ndarray]:
        """The newest picture of every frame, in the order of time; with `at_most`, of so many, evenly spread."""
        place = {frame: (clip, k) for clip, frames in clips for k, frame in enumerate(frames)}
        height, width = self.target.size
        source: VideoFile | None = None
        step = 1 if at_most is None else -(-len(place) // at_most)
        for _, (clip, k) in sorted(place.items())[::step]:
            if source is None or source.path != clip:
                if source is not None:
                    source.close()
                source = VideoFile(clip)
            yield source[k][:height, :width]
        if source is not None:
            source.close()

    @contextmanager
    def _giving_up_on_errors(self) -> Iterator[None]:
        """An error costs the clip that is open, nothing else."""
        try:
            with naming(self.path):
                yield
        except BaseException:
            if self._encoder is not None:
                self._encoder.abandon()
                self._encoder = None
            self._lost = self._frames or self._lost
            self._part("open").unlink(missing_ok=True)
            raise

    @property
    def _clip_format(self) -> str:
        return "mp4" if self.format == "gif" else self.format

    def _clips(self) -> list[tuple[Path, list[int]]]:
        """Complete clips and their frames, in the order they were written."""
        found = [(self._parts / entry["clip"], entry["frames"]) for _, entry in self._index.entries()]
        return [(clip, frames) for clip, frames in found if clip.is_file()]

    def _part(self, name: str) -> Path:
        return self._parts / f"{name}.{self._clip_format}"

    def _new_part(self) -> Path:
        """A path that no clip has had."""
        numbers = [int(clip.stem) for clip, _ in self._clips()]
        return self._part(f"{max(numbers, default=-1) + 1:06d}")


def _places(folder: Path, format: str) -> tuple[Path, Path]:
    """The overlay and the hidden folder of its clips."""
    return folder / f"overlay.{format}", folder / f".sam2v-overlay-{format}"


def _publish(file: Path, path: Path) -> None:
    """Show a file under another name, without a second copy where the file system can."""
    partial = path.with_name(f".{path.name}.part")
    partial.unlink(missing_ok=True)
    try:
        try:
            os.link(file, partial)
        except OSError:
            shutil.copyfile(file, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
