"""The masks drawn over the video, as mp4, webm or gif, in the order of time whatever order results come in.

Pictures are encoded as they come into a hidden film, which can be read up to wherever writing it stopped, and a journal
says which frame each of them is. So nothing is kept in memory, no frame of the video is read again, and a killed
program loses nothing. Closing copies what came in the order of time; the rest (reverse tracking, corrections) is
encoded again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.files import naming, whole_file
from sam2v.masks.draw import draw_masks
from sam2v.masks.result import MaskletFrame
from sam2v.output.base import MaskWriter, Target
from sam2v.output.encode import FILM, Palette, VideoEncoder, VideoFormat, copy_films, encode_all
from sam2v.output.journal import Journal
from sam2v.video.file import VideoFile

Place = tuple[int, int]  # number of a film, and which of its pictures; film OVERLAY is the output of an earlier run
OVERLAY = -1
PALETTE_FRAMES = 16  # pictures that the colours of a GIF are chosen from
DRAWING_OPTIONS = ("alpha", "contour", "labels")


class OverlayWriter(MaskWriter):
    """overlay.mp4, overlay.webm or overlay.gif. Results must carry their picture (`MaskletFrame.with_frame`)."""

    draws = True

    def __init__(self, target: Target, format: VideoFormat, style: Mapping[str, Any] | None = None) -> None:
        super().__init__(target)
        self.path = _film(target.folder, format, OVERLAY)
        self.format, self.style = format, style or {}
        unknown = set(self.style) - set(DRAWING_OPTIONS)
        if unknown:
            raise TypeError(f"unknown option {sorted(unknown)[0]!r}; accepted: {', '.join(DRAWING_OPTIONS)}")
        nothing = np.zeros((1, 1, 3), np.uint8), np.zeros((0, 1, 1), bool)
        draw_masks(*nothing, [], **self.style)  # impossible values show now, not at the first frame
        if not target.resume:
            _remove_films(target.folder, format)
        self._journal = _journal(target.folder, format)
        self._number = max(_numbers(self._journal), default=OVERLAY) + 1  # of this run's film
        self._encoder: VideoEncoder | None = None

    @staticmethod
    def remove_results(folder: Path, format: str) -> None:
        if _remove_films(folder, format):
            _film(folder, format, OVERLAY).unlink(missing_ok=True)

    def done_frames(self) -> set[int]:
        return {frame for frame, _ in self._pictures()}

    def check(self, result: MaskletFrame) -> None:
        super().check(result)
        if result.frame is None:
            raise ValueError(f"frame {result.frame_idx} has no picture to draw on: pass result.with_frame(frame)")

    def _write(self, result: MaskletFrame) -> None:
        picture = result.overlay(**self.style)
        try:
            with naming(self.path):
                self._encoder = self._encoder or self._start_film()
                self._encoder.add(picture)
                self._journal.append({"frame_idx": result.frame_idx, "film": self._number})
        except BaseException:  # the next picture goes to another film
            self._end_film(whole=False)
            self._number += 1
            raise

    def _finish(self, finished: bool) -> None:
        try:
            with naming(self.path):
                self._end_film(whole=True)
                pictures = list(self._pictures())
                if pictures:
                    self._publish(pictures)
                    if finished and self.format != "gif":  # its 256 colours are no source for a later run
                        self._forget_films(sorted(dict(pictures)))
        finally:
            self._end_film(whole=False)
            self._journal.close()

    def _publish(self, pictures: list[tuple[int, Place]]) -> None:
        frames, newest = [frame for frame, _ in pictures], dict(pictures)
        counts = Counter(number for _, (number, _) in pictures)  # of films, in the order in which they came
        whole = frames == sorted(newest) and OVERLAY not in counts and self.format != "gif"
        films = [(self._film(number), count) for number, count in counts.items()]
        with whole_file(self.path) as temporary:
            if not (whole and copy_films(films, temporary, self.format, self.target.fps)):
                places = [newest[frame] for frame in sorted(newest)]
                few = places[:: -(-len(places) // PALETTE_FRAMES)]
                palette = Palette(self._read(few)) if self.format == "gif" else None
                shape = self.target.size, self.target.fps, palette, self.target.pixel_aspect
                encode_all(self._read(places), temporary, self.format, *shape)

    def _forget_films(self, frames: list[int]) -> None:
        """From now on the output itself is what a later run continues from."""
        old = _numbers(self._journal)
        self._journal.rewrite({"frame_idx": frame, "film": OVERLAY} for frame in frames)
        for number in old - {OVERLAY}:
            self._film(number).unlink(missing_ok=True)

    def _pictures(self) -> Iterator[tuple[int, Place]]:
        """(frame, place) of every picture in a film that is there, in the order they were written."""
        seen: Counter[int] = Counter()
        there = {number for number in _numbers(self._journal) if self._film(number).is_file()}
        for _, entry in self._journal.entries():
            if entry["film"] in there:
                yield entry["frame_idx"], (entry["film"], seen[entry["film"]])
                seen[entry["film"]] += 1

    def _read(self, places: Iterable[Place]) -> Iterator[np.ndarray]:
        """Pictures as large as they were drawn."""
        height, width = self.target.size
        with ExitStack() as stack:
            opened = cache(lambda number: stack.enter_context(VideoFile(self._film(number))))
            for number, place in places:
                yield opened(number)[place][:height, :width]

    def _start_film(self) -> VideoEncoder:
        kind: VideoFormat = "mp4" if self.format == "gif" else self.format
        film = self._film(self._number)
        film.unlink(missing_ok=True)  # a link, say, which would lead somewhere else
        aspect = self.target.pixel_aspect
        return VideoEncoder(film, kind, self.target.size, self.target.fps, container=FILM, pixel_aspect=aspect)

    def _end_film(self, whole: bool) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close() if whole else encoder.abandon()

    def _film(self, number: int) -> Path:
        return _film(self.target.folder, self.format, number)


def _film(folder: Path, format: str, number: int) -> Path:
    return folder / (f"overlay.{format}" if number == OVERLAY else f".sam2v-{format}.{number}.{FILM}")


def _journal(folder: Path, format: str) -> Journal:
    return Journal(MaskWriter.record_path(folder, format), resume=True)


def _numbers(journal: Journal) -> set[int]:
    """The films that a journal tells of."""
    numbers = set()
    for _, entry in journal.entries():
        if not isinstance(entry.get("film"), int) or entry["film"] < OVERLAY:
            raise ValueError(f"{journal.path}: no record of an overlay")
        numbers.add(entry["film"])
    return numbers


def _remove_films(folder: Path, format: str) -> bool:
    """Remove what an earlier run left to continue from; whether there was anything."""
    journal = _journal(folder, format)
    numbers = _numbers(journal) - {OVERLAY}
    for number in {*numbers, max(numbers, default=OVERLAY) + 1}:  # one that was killed has no entry yet
        _film(folder, format, number).unlink(missing_ok=True)
    known = journal.path.exists()
    journal.path.unlink(missing_ok=True)
    return known
