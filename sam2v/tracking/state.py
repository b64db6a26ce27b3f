"""The state of a tracking session: everything that is known about one video, and nothing about the network."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from sam2v.arrays import Device
from sam2v.memory import MemoryEntry, Pool
from sam2v.model.values import ImageFeatures
from sam2v.tracking.numbering import Numbering
from sam2v.tracking.origin import Origin
from sam2v.tracking.prompts import Prompt, check_index
from sam2v.tracking.tracks import ObjectTrack
from sam2v.video.base import FrameSource
from sam2v.video.fit import aspect_size

History = Literal["full", "window"]


@dataclass(frozen=True)
class InputSize:
    """How large the network's input is for a video.

    Attributes:
        size: (height, width) of the model's input.
        keep_aspect: take the rectangle with the video's aspect whose longer side is the model's instead.
    """

    size: tuple[int, int]
    keep_aspect: bool = False

    def of(self, video: tuple[int, int]) -> tuple[int, int]:
        """(height, width) for a video of (height, width)."""
        return aspect_size(video, max(self.size)) if self.keep_aspect else self.size


class HeldPrompt(NamedTuple):
    """A prompt for a frame that has not come yet."""

    prompt: Prompt
    clear_old_points: bool
    normalize_coords: bool


@dataclass
class Features:
    """What was encoded last, what is to be encoded next (h x w x 3 uint8 at the network's size), and the frame that is
    being tracked, with its position, as it was read (H x W x 3 uint8)."""

    encoded: OrderedDict[int, ImageFeatures] = field(default_factory=OrderedDict)
    ready: dict[int, np.ndarray] = field(default_factory=dict)
    picture: tuple[int, np.ndarray] | None = None


class SessionState:
    """What is known about one video: its frames, its objects, and what was asked but not answered yet.

    Args:
        frames: the video.
        num_frames: its length when it was opened, or None when unknown (a stream).
        history: "full" keeps every result readable, "window" only what can still be read.
        pool: what keeps its results.
        input_size: how large the network's input is.
        origin: the model and the options it was made with.
    """

    def __init__(
        self,
        frames: FrameSource,
        num_frames: int | None,
        history: History,
        pool: Pool,
        input_size: InputSize,
        origin: Origin,
    ) -> None:
        if history not in ("full", "window"):
            raise ValueError(f"history must be 'full' or 'window', got {history!r}")
        self.frames, self.announced_frames, self.history = frames, num_frames, history
        self.pool, self.input, self.origin = pool, input_size, origin
        self.tracks: dict[int, ObjectTrack] = {}
        self.features = Features()
        self.numbering = Numbering()
        self.held: dict[int, dict[int, list[HeldPrompt]]] = {}
        self.near: frozenset[int] = frozenset()  # frames around which a window stays as well
        self.awaited: frozenset[int] = frozenset()  # frames that were tracked and are yielded later
        self.restored = False  # whether it came as bytes, and no predictor has seen it yet
        self.lock = threading.RLock()
        self._users = [1]  # how many sessions use the source; copies share it
        self._closed = False

    # -- about the video -----------------------------------------------------------------------------------------------

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the video in pixels.

        Raises:
            ValueError: a live stream whose first frame has not come.
        """
        return self.frames.size

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        return self.input.of(self.size)

    @property
    def expected_input(self) -> tuple[int, int]:
        """(height, width) of the network's input, also before a live stream's first frame where that settles nothing.

        Raises:
            ValueError: it does: the input is to have the frames' aspect.
        """
        return self.input_size if self.input.keep_aspect else self.input.size

    @property
    def num_frames(self) -> int | None:
        """Length of the video in frames; None while it is unknown. A file's estimate is corrected once its end was
        seen."""
        return self.announced_frames if self.frames.is_live else self.frames.known_length()

    def check_frame(self, frame_idx: object) -> int:
        """The position of a frame in the video.

        Raises:
            TypeError: not an integer. ValueError: outside the video, or not (any more) in the stream.
        """
        index = check_index(frame_idx, "frame_idx")
        if self.frames.is_live:
            return self.numbering.position(index)
        if index < 0 or (self.num_frames is not None and index >= self.num_frames):
            known = "" if self.num_frames is None else f" of {self.num_frames} frames (0 to {self.num_frames - 1})"
            raise ValueError(f"frame_idx {index} is outside the video{known}")
        return index

    def picture(self, position: int) -> np.ndarray:
        """A frame, H x W x 3 uint8; the one that is being tracked is not read again."""
        known = self.features.picture
        return known[1] if known is not None and known[0] == position else self.frames[position]

    def is_ahead(self, frame_idx: object) -> bool:
        """Whether a frame of a live stream has not come yet."""
        index = check_index(frame_idx, "frame_idx")
        return self.frames.is_live and index >= self.numbering.upcoming

    # -- objects -------------------------------------------------------------------------------------------------------

    @property
    def obj_ids(self) -> list[int]:
        """Ids of the objects, in the order in which they were first prompted."""
        return list(self.tracks)

    def track(self, obj_id: object) -> ObjectTrack:
        """The track of a known object.

        Raises:
            KeyError: no such object; the known ids are listed.
        """
        index = check_index(obj_id, "obj_id")
        if index not in self.tracks:
            raise KeyError(f"unknown object {index}; known: {self.obj_ids or 'none yet'}")
        return self.tracks[index]

    def remove_object(self, obj_id: int) -> list[int]:
        """Forget an object, what is held for frames to come too, and leave the others as they are; returns the frames
        where it had prompts."""
        for waiting in self.held.values():
            waiting.pop(obj_id, None)
        return self.tracks.pop(obj_id).prompted_frames() if obj_id in self.tracks else []

    @property
    def verified(self) -> dict[int, list[int]]:
        """Verified frames, ascending, by object id; objects without any are left out."""
        number = self.numbering.number
        return {i: [number(p) for p in sorted(track.verified)] for i, track in self.tracks.items() if track.verified}

    def rename_object(self, obj_id: int, new_id: int) -> None:
        """Give an object another id; it keeps its place among the others."""
        self.tracks = {new_id if i == obj_id else i: track for i, track in self.tracks.items()}
        self.tracks[new_id].obj_id = new_id
        for waiting in self.held.values():
            if obj_id in waiting:
                waiting[new_id] = waiting.pop(obj_id)

    def forget_result(self, obj_id: int, position: int) -> None:
        """Forget what an object was tracked to on a frame, whichever way it moved: it is absent there, and no memory of
        it is read. What it was prompted to stays."""
        for hypothesis in self.tracks[obj_id].hypotheses:
            hypothesis.bank.drop(position)

    def entries(self, position: int, newest: bool = False) -> list[MemoryEntry | None]:
        """What is shown of every object on a frame, or with `newest` what its best hypothesis has of it."""
        tracks = self.tracks.values()
        return [track.newest(position) if newest else track.entry(position) for track in tracks]

    def first_position(self) -> int:
        """Where tracking starts: the earliest prompted frame, or the first one if an object is known from elsewhere."""
        banks = [track.bank for track in self.tracks.values()]
        return 0 if any(bank.exemplars for bank in banks) else min(p for bank in banks for p in bank.conditioning)

    def reset(self) -> None:
        """Forget all objects, prompts and results; the video and its cached features stay."""
        self.tracks.clear()
        self.held.clear()

    def adopt(self, pool: Pool, device: Device, origin: Origin) -> None:
        """Let a session that came as bytes go on in a pool and on a device."""
        moved: dict[int, MemoryEntry] = {}
        for track in self.tracks.values():
            track.replace_entries(lambda entry: moved.setdefault(id(entry), entry.moved(pool, device)))
        self.pool, self.origin, self.restored = pool, origin, False

    # -- a live stream -------------------------------------------------------------------------------------------------

    def hold(self, frame_idx: int, prompts: Mapping[int, HeldPrompt]) -> None:
        """Keep prompts until their frame comes."""
        waiting = self.held.setdefault(frame_idx, {})
        for obj_id, held in prompts.items():
            if held.clear_old_points:
                waiting.pop(obj_id, None)
            waiting.setdefault(obj_id, []).append(held)

    def drop_numbers(self, oldest: int) -> None:
        """Forget the numbers of a live stream's frames before a position that nothing is known of any more."""
        known = {p for track in self.tracks.values() for p, _ in track.bank.entries()}
        self.numbering.drop(oldest, known)

    # -- closing -------------------------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise ValueError if the session was closed."""
        if self._closed:
            raise ValueError("this session is closed")
