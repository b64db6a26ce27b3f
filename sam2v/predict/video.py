"""Promptable video segmentation (SAM 2 paper, sections 3 and 4)."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from sam2v.masks.result import MaskletFrame
from sam2v.memory import MemoryPolicy
from sam2v.model.network import Sam2Network
from sam2v.predict.loading import load_with_options
from sam2v.tracking.engine import Engine, NoPromptError
from sam2v.tracking.live import LiveFrames
from sam2v.tracking.options import VideoOptions
from sam2v.tracking.prompts import ArrayLike, check_index, mask_prompt, point_prompt
from sam2v.tracking.session import DEFAULT_MEMORY_BUDGET, Session
from sam2v.tracking.session_file import ModelIdentity, read_session_file, restore_session, save_session
from sam2v.weights.identify import weights_checksum

_DIRECTIONS = ("forward", "reverse", "both")


class ObjectScores(NamedTuple):
    """How sure the model is of one mask: predicted IoU in [0, 1], and the object score logit (> 0: the object is
    there)."""

    iou: float
    object_score: float


class VideoPredictor:
    """Segment objects through a video from points, boxes and masks on any of its frames.

    One predictor serves any number of sessions, also at once from several threads: everything about a video is in the
    session that :meth:`init_state` returns.

    Args:
        model: a network from :func:`sam2v.load_model`.
        policy: which memories a frame reads; None takes the reference's rule with the options below.
        frames_per_encoding: how many frames of a video (not of a live stream) are encoded in one batch while tracking:
            the same masks, sooner on a device that one frame does not fill, for the memory of so many frames' features.
        **options: see :class:`sam2v.tracking.options.VideoOptions`.

    Raises:
        TypeError: an unknown option, or a value of the wrong type. ValueError: a value out of range.
    """

    def __init__(
        self, model: Sam2Network, *, policy: MemoryPolicy | None = None, frames_per_encoding: int = 1, **options: Any
    ) -> None:
        if not isinstance(model, Sam2Network):
            raise TypeError(f"model must come from sam2v.load_model, got {type(model).__name__}")
        if model.image_only:
            raise ValueError("this model's weights have no modules for tracking: it serves ImagePredictor only")
        self.model = model
        self.options = VideoOptions.from_keywords(**options)
        if check_index(frames_per_encoding, "frames_per_encoding") < 1:
            raise ValueError(f"frames_per_encoding must be at least 1, got {frames_per_encoding}")
        self._engine = Engine(model, self.options, policy, frames_per_encoding=frames_per_encoding)
        self.policy = self._engine.policy

    @classmethod
    def from_pretrained(
        cls, name: str = "sam2v_nano", *, policy: MemoryPolicy | None = None, **options: Any
    ) -> VideoPredictor:
        """Load a model by name and wrap it; takes the options of both :func:`sam2v.load_model` and this class."""
        model, rest = load_with_options(name, options)
        return cls(model, policy=policy, **rest)

    @cached_property
    def identity(self) -> ModelIdentity:
        """What tells this predictor's model from others; found out once."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        return ModelIdentity(asdict(self.model.config), dtype, weights_checksum(self.model))

    # -- sessions ------------------------------------------------------------------------------------------------------

    def init_state(
        self,
        source: Any = None,
        *,
        history: str | None = None,
        memory_budget: int | None = DEFAULT_MEMORY_BUDGET,
        num_frames: int | None = None,
        window: int = 8,
    ) -> Session:
        """Open a video and return its session. Frames are decoded when they are needed.

        Args:
            source: a video file, a folder of frames, an array T x H x W x 3 (uint8), a list of frames or an iterator of
                frames; None for a live stream, whose frames arrive through :meth:`track`.
            history: "full" keeps every result readable, so that a refinement pass from any frame equals the reference;
                "window" keeps only what can still be read. None: "full" where the source can seek, else "window".
            memory_budget: bytes of results that "full" keeps in memory; beyond, they move to a temporary file. None:
                no limit.
            num_frames: for a live stream, its length if it is known. Videos of fewer than 16 frames read fewer object
                pointers, as in the reference, which a stream can only do when it knows.
            window: for a live stream, how many of the newest frames can be prompted.

        Raises:
            FileNotFoundError, ValueError, TypeError: the source cannot be read; the message says why.
        """
        if source is None:
            if num_frames is not None and check_index(num_frames, "num_frames") < 1:
                raise ValueError(f"num_frames must be at least 1, got {num_frames}")
            return Session(LiveFrames(window), num_frames, history or "window", memory_budget)
        from sam2v.video.sources import open_source

        if num_frames is not None:
            raise ValueError("num_frames is for live streams; the source knows its own length")
        frames = open_source(source)
        default = "full" if frames.is_seekable else "window"
        return Session(frames, frames.known_length(), history or default, memory_budget)

    def save_session(self, state: Session, path: str | Path) -> None:
        """Write a session to a file, so that :meth:`load_session` can go on with it, exactly.

        The video is not copied, only where it is (a live stream's newest frames are). Nothing is written on an error.
        """
        with state.lock:
            save_session(state, path, self.identity, self.options)

    def load_session(self, path: str | Path, source: Any = None) -> Session:
        """Go on with a saved session; the model and the options must be those it was saved with.

        Args:
            path: the file.
            source: the video, as for :meth:`init_state`; None takes the file or folder it was opened from.

        Raises:
            FileNotFoundError, ValueError: the file or the video is missing, or belongs to something else.
        """
        record = read_session_file(path)
        if source is None and record["live"] is None:
            source = record["video"]
        if source is None and record["live"] is None:
            raise ValueError("the session's video was neither a file nor a folder: give it as source")
        frames = None
        if source is not None:
            if record["live"] is not None:
                raise ValueError("the session belongs to a live stream: it takes no source")
            from sam2v.video.sources import open_source

            frames = open_source(source)
        return restore_session(record, frames, self.identity, self.options, self.model.device)

    def reset_state(self, state: Session) -> None:
        """Forget all objects and results of a session; its video stays open."""
        with state.lock:
            state.reset()

    # -- prompts -------------------------------------------------------------------------------------------------------

    def add_points(
        self,
        state: Session,
        frame_idx: int,
        obj_id: int,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
    ) -> MaskletFrame:
        """Prompt an object with points, a box, or both, on any frame.

        A new ``obj_id`` adds an object, also in mid-track. On a frame where the object already has a mask (predicted or
        given), that mask is refined.

        Args:
            points: P x 2 (x, y) in pixels of the video. labels: P of 1 (object) and 0 (not the object); None means
                all 1.
            box: (x0, y0, x1, y1) in pixels of the video.
            clear_old_points: replace the object's earlier points on this frame instead of adding to them.
            normalize_coords: True for pixels, False for coordinates in [0, 1].

        Returns:
            All objects' masks on this frame; unpacks as (frame_idx, obj_ids, masks).

        Raises:
            ValueError, TypeError: something is wrong with the prompt or the frame index. The session is unchanged.
        """
        with state.lock:
            frame_idx, obj_id = state.check_frame(frame_idx), check_index(obj_id, "obj_id")
            if box is not None and not clear_old_points:
                raise ValueError("a box starts afresh: it needs clear_old_points=True")
            size = self._readable(state, frame_idx)
            prompt = point_prompt(points, labels, box, size, self.model.config.image_size, normalize_coords)
            known = state.tracks.get(obj_id)
            if not clear_old_points and known and frame_idx in known.points:
                prompt = known.points[frame_idx].joined(prompt)
            self._engine.prompt_points(state, obj_id, frame_idx, prompt)
            return self._engine.result(state, frame_idx)

    def add_box(
        self, state: Session, frame_idx: int, obj_id: int, box: ArrayLike, normalize_coords: bool = True
    ) -> MaskletFrame:
        """Prompt an object with a box (x0, y0, x1, y1); see :meth:`add_points`."""
        return self.add_points(state, frame_idx, obj_id, box=box, normalize_coords=normalize_coords)

    def add_mask(self, state: Session, frame_idx: int, obj_id: int, mask: ArrayLike) -> MaskletFrame:
        """Give an object's mask on a frame: H x W booleans or numbers (positive = object), covering the whole frame.

        The mask replaces the object's points on this frame; points added afterwards refine it. It is kept at a quarter
        of the model's input size: an object smaller than a cell there is lost, which is warned about.

        Raises:
            ValueError, TypeError: something is wrong with the mask or the frame index. The session is unchanged.
        """
        with state.lock:
            frame_idx, obj_id = state.check_frame(frame_idx), check_index(obj_id, "obj_id")
            self._readable(state, frame_idx)
            plane = mask_prompt(mask, self.model.config.image_size)
            self._engine.prompt_mask(state, obj_id, frame_idx, plane)
            return self._engine.result(state, frame_idx)

    # the reference's names
    add_new_points_or_box = add_points
    add_new_points = add_points
    add_new_mask = add_mask

    def clear_all_prompts_in_frame(self, state: Session, frame_idx: int, obj_id: int) -> MaskletFrame:
        """Take back an object's prompts on a frame and return the masks that remain there.

        What the prompts produced stays as an ordinary result until the frame is tracked again.
        """
        with state.lock:
            frame_idx, track = state.check_frame(frame_idx), state.track(obj_id)
            self._engine.clear_prompts(track, frame_idx)
            return self._engine.result(state, frame_idx)

    def remove_object(self, state: Session, obj_id: int, strict: bool = False) -> tuple[list[int], list[MaskletFrame]]:
        """Remove an object and leave the others as they are.

        Returns:
            The remaining ids, and the remaining masks on the frames where the object had prompts.

        Raises:
            KeyError: the object is unknown and ``strict`` is True; otherwise that is no error.
        """
        with state.lock:
            if check_index(obj_id, "obj_id") not in state.tracks and not strict:
                return state.obj_ids, []
            track = state.track(obj_id)
            if len(state.tracks) == 1:
                state.reset()
                return [], []
            track.bank.clear()
            del state.tracks[obj_id]
            return state.obj_ids, [self._engine.result(state, f) for f in track.prompted_frames()]

    # -- tracking ------------------------------------------------------------------------------------------------------

    def propagate_in_video(
        self,
        state: Session,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
        direction: str | None = None,
    ) -> Iterator[MaskletFrame]:
        """Track all objects through the video and yield each frame's masks.

        Args:
            start_frame_idx: where to start; None starts at the earliest prompted frame.
            max_frame_num_to_track: frames to go from the start, which itself is yielded too: N gives N + 1 frames.
            reverse: go towards the beginning.
            direction: "forward", "reverse" or "both" (forward from the start, then backwards from the frame before it);
                overrides ``reverse``.

        Yields:
            :class:`MaskletFrame`, which unpacks as (frame_idx, obj_ids, masks); masks are N x 1 x H x W logits.

        Raises:
            NoPromptError: (a RuntimeError and ValueError) no object has a prompt, or one of them has none.
            ValueError, TypeError: wrong frame index, count or direction.
        """
        if direction is None:
            direction = "reverse" if reverse else "forward"
        if direction not in _DIRECTIONS:
            raise ValueError(f"direction must be one of {', '.join(_DIRECTIONS)}, got {direction!r}")
        if max_frame_num_to_track is not None:
            max_frame_num_to_track = check_index(max_frame_num_to_track, "max_frame_num_to_track")
            if max_frame_num_to_track < 0:
                raise ValueError(f"max_frame_num_to_track must not be negative, got {max_frame_num_to_track}")
        if start_frame_idx is not None:
            start_frame_idx = state.check_frame(start_frame_idx)
        return self._propagate(state, start_frame_idx, max_frame_num_to_track, direction)

    def _propagate(self, state: Session, start: int | None, most: int | None, direction: str) -> Iterator[MaskletFrame]:
        with state.lock:
            self._engine.remember_prompts(state)
        if start is None:
            start = min(frame for track in state.tracks.values() for frame in track.bank.conditioning)
        if direction == "reverse" and start == 0:
            warnings.warn("reverse tracking from frame 0 yields nothing: there is no frame before it", stacklevel=3)
        if direction != "reverse":
            yield from self._walk(state, forward_frames(state, start, most), reverse=False)
        if direction != "forward" and start > 0:
            first = start - 1 if direction == "both" else start
            last = 0 if most is None else max(0, start - most)
            yield from self._walk(state, range(first, last - 1, -1), reverse=True)

    def track_frames(self, state: Session, frames: Iterable[int], reverse: bool = False) -> Iterator[MaskletFrame]:
        """Track all objects through the given frames, in that order; ends with the video.

        This is what :meth:`propagate_in_video` does with the frames that lie ahead.

        Args:
            frames: frame indices, ascending, or descending with ``reverse``. reverse: which way memories are read.

        Raises:
            NoPromptError: no object has a prompt, or one of them has none.
            ValueError, TypeError: (where it is reached) not a frame index.
        """
        with state.lock:
            self._engine.remember_prompts(state)
        return self._walk(state, (_not_negative(frame_idx) for frame_idx in frames), reverse)

    def _walk(self, state: Session, frames: Iterable[int], reverse: bool) -> Iterator[MaskletFrame]:
        for frame_idx in self._engine.read_ahead(state, frames):
            with state.lock:
                if not state.tracks:
                    raise NoPromptError("all objects were removed while tracking")
                self._engine.remember_prompts(state)
                self._engine.step(state, frame_idx, reverse)
                result = self._engine.result(state, frame_idx)
            yield result

    def track(self, state: Session, frame: Any) -> MaskletFrame:
        """Take a live stream's next frame and track all objects to it.

        Args:
            state: a session from ``init_state(None)``.
            frame: H x W x 3 uint8 array (also grey or RGBA), 3 x H x W tensor or PIL image.

        Returns:
            The objects' masks on this frame, N = 0 before the first prompt. Prompts may then go to this frame and to
            earlier ones still in the window. An object whose prompts were all taken back is absent until the next one.

        Raises:
            ValueError, TypeError: not a frame, or of another size than the earlier ones. The session is unchanged.
        """
        from sam2v.video.frames import as_frame

        with state.lock:
            if not isinstance(state.frames, LiveFrames):
                raise ValueError("track() is for live streams: open them with init_state(None)")
            pixels = as_frame(frame)
            if state.num_frames is not None and state.frames.count >= state.num_frames:
                raise ValueError(f"the stream was announced with {state.num_frames} frames and has ended")
            if state.tracks:
                self._engine.remember_prompts(state, every_object=False)
            frame_idx = state.frames.append(pixels)
            if state.tracks:
                for track in state.tracks.values():
                    for prompted in track.bank.conditioning:
                        track.passed.setdefault(prompted, False)
                self._engine.step(state, frame_idx, reverse=False)
            return self._engine.result(state, frame_idx)

    # -- results -------------------------------------------------------------------------------------------------------

    def result(self, state: Session, frame_idx: int) -> MaskletFrame:
        """The masks that are known on a frame, without computing anything new."""
        with state.lock:
            return self._engine.result(state, state.check_frame(frame_idx))

    def scores(self, state: Session, frame_idx: int) -> dict[int, ObjectScores]:
        """Predicted IoU and object score of every object that has a result on a frame, by object id."""
        with state.lock:
            frame_idx = state.check_frame(frame_idx)
            known = ((obj_id, track.entry(frame_idx)) for obj_id, track in state.tracks.items())
            return {i: ObjectScores(float(e.iou), float(e.score)) for i, e in known if e is not None}

    def _readable(self, state: Session, frame_idx: int) -> tuple[int, int]:
        """The video's size, once it is sure that this frame can be read for a prompt."""
        self._engine.check_readable(state, frame_idx)
        return state.size


def _not_negative(frame_idx: object) -> int:
    index = check_index(frame_idx, "frame_idx")
    if index < 0:
        raise ValueError(f"frame_idx {index} is outside the video")
    return index


def forward_frames(state: Session, start: int, most: int | None) -> Iterable[int]:
    """Indices from ``start`` to the end of the video, or ``most`` frames further at the longest."""
    ends = [] if most is None else [start + most + 1]
    if isinstance(state.frames, LiveFrames):
        ends.append(state.frames.count)
    elif state.num_frames is not None:
        ends.append(state.num_frames)
    return range(start, min(ends)) if ends else itertools.count(start)
