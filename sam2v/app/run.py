"""Tracking in a project: started, stopped, resumed, and told to the pages frame by frame."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Protocol

from sam2v.app.events import Event, EventLog
from sam2v.app.history import History
from sam2v.app.mask_store import ABSENT, MaskStore
from sam2v.app.messages import choice, whole, wholes
from sam2v.app.ranges import Leg, frames_of, legs, rest
from sam2v.app.segmenter import Segmenter, Tracks, stored
from sam2v.app.state import ProjectState
from sam2v.app.worker import Worker


class Tracked(Protocol):
    """What is tracked in: a `sam2v.app.annotation.Annotation`."""

    length: int
    state: ProjectState
    log: EventLog
    store: MaskStore
    segmenter: Segmenter
    history: History
    worker: Worker

    def record(self, do: str, before: Tracks | None = None, quiet: bool = False, **fields: Any) -> Event: ...
    def changed(self) -> None: ...
    def tell(self, message: dict[str, Any]) -> None: ...
    def frame_of(self, message: dict[str, Any]) -> int: ...


class Run:
    """The tracking of a project that is under way, if one is.

    Args:
        project: the project.
    """

    def __init__(self, project: Tracked) -> None:
        self._project = project
        self._steps: Iterator[None] | None = None
        self._ids: frozenset[int] = frozenset()  # of the objects that are tracked

    @property
    def is_running(self) -> bool:
        """Whether frames are being tracked."""
        return self._steps is not None

    def track(self, message: dict[str, Any]) -> dict[str, Any]:
        """Track from a frame, in a range if one is given, all objects that are not locked or some of them."""
        project, state = self._project, self._project.state
        direction: Any = choice(message, "direction", ("forward", "backward", "both"))
        first = whole(message, "first", 0, project.length - 1) if "first" in message else 0
        last = whole(message, "last", first, project.length - 1) if "last" in message else project.length - 1
        run = legs(project.frame_of(message), direction, first, last, state.verified)
        chosen = wholes(message, "objects", state.objects, "object") if "objects" in message else list(state.objects)
        ids = self._free(chosen)
        if not ids:
            raise ValueError("nothing to track: click on an object first, or unlock one")
        self.halt()
        with project.history.changing(project.segmenter.session.obj_ids) as before:
            first_steps = self._begin(project.frame_of(message), ids, run[0])
            event = project.record("track", before, quiet=True, legs=run, objects=ids)
        self._start(event["event"], run, ids, first_steps)
        return {}

    def resume(self) -> dict[str, Any]:
        """Go on with the newest run of tracking where it stopped."""
        run = self._project.state.tracking
        left = [] if run is None or run.done else rest(run.legs, run.at)
        ids = [] if run is None else self._free(run.objects)
        if run is None or not left or not ids:
            raise ValueError("there is no tracking to go on with")
        self.halt()
        first_steps = self._begin(run.legs[0][0], ids, run.legs[0]) if run.at is None else iter(())
        self._start(run.event, left, ids, first_steps)
        return {}

    def stop(self) -> dict[str, Any]:
        """Stop tracking after the frame that is under way; it can be resumed."""
        self.halt()
        return {}

    def halt(self) -> None:
        """Stop tracking now: what changes masks cannot go on beside it."""
        if self._steps is not None:
            self._steps.close()  # type: ignore[attr-defined]
            self._end(done=False)

    def leave(self, obj_ids: Collection[int]) -> None:
        """Leave objects alone from now on: stop if one of them is being tracked; the others can be resumed."""
        if not self._ids.isdisjoint(obj_ids):
            self.halt()

    def _free(self, obj_ids: Iterable[int]) -> list[int]:
        """Which of some objects can be tracked, and are there and not locked."""
        ready, objects = self._project.segmenter.trackable(), self._project.state.objects
        return [i for i in obj_ids if i in ready and i in objects and not objects[i].locked]

    def _begin(self, frame: int, ids: list[int], leg: Leg) -> Iterator[object]:
        shown = self._project.store.frame(frame, ids)
        masks = {obj_id: shown.get(obj_id, ABSENT) for obj_id in ids}
        return self._project.segmenter.begin_run(frame, masks, leg[2] < 0)

    def _start(self, event: int, run: list[Leg], ids: list[int], first_steps: Iterator[object]) -> None:
        self._steps, self._ids = self._tracked(event, run, ids, first_steps), frozenset(ids)
        self._project.changed()
        self._project.worker.run(self._guarded(self._steps))

    def _tracked(self, event: int, run: list[Leg], ids: list[int], first_steps: Iterator[object]) -> Iterator[None]:
        project, state = self._project, self._project.state
        for _ in first_steps:
            yield
        left = sum(len(frames_of(leg)) for leg in run)
        for leg in run:
            for result in project.segmenter.track(frames_of(leg), leg[2] < 0, ids):
                frame = result.frame_idx
                if frame in state.verified:  # marked meanwhile
                    break
                left -= 1
                prompted = state.prompts.get(frame, {})
                masks = {i: mask for i, mask in stored(result, "track").items() if i not in prompted}
                project.store.write(frame, event, masks)
                assert state.tracking is not None
                state.tracking.at = frame
                project.segmenter.save(project.log.count - 1, frame, only_if_cheap=True)
                project.tell({"type": "tracked", "frame": frame, "masks": {frame: masks}, "left": left})
                yield

    def _guarded(self, steps: Iterator[None]) -> Iterator[None]:
        """Steps of tracking until they end, are stopped, or go wrong, which all pages are told."""
        try:
            for _ in steps:
                yield
                if self._steps is not steps:
                    return
            if self._steps is steps:
                self._end(done=True)
        except Exception as error:
            self._project.tell({"type": "error", "text": f"Tracking stopped: {error}"})
            if self._steps is steps:
                with contextlib.suppress(OSError):  # of a full disk, which was told
                    self._end(done=False)

    def _end(self, done: bool) -> None:
        self._steps = None
        project, run = self._project, self._project.state.tracking
        if run is None:
            return
        try:
            project.record("tracked", of=run.event, reached=run.at, done=done)
            project.segmenter.save(project.log.count - 1, run.at)
        except OSError:
            project.changed()  # pages must not wait for more
            raise
