"""A tracking session: everything that is known about one video, and nothing about the network."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from sam2v.memory import EntryStore, MemoryBank, MemoryEntry
from sam2v.model.network import ImageFeatures
from sam2v.tracking.live import LiveFrames
from sam2v.tracking.prompts import PointPrompt, check_index
from sam2v.video.base import FrameSource

#: Bytes of memories and masks kept in memory with history="full"; the rest goes to a temporary file.
DEFAULT_MEMORY_BUDGET = 256 * 2**20


@dataclass(frozen=True)
class Answer:
    """The answer to a prompt that has not been remembered yet; ``conditioning`` says as which kind it will be."""

    entry: MemoryEntry
    conditioning: bool


@dataclass
class ObjectTrack:
    """One object of a session.

    Attributes:
        bank: its memory bank.
        points, masks: its prompts by frame; a mask is image_size x image_size of 0 and 1.
        pending: answers to prompts since the last propagation, by frame.
        passed: frames propagation has passed, with whether it ran in reverse.
    """

    bank: MemoryBank
    points: dict[int, PointPrompt] = field(default_factory=dict)
    masks: dict[int, Tensor] = field(default_factory=dict)
    pending: dict[int, Answer] = field(default_factory=dict)
    passed: dict[int, bool] = field(default_factory=dict)

    def entry(self, frame_idx: int) -> MemoryEntry | None:
        """The newest result on a frame, or None."""
        answer = self.pending.get(frame_idx)
        return answer.entry if answer else self.bank.get(frame_idx)

    def prompted_frames(self) -> list[int]:
        """Frames with a prompt, ascending."""
        return sorted({*self.points, *self.masks})


class Session:
    """The state of one video. Create it with :meth:`sam2v.VideoPredictor.init_state`.

    Sessions share nothing, so two of them may be used at once; calls on one session are serialised by ``lock``.

    Args:
        frames: the video.
        num_frames: its length when it was opened, or None when unknown (a stream). ``features`` and ``prepared`` cache
            the newest frames' features and what is to be encoded next (S x S x 3 uint8).
        history: "full" keeps every result readable, "window" only what can still be read.
        memory_budget: bytes of results kept in memory with "full" before they move to a temporary file.
    """

    def __init__(
        self,
        frames: FrameSource | LiveFrames,
        num_frames: int | None,
        history: str,
        memory_budget: int | None = DEFAULT_MEMORY_BUDGET,
    ) -> None:
        if history not in ("full", "window"):
            raise ValueError(f"history must be 'full' or 'window', got {history!r}")
        self.frames = frames
        self.announced_frames = num_frames
        self.history = history
        self.store = EntryStore(memory_budget if history == "full" else None)
        self.tracks: dict[int, ObjectTrack] = {}
        self.features: OrderedDict[int, ImageFeatures] = OrderedDict()
        self.prepared: dict[int, np.ndarray] = {}
        self.lock = threading.RLock()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the video in pixels."""
        return self.frames.size

    @property
    def num_frames(self) -> int | None:
        """Length of the video in frames; None while it is unknown. A file's estimate is corrected once its end was
        seen."""
        if isinstance(self.frames, LiveFrames):
            return self.announced_frames
        return self.frames.known_length()

    @property
    def obj_ids(self) -> list[int]:
        """Ids of the objects, in the order in which they were first prompted."""
        return list(self.tracks)

    def check_frame(self, frame_idx: object) -> int:
        """The frame index as an integer.

        Raises:
            TypeError: not an integer. ValueError: outside the video.
        """
        index = check_index(frame_idx, "frame_idx")
        if index < 0 or (self.num_frames is not None and index >= self.num_frames):
            known = "" if self.num_frames is None else f" of {self.num_frames} frames (0 to {self.num_frames - 1})"
            raise ValueError(f"frame_idx {index} is outside the video{known}")
        return index

    def track(self, obj_id: object) -> ObjectTrack:
        """The track of a known object.

        Raises:
            KeyError: no such object; the known ids are listed.
        """
        index = check_index(obj_id, "obj_id")
        if index not in self.tracks:
            raise KeyError(f"unknown object {index}; known: {self.obj_ids or 'none yet'}")
        return self.tracks[index]

    def new_track(self, obj_id: int) -> ObjectTrack:
        """A track for a new object, not yet part of the session."""
        return ObjectTrack(MemoryBank(obj_id, self.store))

    def reset(self) -> None:
        """Forget all objects, prompts and results; the video and its cached features stay."""
        for track in self.tracks.values():
            track.bank.clear()
        self.tracks.clear()

    def __repr__(self) -> str:
        length = "live" if isinstance(self.frames, LiveFrames) else "stream"
        length = length if self.num_frames is None else f"{self.num_frames} frames"
        waiting = isinstance(self.frames, LiveFrames) and self.frames.count == 0
        size = "no frame yet" if waiting else f"{self.size[1]} x {self.size[0]}"
        return f"Session({length}, {size}, objects {self.obj_ids}, history={self.history!r})"
