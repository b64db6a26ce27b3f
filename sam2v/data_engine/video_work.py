"""What workers do to a video: find and track everything in it, or track masks that are known through it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.automatic.masklet_options import MaskletOptions
from sam2v.automatic.masklets import AutomaticMasklets
from sam2v.data.masklet_file import MaskletMasks, MaskRow, frames_at
from sam2v.data_engine.scores import overlap
from sam2v.data_engine.tools import ModelSpec, Tools
from sam2v.jobs.units import Unit
from sam2v.masks.result import MaskletFrame
from sam2v.masks.rle import encode_crop, encode_rle
from sam2v.output.sav import stability_of
from sam2v.tracking.prompts import Prompt
from sam2v.video.base import FrameSource
from sam2v.video.sources import open_source


@dataclass(frozen=True)
class AutoTask:
    """A video in which everything is to be found: its path, and annotated frames per second."""

    path: Path
    rate: float


@dataclass(frozen=True)
class Seed:
    """Masks of an object that are right: a file of masks, and which of its frames. Empty ones say that the object is
    not to be seen there."""

    masks: Path
    frames: tuple[int, ...]

    def load(self, source: FrameSource) -> MaskletMasks:
        """The masks. ValueError: they are of another video, or of a file that was replaced."""
        found = MaskletMasks.load(self.masks)
        if found.size != source.size or max(self.frames) >= len(source):
            raise ValueError(f"{self.masks}: the masks so far are of another video; was its file replaced?")
        return found


@dataclass(frozen=True)
class ProposeTask:
    """A video through which objects are to be tracked: seeds by the object's number."""

    path: Path
    rate: float
    seeds: Mapping[int, Seed]


@dataclass(frozen=True)
class AutoWork:
    """Automatic masklets (SAM 2 paper, section 5.1): one file of masks per object."""

    model: ModelSpec
    options: MaskletOptions

    def start(self) -> tuple[Tools, AutomaticMasklets]:
        tools = self.model.load()
        return tools, AutomaticMasklets(tools.network, options=self.options)

    def do(self, tool: tuple[Tools, AutomaticMasklets], unit: Unit, folder: Path) -> dict[str, Any]:
        tools, finder = tool
        with open_source(unit.argument.path) as source:
            facts, wanted = _facts(source, unit.argument.rate)
            found = finder.track(source)
            rows = _rows(found, wanted)
        for obj_id, masks in rows.items():
            known = found.masklets[obj_id]
            about = {"found": known.found, "last": known.last, "score": known.score, "quality": known.quality}
            _save(folder, obj_id, source.size, masks, wanted, about)
        return {**facts, "model": tools.name, "masklets": sorted(rows), "left_out": found.left_out}


@dataclass(frozen=True)
class ProposeWork:
    """Masks of a few frames, tracked to all others, in both directions; all objects of a video in one pass."""

    model: ModelSpec

    def start(self) -> Tools:
        return self.model.load()

    def do(self, tool: Tools, unit: Unit, folder: Path) -> dict[str, Any]:
        task: ProposeTask = unit.argument
        with open_source(task.path) as source, tool.video.init_state(source) as state:
            facts, wanted = _facts(source, task.rate)
            given = {number: seed.load(source) for number, seed in task.seeds.items()}
            for number, seed in task.seeds.items():
                for index in seed.frames:
                    mask = given[number].mask(index)
                    if mask.any():
                        tool.video.add_prompts(state, index, {number: Prompt(mask=mask)})
            rows = _rows(tool.video.propagate_in_video(state, direction="both"), wanted)
            for number, seed in task.seeds.items():
                found = rows.get(number, {}) | {index: given[number].rows[index] for index in seed.frames}
                _save(folder, number, source.size, found, wanted, {"seeds": list(seed.frames)})
        return {**facts, "model": tool.name, "masklets": sorted(task.seeds)}


@dataclass(frozen=True)
class AgreeWork:
    """Whether objects come back: each is tracked backwards from where it is seen last to where it is seen first, and
    compared with its masks there. Seeds name those two frames."""

    model: ModelSpec

    def start(self) -> Tools:
        return self.model.load()

    def do(self, tool: Tools, unit: Unit, folder: Path) -> dict[str, Any]:
        task: ProposeTask = unit.argument
        agreement = {}
        with open_source(task.path) as source, tool.video.init_state(source) as state:
            facts, _ = _facts(source, task.rate)
            for number, seed in task.seeds.items():
                masks, (first, last) = seed.load(source), seed.frames
                tool.video.reset_state(state)
                tool.video.add_mask(state, last, 1, masks.mask(last))
                back = tool.video.propagate_in_video(state, last, last - first, reverse=True)
                pairs = [(r.binary()[0], masks.mask(r.frame_idx)) for r in back if r.frame_idx in masks.rows]
                found = [overlap(one, other) for one, other in pairs[1:] if one.any() or other.any()]
                agreement[str(number)] = float(np.mean(found)) if found else 1.0
        return {**facts, "model": tool.name, "masklets": sorted(task.seeds), "agreement": agreement}


def _facts(source: FrameSource, rate: float) -> tuple[dict[str, Any], list[int]]:
    """What is known of a video, and its annotated frames."""
    length = len(source)
    facts = {"frames": length, "fps": source.fps, "height": source.size[0], "width": source.size[1]}
    return facts, frames_at(length, source.fps, rate)


def _rows(results: Iterable[MaskletFrame], wanted: list[int]) -> dict[int, dict[int, MaskRow]]:
    """Masks by object and annotated frame; in memory they are run lengths."""
    rows: dict[int, dict[int, MaskRow]] = {}
    chosen = frozenset(wanted)
    for result in results:
        if result.frame_idx not in chosen:
            continue
        scores = zip(result.iou.tolist(), result.object_score.tolist(), stability_of(result.low_res).tolist())
        for obj_id, crop, numbers in zip(result.obj_ids, result.crops, scores, strict=True):
            counts = str(encode_crop(crop, result.size)["counts"])
            rows.setdefault(obj_id, {})[result.frame_idx] = MaskRow(counts, *numbers)
    return rows


def _save(
    folder: Path,
    number: int,
    size: tuple[int, int],
    rows: Mapping[int, MaskRow],
    wanted: list[int],
    about: dict[str, Any],
) -> None:
    """Write the masks of an object; where nothing is known of it, it is absent."""
    absent = MaskRow(str(encode_rle(np.zeros(size, bool))["counts"]), 0.0, -10.0, 1.0)
    whole = {index: rows.get(index, absent) for index in wanted}
    MaskletMasks(size, whole, about).save(folder / f"{number:03d}.json")
