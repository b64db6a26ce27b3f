"""Promptable video segmentation (SAM 2 paper, sections 3 and 4)."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from typing_extensions import Unpack

from sam2v.arrays import host_of, on_device
from sam2v.backends.batched import BatchedCalls
from sam2v.masks.result import MaskletFrame
from sam2v.memory import MemoryPolicy, Pool
from sam2v.predict.exemplars import WithExemplars
from sam2v.predict.loading import calls_of, load_with_options
from sam2v.predict.walking import OnError, Walk, alone, together, walk
from sam2v.tracking.engine import Engine
from sam2v.tracking.options import VideoChanges, VideoOptions
from sam2v.tracking.origin import Origin, describe_policy
from sam2v.tracking.prompts import ArrayLike, CheckedPrompt, Prompt, check_count, check_index, checked_prompt
from sam2v.tracking.session import Session
from sam2v.tracking.session_file import load_session, save_session
from sam2v.tracking.state import HeldPrompt, History, InputSize
from sam2v.video.windows import LiveSource

if TYPE_CHECKING:
    from sam2v.model.network import Sam2Network

Direction = Literal["forward", "reverse", "both"]


class VideoPredictor(WithExemplars):
    """Segment objects through a video from points, boxes and masks on any of its frames.

    One predictor serves any number of sessions, also at once from several threads: everything about a video is in the
    session that `init_state` returns.

    Args:
        model: a network from `sam2v.load_model`, or what `sam2v.compile_network` or `sam2v.graph_network` makes of one.
        policy: which memories a frame reads, which masks live on and what is remembered: one of the names in
            `sam2v.memory.POLICIES` or a policy of your own. None is "recent", the reference's rule.
        frames_per_encoding: how many frames of a video (not of a live stream) are encoded in one batch while tracking:
            the same masks, sooner on a device that one frame does not fill, for the memory of so many frames' features.
            None: on CUDA 4 of a file, folder, array or list, else 1.
        pool: keeps the results of all sessions within a budget; several predictors may share one. None makes one.
        options: how masks and memories are handled, as one value.
        **changes: single options by name, see `VideoOptions`.

    Raises:
        TypeError: an unknown option, or a value of the wrong type. ValueError: a value out of range.
    """

    def __init__(
        self,
        model: Sam2Network | BatchedCalls,
        *,
        policy: MemoryPolicy | str | None = None,
        frames_per_encoding: int | None = None,
        pool: Pool | None = None,
        options: VideoOptions | None = None,
        **changes: Unpack[VideoChanges],
    ) -> None:
        backend = calls_of(model)
        if backend.image_only:
            raise ValueError("this model's weights have no modules for tracking: it serves ImagePredictor only")
        self.options = (options or VideoOptions()).changed(**changes)
        if frames_per_encoding is not None and check_index(frames_per_encoding, "frames_per_encoding") < 1:
            raise ValueError(f"frames_per_encoding must be at least 1, got {frames_per_encoding}")
        self.model = backend.model
        self.pool = pool or Pool()
        self.engine = Engine(backend, self.options, "recent" if policy is None else policy, frames_per_encoding)
        self.policy = self.engine.policy

    @classmethod
    def from_pretrained(cls, name: str = "sam2v_nano", **options: Any) -> VideoPredictor:
        """Load a model by name and wrap it; takes the options of both `sam2v.load_model` and this class."""
        model, rest = load_with_options(cls, name, options)
        return cls(model, **rest)

    @cached_property
    def origin(self) -> Origin:
        """What sessions of this predictor are made with."""
        return Origin(
            asdict(self.engine.backend.config),
            self.engine.backend.precision,
            asdict(self.options),
            describe_policy(self.policy),
            self.engine.backend.checksum,
        )

    # -- sessions ------------------------------------------------------------------------------------------------------

    def init_state(
        self,
        source: Any = None,
        *,
        history: History | None = None,
        memory_budget: int | None = None,
        num_frames: int | None = None,
        window: int = 8,
    ) -> Session:
        """Open a video and return its session. Frames are decoded when they are needed.

        Args:
            source: a video file, a folder of frames, an array T x H x W x 3 (uint8), a list of frames or an iterator of
                frames; None for a live stream, whose frames arrive through `track`.
            history: "full" keeps every result readable, so that a refinement pass from any frame equals the reference;
                "window" keeps only what can still be read. None: "full" where the source can seek, else "window".
            memory_budget: bytes of results that are kept in memory before they move to a temporary file, for this
                session alone; None leaves that to the predictor's pool.
            num_frames: for a live stream, its length if it is known. Videos of fewer than 16 frames read fewer object
                pointers, as in the reference, which a stream can only do when it knows.
            window: for a live stream, how many of the newest frames can be prompted.

        Raises:
            FileNotFoundError, ValueError, TypeError: the source cannot be read; the message says why.
        """
        pool = self.pool if memory_budget is None else Pool(memory_budget, memory_budget, self.pool.folder)
        size = InputSize(self.engine.backend.config.input_size, self.options.keep_aspect)
        if source is None:
            if num_frames is not None and check_index(num_frames, "num_frames") < 1:
                raise ValueError(f"num_frames must be at least 1, got {num_frames}")
            return Session(LiveSource(window), num_frames, history or "window", pool, size, self.origin)
        from sam2v.video.sources import open_source

        if num_frames is not None:
            raise ValueError("num_frames is for live streams; the source knows its own length")
        frames = open_source(source)
        default: History = "full" if frames.is_seekable else "window"
        return Session(frames, frames.known_length(), history or default, pool, size, self.origin)

    def save_session(self, state: Session, path: str | Path) -> None:
        """Write a session to a file, so that `load_session` can go on with it, exactly.

        The video is not copied, only where it is (a live stream's newest frames are). Nothing is written on an error.
        """
        save_session(self._ours(state), path)

    def load_session(self, path: str | Path, source: Any = None) -> Session:
        """Go on with a saved session; the model and the options must be those it was saved with.

        Args:
            path: the file.
            source: the video, as for `init_state`; None takes the file or folder it was opened from.

        Raises:
            FileNotFoundError, ValueError: the file or the video is missing, or belongs to something else.
        """
        return load_session(Session, path, source, self.pool, self.engine.backend.device, self.origin)

    def reset_state(self, state: Session) -> None:
        """Forget all objects and results of a session; its video stays open."""
        with state.lock:
            self._ours(state).reset()

    # -- prompts -------------------------------------------------------------------------------------------------------

    def add_prompts(
        self,
        state: Session,
        frame_idx: int,
        prompts: Mapping[int, Prompt],
        clear_old_points: bool = True,
        normalize_coords: bool = True,
    ) -> MaskletFrame:
        """Prompt any number of objects on a frame at once: prompts of one shape are one call of each network part.

        New ids add objects, also in mid-track. On a frame where an object already has a mask (predicted or given), that
        mask is refined. A prompt for a frame of a live stream that has not come yet is held until it comes: `track`
        then gives the answer.

        Args:
            prompts: by object id.
            clear_old_points: replace the objects' earlier points on this frame instead of adding to them.
            normalize_coords: True for pixels, False for coordinates in [0, 1].

        Returns:
            All objects' masks on this frame; unpacks as (frame_idx, obj_ids, masks). Of a frame that has not come yet,
            no object.

        Raises:
            ValueError, TypeError: something is wrong with a prompt or the frame index, or an object is verified there.
                The session is unchanged.
        """
        with state.lock:
            self._ours(state)
            if not isinstance(prompts, Mapping) or not all(isinstance(p, Prompt) for p in prompts.values()):
                raise TypeError("prompts must map object ids to sam2v.Prompt values")
            prompts = {check_index(obj_id, "obj_id"): prompt for obj_id, prompt in prompts.items()}
            frame_idx = check_index(frame_idx, "frame_idx")
            if any(prompt.box is not None for prompt in prompts.values()) and not clear_old_points:
                raise ValueError("a box starts afresh: it needs clear_old_points=True")
            if state.is_ahead(frame_idx):
                return self._hold(state, frame_idx, prompts, clear_old_points, normalize_coords)
            position = state.check_frame(frame_idx)
            self.engine.encoder.check_readable(state, position)
            how = (clear_old_points, normalize_coords)
            checked = {obj_id: self._checked(state, position, obj_id, p, *how) for obj_id, p in prompts.items()}
            _check_not_verified(state, position, prompts)
            self.engine.prompt(state, position, checked)
            return self.engine.result(state, position)

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
        """Prompt an object with points, a box, or both, on any frame; see `add_prompts`.

        Args:
            points: P x 2 (x, y) in pixels of the video. labels: P of 1 (object) and 0 (not the object); None means all
                1.
            box: (x0, y0, x1, y1) in pixels of the video.
        """
        if points is None and box is None:
            what = "labels were given without points" if labels is not None else "give at least one of points and box"
            raise ValueError(what)
        return self.add_prompts(
            state, frame_idx, {obj_id: Prompt(points, labels, box)}, clear_old_points, normalize_coords
        )

    def add_box(
        self, state: Session, frame_idx: int, obj_id: int, box: ArrayLike, normalize_coords: bool = True
    ) -> MaskletFrame:
        """Prompt an object with a box (x0, y0, x1, y1); see `add_prompts`."""
        return self.add_points(state, frame_idx, obj_id, box=box, normalize_coords=normalize_coords)

    def add_mask(self, state: Session, frame_idx: int, obj_id: int, mask: ArrayLike) -> MaskletFrame:
        """Give an object's mask on a frame: H x W booleans or numbers (positive = object), covering the whole frame.

        The mask replaces the object's points on this frame; points added afterwards refine it. It is kept at a quarter
        of the model's input size: an object smaller than a cell there is lost, which is warned about. See
        `add_prompts`.
        """
        return self.add_prompts(state, frame_idx, {obj_id: Prompt(mask=mask)})

    # the reference's names
    add_new_points_or_box = add_points
    add_new_points = add_points
    add_new_mask = add_mask

    def clear_all_prompts_in_frame(self, state: Session, frame_idx: int, obj_id: int) -> MaskletFrame:
        """Take back an object's prompts on a frame and return the masks that remain there.

        What the prompts produced stays as an ordinary result until the frame is tracked again.

        Raises:
            KeyError: unknown object. ValueError: no such frame, or the object is verified there.
        """
        with state.lock:
            self._ours(state)
            frame_idx, obj_id = check_index(frame_idx, "frame_idx"), check_index(obj_id, "obj_id")
            if state.is_ahead(frame_idx):
                state.held.get(frame_idx, {}).pop(obj_id, None)
                return self._nothing(state, frame_idx)
            position = state.check_frame(frame_idx)
            track = state.track(obj_id)
            _check_not_verified(state, position, [obj_id])
            track.clear_prompts(position)
            return self.engine.result(state, position)

    def remove_object(self, state: Session, obj_id: int, strict: bool = False) -> tuple[list[int], list[MaskletFrame]]:
        """Remove an object and leave the others as they are.

        Returns:
            The remaining ids, and the remaining masks on the frames where the object had prompts.

        Raises:
            KeyError: the object is unknown and `strict` is True; otherwise that is no error.
        """
        with state.lock:
            self._ours(state)
            obj_id = check_index(obj_id, "obj_id")
            if strict:
                state.track(obj_id)
            frames = state.remove_object(obj_id)
            if not state.tracks:
                return [], []
            return state.obj_ids, [self.engine.result(state, position) for position in frames]

    # -- tracking ------------------------------------------------------------------------------------------------------

    def propagate_in_video(
        self,
        state: Session,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
        direction: Direction | None = None,
        lag: int = 0,
    ) -> Iterator[MaskletFrame]:
        """Track all objects through the video and yield each frame's masks.

        An object stops at its next verified frame (see `verify`), other than the one to start at, and keeps what it has
        from there on; where all of them have stopped, it ends.

        Args:
            start_frame_idx: where to start; None starts at the earliest prompted frame, or at the first frame if an
                object is known from an exemplar.
            max_frame_num_to_track: frames to go from the start, which itself is yielded too: N gives N + 1 frames.
            reverse: go towards the beginning.
            direction: "forward", "reverse" or "both" (forward from the start, then backwards from the frame before it),
                instead of `reverse`.
            lag: yield a frame only when so many more have been tracked, with the masks of what looks best then: for
                policies that follow several hypotheses ("tree"). 0 yields what looks best at once.

        Yields:
            `MaskletFrame`, which unpacks as (frame_idx, obj_ids, masks); masks are N x 1 x H x W logits.

        Raises:
            NoPromptError: (a RuntimeError and ValueError) no object has a prompt, or one of them has none.
            ValueError, TypeError: wrong frame index, count, direction or lag.
        """
        self._ours(state)
        lag = check_count(lag, "lag")
        way = _direction(reverse, direction)
        most = _most(max_frame_num_to_track)
        start = None if start_frame_idx is None else state.check_frame(start_frame_idx)
        return alone(self.engine, self._propagate(state, start, most, way, lag))

    def propagate_in_videos(
        self,
        states: Sequence[Session],
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
        direction: Direction | None = None,
        on_error: OnError | None = None,
    ) -> Iterator[tuple[int, MaskletFrame]]:
        """As `propagate_in_video` for several videos at once: a frame of each at a time, their objects being rows of
        the same batches. The masks are those of each video by itself; a device that one video does not fill gives them
        sooner.

        Videos may be of any sizes and lengths; where one ends, the others go on. Prompts may be added on the way.

        Args:
            states: different sessions, each with a prompt of its own.
            on_error: told the index of a video that cannot be read any more, and its error, while the others go on;
                None: the first error ends all.
            The others: see `propagate_in_video`; they hold for every video.

        Yields:
            (index in `states`, result).

        Raises:
            NoPromptError: (at once) a video has no object with a prompt, or an object without. Nothing has changed.
            ValueError, TypeError: the same session twice; wrong frame index, count or direction.
        """
        states = list(states)
        if len(set(map(id, states))) < len(states):
            raise ValueError("states: the same session is there twice")
        way, most, starts = _direction(reverse, direction), _most(max_frame_num_to_track), []
        for index, state in enumerate(states):
            try:
                starts.append(None if start_frame_idx is None else self._ours(state).check_frame(start_frame_idx))
                self.engine.check_prompted(self._ours(state))
            except (ValueError, TypeError) as error:
                raise type(error)(f"video {index}: {error}") from None
        walks = [self._propagate(state, start, most, way) for state, start in zip(states, starts, strict=True)]
        return together(self.engine, dict(enumerate(walks)), on_error)

    def _propagate(
        self, state: Session, start: int | None, most: int | None, direction: Direction, lag: int = 0
    ) -> Walk:
        with state.lock:
            self.engine.remember_prompts(state)
            start = state.first_position() if start is None else start
            state.near = frozenset([start]) if direction == "both" else frozenset()
        if direction == "reverse" and start == 0:
            warnings.warn("reverse tracking from frame 0 yields nothing: there is no frame before it", stacklevel=3)
        if direction != "reverse":
            yield from walk(self.engine, state, forward_frames(state, start, most), False, start, lag)
        if direction != "forward" and start > 0:
            first = start - 1 if direction == "both" else start
            last = 0 if most is None else max(0, start - most)
            yield from walk(self.engine, state, range(first, last - 1, -1), True, start, lag)

    def sharing_batches(self) -> AbstractContextManager[None]:
        """Let what this thread tracks share batches with what other threads track in here, each a session of its own
        (files with `propagate_in_video`, live streams with `track`, all that steps a session).

            def follow(camera):
                with video.sharing_batches(), video.init_state(None) as state:
                    ...  # video.track(state, frame), in a thread for each camera

        The threads then go a frame at a time together, at the pace of the slowest; who keeps the others waiting for
        longer than a second is left out of a step. Prompts are answered at once, by themselves.
        """
        return self.engine.shared.taking_part()

    def track_frames(
        self, state: Session, frames: Iterable[int], reverse: bool = False, near: Iterable[int] = ()
    ) -> Iterator[MaskletFrame]:
        """Track all objects through the given frames, in that order; ends with the video.

        This is what `propagate_in_video` does with the frames that lie ahead.

        Args:
            frames: frame indices, ascending, or descending with `reverse`. reverse: which way memories are read.
            near: frames that tracking will come back to: with `history="window"`, what can be read there stays too.

        Raises:
            NoPromptError: no object has a prompt, or one of them has none.
            ValueError, TypeError: (where it is reached) not a frame index.
        """
        with state.lock:
            self._ours(state)
            state.near = frozenset(check_index(position, "near") for position in near)
            self.engine.remember_prompts(state)
        positions = (_position(state, frame_idx) for frame_idx in frames)
        return alone(self.engine, walk(self.engine, state, positions, reverse))

    def track(self, state: Session, frame: Any, frame_idx: int | None = None) -> MaskletFrame:
        """Take a live stream's next frame and track all objects to it.

        Args:
            state: a session from `init_state(None)`.
            frame: H x W x 3 uint8 array (also grey or RGBA), 3 x H x W tensor or PIL image.
            frame_idx: the caller's own number of the frame, above those of the frames before; None: one more than the
                frame before (0 for the first).

        Returns:
            The objects' masks on this frame, N = 0 before the first prompt. Prompts may then go to this frame and to
            earlier ones still in the window. An object whose prompts were all taken back is absent until the next one.

        Raises:
            ValueError, TypeError: not a frame, of another size than the earlier ones, or not numbered upwards; or a
                prompt that was held for it is wrong, and is forgotten. The stream goes on with the next call.
        """
        from sam2v.video.frames import as_frame

        with state.lock:
            self._ours(state)
            if not isinstance(state.frames, LiveSource):
                raise ValueError("track() is for live streams: open them with init_state(None)")
            pixels = as_frame(frame)
            if state.num_frames is not None and state.frames.count >= state.num_frames:
                raise ValueError(f"the stream was announced with {state.num_frames} frames and has ended")
            number = state.numbering.check(None if frame_idx is None else check_index(frame_idx, "frame_idx"))
            position = self.engine.advance(state, pixels, number)
            self._answer_held(state, number)
            result = self.engine.result(state, position)
            result.download()
            return result

    # -- results -------------------------------------------------------------------------------------------------------

    def result(self, state: Session, frame_idx: int) -> MaskletFrame:
        """The masks that are known on a frame, without computing anything new."""
        with state.lock:
            return self.engine.result(self._ours(state), state.check_frame(frame_idx))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _ours(self, state: Session) -> Session:
        """A session that is open and goes with this predictor: one that came as bytes is compared and moved first."""
        state.check_open()
        if state.restored:
            state.origin.check(self.origin)
            state.adopt(self.pool, self.engine.backend.device, self.origin)
        return state

    def _checked(
        self, state: Session, position: int, obj_id: int, prompt: Prompt, clear: bool, normalize_coords: bool
    ) -> CheckedPrompt:
        """A prompt in the network's terms, with the object's earlier points on the frame where they stay."""
        host = host_of(self.engine.backend.device)
        checked = checked_prompt(prompt, state.size, state.input_size, normalize_coords, host)
        known = state.tracks.get(obj_id)
        if clear or known is None or checked.points is None or position not in known.points:
            return checked
        return checked._replace(points=known.points[position].joined(checked.points))

    def _hold(
        self, state: Session, frame_idx: int, prompts: Mapping[int, Prompt], clear: bool, normalize_coords: bool
    ) -> MaskletFrame:
        """Keep prompts for a frame that has not come yet; they are checked now where the stream's size is known."""
        if state.num_frames is not None and frame_idx >= state.num_frames:
            raise ValueError(f"frame_idx {frame_idx} is outside the stream, announced with {state.num_frames} frames")
        if state.numbering.count:
            for prompt in prompts.values():
                checked_prompt(prompt, state.size, state.input_size, normalize_coords)
        state.hold(frame_idx, {i: HeldPrompt(prompt, clear, normalize_coords) for i, prompt in prompts.items()})
        return self._nothing(state, frame_idx)

    def _answer_held(self, state: Session, number: int) -> None:
        """Answer the prompts that were held for the newest frame; those for frames that never came are dropped."""
        for late in [held for held in state.held if held < number]:
            del state.held[late]
            warnings.warn(f"frame {late} never came: its prompts are dropped", stacklevel=4)
        errors: list[Exception] = []
        for obj_id, several in state.held.pop(number, {}).items():
            for held in several:
                try:
                    self.add_prompts(state, number, {obj_id: held.prompt}, held.clear_old_points, held.normalize_coords)
                except (ValueError, TypeError) as error:
                    errors.append(error)
        if errors:  # what is right was answered all the same
            raise errors[0]

    def _nothing(self, state: Session, frame_idx: int) -> MaskletFrame:
        """The result of a frame that has not come yet."""
        size = state.size if state.numbering.count else (0, 0)
        empty = on_device(np.zeros((0, 1, *size), np.float32), host_of(self.engine.backend.device))
        return MaskletFrame(frame_idx, [], empty, *[empty.reshape(-1)[:0]] * 2)


def _direction(reverse: bool, direction: Direction | None) -> Direction:
    """The direction that is meant; ValueError if it is none, or contradicted by `reverse`."""
    if direction is None:
        return "reverse" if reverse else "forward"
    if reverse and direction != "reverse":
        raise ValueError(f"reverse=True and direction={direction!r} contradict each other")
    if direction not in get_args(Direction):
        raise ValueError(f"direction must be one of {', '.join(get_args(Direction))}, got {direction!r}")
    return direction


def _most(max_frame_num_to_track: object) -> int | None:
    """How many frames to go at most; ValueError or TypeError if that cannot be."""
    if max_frame_num_to_track is None:
        return None
    return check_count(max_frame_num_to_track, "max_frame_num_to_track")


def _check_not_verified(state: Session, position: int, obj_ids: Iterable[int]) -> None:
    """Raise ValueError if the result of one of some objects on a frame is verified."""
    for obj_id in obj_ids:
        if obj_id in state.tracks and position in state.tracks[obj_id].verified:
            number = state.numbering.number(position)
            raise ValueError(f"object {obj_id} is verified on frame {number}: take that back first (unverify)")


def _position(state: Session, frame_idx: object) -> int:
    """The position of a frame of a video that may turn out to end before it."""
    if state.frames.is_live:
        return state.check_frame(frame_idx)
    index = check_index(frame_idx, "frame_idx")
    if index < 0:
        raise ValueError(f"frame_idx {index} is outside the video")
    return index


def forward_frames(state: Session, start: int, most: int | None) -> Iterable[int]:
    """Indices from `start` to the end of the video, or `most` frames further at the longest."""
    ends = [] if most is None else [start + most + 1]
    if isinstance(state.frames, LiveSource):
        ends.append(state.frames.count)
    elif state.num_frames is not None:
        ends.append(state.num_frames)
    return range(start, min(ends)) if ends else itertools.count(start)
