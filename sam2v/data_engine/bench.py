"""What an annotator works at: one object of one video, by one of the three phases (SAM 2 paper, section 5.1)."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.closing import Closing
from sam2v.data.masklet_file import MaskletMasks, MaskRow, frames_at
from sam2v.data_engine.refining import FrameClicks, tracked_anew
from sam2v.data_engine.tools import Tools
from sam2v.data_engine.work import Act, ActKind, Work
from sam2v.masks.result import MaskletFrame
from sam2v.masks.rle import encode_rle
from sam2v.output.sav import stability_of
from sam2v.tracking.prompts import Prompt, check_points
from sam2v.video.sources import open_source

_OBJECT = 1
#: Of a mask that somebody painted.
_SURE = (1.0, 10.0, 1.0)


class Bench(Closing):
    """An object under annotation. Frames without a mask yet are empty.

    Attributes:
        frames: indices of the annotated frames. size: (height, width) of the video.
        acts: what was done so far.

    Args:
        tools: the model. path: the video. rate: annotated frames per second.
        start: masks to begin with, None for an object that is new.
    """

    phase = 0

    def __init__(self, tools: Tools, path: Path, rate: float, start: MaskletMasks | None = None) -> None:
        self.tools = tools
        self._source = open_source(path)
        try:
            self.length, self.fps = len(self._source), self._source.fps
            self.size: tuple[int, int] = self._source.size
            self.frames = frames_at(self.length, self.fps, rate)
            if start is not None and (start.size != self.size or not set(start.rows) <= set(self.frames)):
                raise ValueError(f"{path}: the masks so far belong to another video, or to other frames of it")
        except BaseException:
            self._source.close()
            raise
        self._start = start
        self._rows = dict(start.rows) if start is not None else {}
        self._empty = self._row(np.zeros(self.size, bool), *_SURE)
        self._wanted = frozenset(self.frames)
        self.acts: list[Act] = []
        self._began, self._computed = time.monotonic(), tools.seconds
        self._acted = self._began

    def mask(self, frame_idx: int) -> np.ndarray:
        """H x W bool on an annotated frame, as it is now."""
        self._check(frame_idx)
        return MaskletMasks(self.size, {frame_idx: self._rows.get(frame_idx, self._empty)}).mask(frame_idx)

    @abstractmethod
    def begin(self, frame_idx: int) -> None:
        """Turn to a frame to edit it."""

    @abstractmethod
    def click(self, frame_idx: int, x: float, y: float, label: int) -> np.ndarray:
        """Click on the object (label 1) or on what is not the object (0), in pixels; H x W bool as it then is.

        Raises:
            ValueError: no annotated frame, a place beside it, or another label. Nothing is changed then.
        """

    @abstractmethod
    def propose(self, frame_idx: int) -> Iterator[int]:
        """Have masks proposed for the frames behind one that was edited; edited ones stay as they are.

        Yields:
            Every annotated frame as its mask is there. Whoever stops listening stops the tracker.
        """

    def stroke(self, frame_idx: int, region: np.ndarray, label: int) -> np.ndarray:
        """Paint a region, H x W bool, as the object (label 1), or erase it (0); H x W bool as the mask then is."""
        mask = np.where(self._checked(frame_idx, region), bool(label), self.mask(frame_idx))
        self._rows[frame_idx] = self._row(mask, *_SURE)
        rows, columns = np.nonzero(region)
        place = (columns.mean(), rows.mean(), np.sqrt(len(rows) / np.pi)) if len(rows) else (0.0, 0.0, 0.0)
        self._note(frame_idx, "stroke", place[0], place[1], label, float(place[2]))
        return mask

    def give(self, frame_idx: int, mask: np.ndarray) -> None:
        """Give the mask of a frame, H x W bool; an empty one says that the object is not to be seen."""
        self._rows[frame_idx] = self._row(self._checked(frame_idx, mask), *_SURE)
        self._note(frame_idx, "mask", label=int(mask.any()))

    def done(self) -> Work:
        """What is handed in."""
        masks = MaskletMasks(self.size, {index: self._rows.get(index, self._empty) for index in self.frames})
        seconds = time.monotonic() - self._began
        return Work(masks, list(self.acts), self.phase, self.tools.name, seconds, self.tools.seconds - self._computed)

    def close(self) -> None:
        self._source.close()

    # -- for the phases ------------------------------------------------------------------------------------------------

    def _note(
        self, frame: int, kind: ActKind, x: float = 0.0, y: float = 0.0, label: int = 1, radius: float = 0.0
    ) -> None:
        now = time.monotonic()
        self.acts.append(Act(frame, kind, float(x), float(y), label, radius, now - self._acted))
        self._acted = now

    def _track(self, results: Iterator[MaskletFrame], start: int) -> Iterator[int]:
        """Keep what the tracker says of the frames behind one, but those that were edited."""
        edited = {act.frame for act in self.acts}
        while True:
            with self.tools.timed():
                result = next(results, None)
                if result is None:
                    return
                if result.frame_idx > start and result.frame_idx not in edited:
                    self._take(result)
            if result.frame_idx > start and result.frame_idx in self._wanted:
                yield result.frame_idx

    def _take(self, result: MaskletFrame) -> None:
        """Keep what the tracker says of a frame, if that is annotated."""
        if result.frame_idx in self._wanted:
            (stability,) = stability_of(result.low_res).tolist()
            scores = float(result.iou[0]), float(result.object_score[0]), stability
            self._rows[result.frame_idx] = self._row(result.binary()[0], *scores)

    def _row(self, mask: np.ndarray, *scores: float) -> MaskRow:
        return MaskRow(str(encode_rle(mask)["counts"]), *scores)

    def _checked(self, frame_idx: int, mask: np.ndarray) -> np.ndarray:
        self._check(frame_idx)
        if mask.shape != self.size:
            raise ValueError(f"a mask of {mask.shape} pixels on frames of {self.size} (height, width)")
        return mask != 0

    def _check_click(self, frame_idx: int, x: float, y: float, label: int) -> None:
        self._check(frame_idx)
        if label not in (0, 1):
            raise ValueError(f"a click has the label 1 (the object) or 0 (not the object), got {label!r}")
        check_points([[x, y]], [label], self.size, normalized=False)

    def _check(self, frame_idx: int) -> None:
        if frame_idx not in self._wanted:
            raise ValueError(f"frame {frame_idx} is not one that is annotated: {self.frames[:3]}...")


class ByFrame(Bench):
    """Phase 1: every frame by itself, from scratch, with the image model and a brush."""

    phase = 1

    def __init__(self, tools: Tools, path: Path, rate: float, start: MaskletMasks | None = None) -> None:
        super().__init__(tools, path, rate, start)
        self._at: int | None = None
        self._points: list[tuple[list[float], int]] = []
        self._logits: np.ndarray | None = None
        self._embedding: Any = None

    def begin(self, frame_idx: int) -> None:
        self._check(frame_idx)
        if self._at != frame_idx:
            with self.tools.timed():
                self._embedding = self.tools.image.embed(self._source[frame_idx])
        self._at, self._points, self._logits = frame_idx, [], None
        self._rows[frame_idx] = self._empty

    def click(self, frame_idx: int, x: float, y: float, label: int) -> np.ndarray:
        self._check_click(frame_idx, x, y, label)
        if self._at != frame_idx:
            self.begin(frame_idx)
        self._points.append(([float(x), float(y)], int(label)))
        points, labels = zip(*self._points, strict=True)
        with self.tools.timed():
            found = self.tools.image.predict(
                list(points),
                list(labels),
                mask_input=self._logits,
                multimask_output=self._logits is None,  # the first click may mean a part or the whole
                embedding=self._embedding,
            )
            best = int(found.iou.argmax())
            mask = found.masks[best]
        self._logits = found.low_res_logits[best : best + 1]
        self._rows[frame_idx] = self._row(mask, float(found.iou[best]), 10.0, 1.0)
        self._note(frame_idx, "click", x, y, label)
        return mask

    def propose(self, frame_idx: int) -> Iterator[int]:
        """Nothing: other frames are annotated by themselves."""
        return iter(())


class AcrossTime(ByFrame):
    """Phase 2: a frame's mask is made as in phase 1, and proposes the masks behind it; the tracker knows that one mask
    and nothing else."""

    phase = 2

    def __init__(self, tools: Tools, path: Path, rate: float, start: MaskletMasks | None = None) -> None:
        super().__init__(tools, path, rate, start)
        self._state = tools.video.init_state(self._source)

    def propose(self, frame_idx: int) -> Iterator[int]:
        video = self.tools.video
        with self.tools.timed():
            video.reset_state(self._state)
            video.add_mask(self._state, frame_idx, _OBJECT, self.mask(frame_idx))
        return self._track(video.propagate_in_video(self._state, start_frame_idx=frame_idx), frame_idx)

    def close(self) -> None:
        self._state.close()
        super().close()


class FullModel(Bench):
    """Phase 3: clicks on any frame refine what is there, with the memory of the frames that were edited before.

    Clicks are answered as `FrameClicks` says. Tracking goes on from the mask of the frame as it then is; of the frames
    before it those that were edited are remembered. What was tracked before it led to a mask that was wrong, and is
    forgotten: the frames just before it are tracked anew, backwards from it, to be remembered as they then are. (Their
    masks, which were right, stay.) A frame on which the object is not to be seen is not remembered.
    """

    phase = 3

    def __init__(self, tools: Tools, path: Path, rate: float, start: MaskletMasks | None = None) -> None:
        super().__init__(tools, path, rate, start)
        self._state = tools.refining.init_state(self._source)
        self._at: int | None = None
        self._clicks: FrameClicks | None = None

    def begin(self, frame_idx: int) -> None:
        """Turn to a frame. Of masks to begin with, the one before it, which is right, is what the tracker learns."""
        self._check(frame_idx)
        if self._at != frame_idx:
            self._at, self._clicks = frame_idx, None
        if self._start is None or _OBJECT in self._state.tracks:
            return
        before = [index for index in self._start.frames if index < frame_idx and self._start.mask(index).any()]
        with self.tools.timed():
            for index in [*before[-1:], *([frame_idx] if self._start.mask(frame_idx).any() else [])]:
                self.tools.refining.add_mask(self._state, index, _OBJECT, self._start.mask(index))

    def click(self, frame_idx: int, x: float, y: float, label: int) -> np.ndarray:
        self._check_click(frame_idx, x, y, label)
        self.begin(frame_idx)
        with self.tools.timed():
            if self._clicks is None:
                self._clicks = self._clicks_on(frame_idx)
            offer = self._clicks.add(float(x), float(y), int(label))
        if offer is not None:
            self._rows[frame_idx] = self._row(offer.mask, offer.iou, 10.0, 1.0)
        self._note(frame_idx, "click", x, y, label)
        return self.mask(frame_idx)

    def propose(self, frame_idx: int) -> Iterator[int]:
        with self.tools.timed():
            self._remember(frame_idx)
        if not any(track.has_prompt() for track in self._state.tracks.values()):  # it was not seen yet
            edited = {act.frame for act in self.acts}
            behind = [index for index in self.frames if index > frame_idx]
            self._rows.update({index: self._empty for index in behind if index not in edited})
            return iter(behind)
        self._clicks = None
        empty = {act.frame for act in self.acts if not self.mask(act.frame).any()}
        return self._track(self._propagated(frame_idx, empty), frame_idx)

    def close(self) -> None:
        self._state.close()
        super().close()

    def _clicks_on(self, frame_idx: int) -> FrameClicks:
        track = self._state.tracks.get(_OBJECT)
        known = track is not None and track.entry(frame_idx) is not None
        shown = self.tools.refining.result(self._state, frame_idx) if known else None
        embedding = self.tools.image.embed(self._source[frame_idx])
        return FrameClicks(self.tools.image, embedding, shown, partial(self._with_memory, frame_idx))

    def _propagated(self, frame_idx: int, empty: Collection[int]) -> Iterator[MaskletFrame]:
        """Track from a frame on. What the tracker sees on frames on which there is nothing is not remembered."""
        for result in self.tools.refining.propagate_in_video(self._state, frame_idx):
            if result.frame_idx in empty:
                self._state.forget_result(_OBJECT, result.frame_idx)
            yield result

    def _with_memory(self, frame_idx: int, x: float, y: float, label: int) -> MaskletFrame:
        prompt = {_OBJECT: Prompt([[x, y]], [label])}
        return self.tools.refining.add_prompts(self._state, frame_idx, prompt, clear_old_points=False)

    def _remember(self, frame_idx: int) -> None:
        """Have the tracker know the mask of a frame as it is, and of the frames before it what follows from that."""
        mask, video, tracks = self.mask(frame_idx), self.tools.refining, self._state.tracks
        if mask.any():
            video.add_mask(self._state, frame_idx, _OBJECT, mask)
            around = tracked_anew(tracks[_OBJECT], frame_idx)
            for _ in video.track_frames(self._state, around, reverse=True) if around else ():
                pass
        elif _OBJECT in tracks:
            video.clear_all_prompts_in_frame(self._state, frame_idx, _OBJECT)
            tracks[_OBJECT].forget_tracked()


BENCHES: dict[int, type[Bench]] = {1: ByFrame, 2: AcrossTime, 3: FullModel}


def open_bench(phase: int, tools: Tools, path: Path, rate: float, start: MaskletMasks | None = None) -> Bench:
    """A bench of one of the three phases; arguments as `Bench`.

    Raises:
        ValueError: no such phase, or masks of another video. OSError: the video cannot be read.
    """
    if phase not in BENCHES:
        raise ValueError(f"phase must be 1, 2 or 3, got {phase}")
    return BENCHES[phase](tools, path, rate, start)
