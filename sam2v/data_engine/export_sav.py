"""SA-V's layout: 6 masks a second over 24 frames a second, as JSON beside mp4 (train) or as PNG trees (val, test)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.export_plan import PlannedVideo
from sam2v.files import naming, whole_file
from sam2v.masks.png import write_binary
from sam2v.masks.rle import encode_rle
from sam2v.output.encode import encode_all
from sam2v.output.sav import STEP, SavAbout, write_record
from sam2v.video.base import FrameSource

FPS = 24.0


def check_rate(rate: float) -> None:
    """Raise ValueError for a project that was annotated at another rate than 6 frames a second."""
    if rate != FPS / STEP:
        raise ValueError(f"SA-V has 6 masks a second, this project {rate:g}: choose another format")


@dataclass(frozen=True)
class SavExport:
    """Videos of one split.

    Attributes:
        root: of the data set. split: train, val or test.
    """

    root: Path
    split: str

    def write(self, video: PlannedVideo, source: FrameSource, masks: Mapping[int, MaskletMasks]) -> None:
        """Write a video with its masklets, by object number.

        Raises:
            ValueError: an annotated frame of the data set has no mask.
        """
        times = frames_24(len(source), source.fps)
        if self.split == "train":
            self._write_train(video, source, masks, times)
        else:
            self._write_pictures(video, source, masks, times)

    def _write_train(
        self, video: PlannedVideo, source: FrameSource, masks: Mapping[int, MaskletMasks], times: list[int]
    ) -> None:
        folder = self.root / "sav_train" / "sav_000"
        folder.mkdir(parents=True, exist_ok=True)
        size, kinds = _even(source.size), ("manual", "auto")
        for kind in kinds:
            chosen = [one for one in video.masklets if one.kind == kind]
            if not chosen:
                continue
            ids = [one.number for one in chosen]
            rows = _Rows({number: masks[number] for number in ids}, times, size)
            which: Literal["manual", "auto"] = "manual" if kind == "manual" else "auto"
            edited = [one.edited for one in chosen]
            about = SavAbout(video.name, size, len(times), FPS, which, "Unknown", self.split, edited)
            with whole_file(folder / f"{video.name}_{kind}.json") as place, place.open("w", encoding="utf-8") as file:
                write_record(file, about, ids, rows)
        _write_film(folder / f"{video.name}.mp4", video.path, source, times)

    def _write_pictures(
        self, video: PlannedVideo, source: FrameSource, masks: Mapping[int, MaskletMasks], times: list[int]
    ) -> None:
        """Pictures and masks of those objects that people worked on; a video without any is left out."""
        from PIL import Image

        manual = [one.number for one in video.masklets if one.kind == "manual"]
        if not manual:
            return
        base = self.root / f"sav_{self.split}"
        for number, index in enumerate(times):
            with whole_file(base / "JPEGImages_24fps" / video.name / f"{number:05d}.jpg") as temporary:
                Image.fromarray(source[index]).save(temporary, "JPEG", quality=95)
            if number % STEP == 0:
                for position, obj in enumerate(manual):
                    path = base / "Annotations_6fps" / video.name / f"{position:03d}" / f"{number:05d}.png"
                    write_binary(path, _mask_at(masks[obj], index))
        with (base / f"sav_{self.split}.txt").open("a", encoding="utf-8") as listing, naming(base):
            listing.write(f"{video.name}\n")


@dataclass(frozen=True)
class _Rows:
    """The rows of a record: masks of every fourth frame by object."""

    masks: Mapping[int, MaskletMasks]
    times: list[int]
    size: tuple[int, int]

    def __call__(self) -> Iterator[dict[int, dict[str, Any]]]:
        for index in self.times[::STEP]:
            row = {}
            for number, masks in self.masks.items():
                mask = _mask_at(masks, index)
                pad = [(0, whole - part) for whole, part in zip(self.size, mask.shape, strict=True)]
                stability = masks.rows[index].stability
                row[number] = {"rle": encode_rle(np.pad(mask, pad)), "stability": stability}
            yield row


def frames_24(length: int, fps: float | None) -> list[int]:
    """Which frames of a video are shown at 24 a second; every fourth is one that is annotated at 6 a second."""
    step = (fps or FPS) / (FPS / STEP)
    count = max(1, round(length * FPS / (fps or FPS)))
    last = (count - 1) // STEP  # annotated one: behind the video's end there is none
    if round(last * step) >= length:
        count = last * STEP
    return [min(length - 1, round(number / STEP * step)) for number in range(count)]


def _mask_at(masks: MaskletMasks, index: int) -> np.ndarray:
    if index not in masks.rows:
        raise ValueError(f"frame {index} has no mask: the project's frames are not those that SA-V has masks of")
    return masks.mask(index)


def _even(size: tuple[int, int]) -> tuple[int, int]:
    """H.264 has even sides only: the last row and column are repeated, and belong to no object."""
    return size[0] + size[0] % 2, size[1] + size[1] % 2


def _write_film(path: Path, original: Path, source: FrameSource, times: list[int]) -> None:
    """An mp4 of 24 frames a second: the video's own file if it is one."""
    with whole_file(path) as temporary:
        plain = source.fps == FPS and times == list(range(len(source))) and source.size == _even(source.size)
        if plain and original.suffix.lower() == ".mp4":
            shutil.copyfile(original, temporary)
        else:
            pictures, aspect = (source[index] for index in times), source.pixel_aspect
            encode_all(pictures, temporary, "mp4", source.size, FPS, pixel_aspect=aspect)
