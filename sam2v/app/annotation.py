"""A project: a video with its objects, prompts and masks, in a folder that at any moment holds everything."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sam2v.app.events import Event, EventLog
from sam2v.app.history import History
from sam2v.app.mask_store import ABSENT, KINDS, MaskStore, StoredMask
from sam2v.app.messages import whole, wholes
from sam2v.app.ranges import rest
from sam2v.app.run import Run
from sam2v.app.segmenter import Segmenter, Tracks, frame_of_masks
from sam2v.app.state import FramePrompt, ProjectState, prompts_of
from sam2v.app.worker import Worker
from sam2v.masks.result import MaskletFrame
from sam2v.output.lock import FolderLock
from sam2v.video.base import FrameSource

Message = dict[str, Any]

_MASKS_AT_ONCE = 64


class Annotation:
    """A project that is open. Its methods run in the worker's thread, one after the other.

    Args:
        folder: the project; made if it is missing. source: the video. name: what the video is called.
        worker: where tracking goes on. segmenter: makes the model's side of it.

    Raises:
        OSError: the folder cannot be written, or is in use by another server. ValueError: what is in it is no project.
    """

    def __init__(
        self, folder: Path, source: FrameSource, name: str, worker: Worker, segmenter: Callable[..., Segmenter]
    ) -> None:
        self.folder, self.source, self.name, self.worker = folder, source, name, worker
        self._lock = FolderLock(folder)
        self._lock.__enter__()
        try:
            self.length = len(source)
            self.log = EventLog(folder / "events.jsonl")
            self.store = MaskStore(folder / "masks.jsonl", self.log.holds)
            self.state = ProjectState.of(self.log.live)
            self.segmenter = segmenter(source=source, folder=folder)
            self.history = History(self.segmenter)
            self._resume()
        except BaseException:
            for part in ("segmenter", "log", "store"):
                if hasattr(self, part):
                    getattr(self, part).close()
            self._lock.__exit__(None, None, None)
            raise
        self._listeners: list[Callable[[Message], None]] = []
        self.run = Run(self)
        self.exporting: set[str] = set()  # formats
        self._looked: Iterator[None] | None = None  # makes the frame ready that somebody looks at
        self._timer: threading.Timer | None = None
        self._closed = False

    # -- listening -----------------------------------------------------------------------------------------------------

    def listen(self, listener: Callable[[Message], None]) -> Callable[[], None]:
        """Have every change told to a function, which is called in the worker's thread; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    @property
    def is_busy(self) -> bool:
        """Whether somebody listens, or tracking or an export is under way."""
        return bool(self._listeners or self.exporting) or self.run.is_running

    def tell(self, message: Message) -> None:
        """Tell all listeners."""
        for listener in list(self._listeners):
            listener(message)

    # -- looking -------------------------------------------------------------------------------------------------------

    def describe(self, message: Message | None = None) -> Message:
        """Everything that a page needs to begin."""
        height, width = self.source.size
        return {
            "name": self.name,
            "size": [height, width],
            "frames": self.length,
            "fps": self.source.fps or 25.0,
            "strips": {obj_id: self.store.strip(obj_id, self.length) for obj_id in self.state.objects},
            **self._about(),
        }

    def masks(self, message: Message) -> Message:
        """The masks of some frames: by frame and object [counts, predicted IoU, object score, kind]."""
        frames = wholes(message, "frames", range(self.length), "frame")[:_MASKS_AT_ONCE]
        return {"masks": {frame: self.store.frame(frame, self.state.objects) for frame in frames}}

    def look(self, message: Message) -> Message:
        """Have a frame ready before it is clicked on, unless tracking is under way or another one is looked at."""
        frame = self.frame_of(message)
        if not self.run.is_running:
            steps = self.segmenter.make_ready(frame)
            next(steps)
            self._looked = steps
            self.worker.run(self._while_looked_at(steps))
        return {}

    def _while_looked_at(self, steps: Iterator[None]) -> Iterator[None]:
        while self._looked is steps and not self.run.is_running and next(steps, self) is not self:
            yield

    def hover(self, message: Message) -> Message:
        """The mask that a click would give a new object, where that is quick to say: [counts, predicted IoU]."""
        frame, (height, width) = self.frame_of(message), self.source.size
        x, y = message.get("x"), message.get("y")
        if not all(isinstance(v, int | float) and 0 <= v <= most for v, most in ((x, width), (y, height))):
            raise ValueError("x and y must be a place of the frame")
        mask = None if self.run.is_running else self.segmenter.glimpse(frame, float(x), float(y))  # type: ignore[arg-type]
        return {"mask": None if mask is None else [mask.counts, mask.iou]}

    def worst(self, message: Message) -> Message:
        """Where to look next: tracked frames that nobody verified, by rising predicted IoU of their worst object."""
        chosen = (
            wholes(message, "objects", self.state.objects, "object") if "objects" in message else self.state.objects
        )
        found: dict[int, tuple[float, int]] = {}
        for obj_id in chosen:
            for iou, frame in self.store.qualities(obj_id):
                if frame not in self.state.verified and iou < found.get(frame, (2.0, 0))[0]:
                    found[frame] = (iou, obj_id)
        ranked = sorted((iou, frame, obj_id) for frame, (iou, obj_id) in found.items())[:100]
        return {"worst": [{"frame": frame, "object": obj_id, "iou": iou} for iou, frame, obj_id in ranked]}

    # -- going back ----------------------------------------------------------------------------------------------------

    def undo(self) -> Message:
        """Take back the newest change."""
        return self._turn("undo", self.log.undo, self.history.undo)

    def redo(self) -> Message:
        """Bring back what was undone last."""
        return self._turn("redo", self.log.redo, self.history.redo)

    def _turn(self, do: str, turn: Callable[[], Event | None], go: Callable[[int], bool]) -> Message:
        """Undo or redo: `turn` the list of events, and have the session go the same way if it can."""
        self.run.halt()
        event = turn()
        if event is None:
            raise ValueError(f"there is nothing to {do}")
        self.state = ProjectState.of(self.log.live)
        if event["do"] in ("prompt", "remove", "merge", "track", "import") and not go(event["event"]):
            self._rebuild()
        self.segmenter.verify(self.state.verified)
        self.changed(reload=True)
        return {"do": event["do"]}

    # -- results -------------------------------------------------------------------------------------------------------

    def result(self, frame: int) -> MaskletFrame:
        """All objects' masks on a frame: the session's own, or as they are kept where it knows less."""
        masks = self.store.frame(frame, self.state.objects)
        if not any(mask.kind == "drawn" for mask in masks.values()):
            own = self.segmenter.result(frame, masks)
            if own is not None:
                return own.select([obj_id for obj_id in own.obj_ids if obj_id in self.state.objects])
        every = {obj_id: masks.get(obj_id, ABSENT) for obj_id in self.state.objects}
        return frame_of_masks(frame, every, self.source.size)

    # -- on disk -------------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Save the session, so that opening the project again is quick and exact."""
        run = self.state.tracking
        self.segmenter.save(self.log.count - 1, None if run is None else run.at)

    def check_open(self) -> None:
        """Raise ValueError once this is closed: its folder may be another's by now."""
        if self._closed:
            raise ValueError("the project was closed: open it again")

    def close(self) -> None:
        """Stop, save, and give the folder back."""
        with contextlib.ExitStack() as stack:  # all of it, whatever a full disk refuses
            stack.callback(self._lock.__exit__, None, None, None)
            for part in (self.store, self.log, self.segmenter):
                stack.callback(part.close)
            stack.callback(self._end)
            self.run.halt()
            self.save()

    def _end(self) -> None:
        """Take nothing any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _resume(self) -> None:
        """Bring the session to where the events are."""
        found = self.segmenter.load()
        run = self.state.tracking
        if found is None or self.log.last_turn > found[0]:
            self._rebuild()
            return
        event, at = found
        if run is not None and not run.done and run.event <= event:
            run.at = at
        state = ProjectState.of(e for e in self.log.live if e["event"] <= event)
        self._replay(state, [e for e in self.log.live if e["event"] > event], keep=True)

    def _rebuild(self) -> None:
        """Make a session that knows the prompts; what was tracked is shown as it is kept."""
        self.segmenter.start_over()
        self._replay(ProjectState(), self.log.live, keep=False)
        if self.state.tracking is not None and not self.state.tracking.done:
            self.state.tracking.at = None

    def _replay(self, state: ProjectState, events: list[Event], keep: bool) -> None:
        """Have the session go through events again, all but tracking.

        Args:
            state: what held before them. keep: whether the answers are not on disk yet.
        """
        self.segmenter.verify([])
        for event in events:
            if event["do"] == "prompt":
                for frame, prompts in prompts_of(event):
                    masks = self.answer(frame, prompts, state, KINDS if keep else ("track",))
                    if keep:
                        self.store.write(frame, event["event"], masks)
            elif event["do"] == "import":
                for frame, prompts in prompts_of(event):
                    self.answer(frame, prompts, state)
            elif event["do"] == "remove":
                for obj_id in event["objects"]:
                    self.segmenter.remove(obj_id)
            elif event["do"] == "merge":
                self.segmenter.merge(event["into"], event["objects"])
            state.take(event)
        self.segmenter.verify(state.verified)

    # -- for those that change it --------------------------------------------------------------------------------------

    def answer(
        self,
        frame: int,
        prompts: dict[int, FramePrompt],
        state: ProjectState | None = None,
        kinds: Collection[str] = KINDS,
    ) -> dict[int, StoredMask | None]:
        """Have prompts answered; objects whose prompts are empty lose them and their mask.

        Args:
            state: what holds before; None: now. kinds: of masks that prompts refine where the session knows none.
        """
        known = (self.state if state is None else state).prompts.get(frame, {})
        shown = self.store.frame(frame, prompts, kinds)
        masks: dict[int, StoredMask | None] = {}
        asked = {i: (known.get(i, FramePrompt()), prompt) for i, prompt in prompts.items() if prompt}
        for obj_id in prompts.keys() - asked.keys():
            self.segmenter.clear(frame, obj_id)
            masks[obj_id] = None
        if asked:
            masks |= self.segmenter.prompt(frame, asked, shown)
        return masks

    def record(self, do: str, before: Tracks | None = None, quiet: bool = False, **fields: Any) -> Event:
        """Put an event on disk and take it; all pages are told, unless more is to come."""
        self.check_open()
        event = self.log.append(do, **fields)
        self.state.take(event)
        if before is not None:
            self.history.add(event["event"], before)
        if not quiet:
            self.changed(reload=do in ("remove", "merge"))
        return event

    def changed(self, frame: int | None = None, masks: Any = None, reload: bool = False) -> None:
        """Tell all pages what holds now, with the new masks of a frame; `reload`: masks of any frame are others."""
        change: Message = {"type": "changed", **self._about(), "reload": reload}
        if frame is not None:
            change["masks"] = {frame: masks}
        if reload:
            change["strips"] = {obj_id: self.store.strip(obj_id, self.length) for obj_id in self.state.objects}
        self.tell(change)
        self._save_soon()

    def _save_soon(self) -> None:
        """Save the session shortly, once for several changes."""
        if self._timer is None and not self.run.is_running:
            self._timer = threading.Timer(0.5, lambda: self.worker.submit(self._save_now))
            self._timer.daemon = True
            self._timer.start()

    def _save_now(self) -> None:
        self._timer = None
        run = self.state.tracking
        if not self.run.is_running and not self._closed:
            self.segmenter.save(self.log.count - 1, None if run is None else run.at, only_if_cheap=True)

    def _about(self) -> Message:
        """What changes: objects, prompts, verified frames, tracking, what can be undone."""
        state, run = self.state, self.state.tracking
        left = [] if run is None or run.done else rest(run.legs, run.at)
        tracking = {"running": self.run.is_running, "at": None if run is None else run.at, "left": left}
        return {
            "objects": [asdict(about) for about in state.objects.values()],
            "prompts": {
                frame: {i: {"points": p.points, "box": p.box, "mask": p.mask is not None} for i, p in several.items()}
                for frame, several in state.prompts.items()
            },
            "verified": sorted(state.verified),
            "effects": state.effects_there(),
            "tracking": tracking,
            "history": {"undo": _named(self.log.to_undo), "redo": _named(self.log.to_redo)},
        }

    def frame_of(self, message: Message) -> int:
        """The frame that a message names."""
        return whole(message, "frame", 0, self.length - 1)

    def object_of(self, message: Message, key: str) -> int:
        """The object that a message names."""
        value = message.get(key)
        return wholes({key: [value]}, key, self.state.objects, "object")[0]

    def check_unlocked(self, ids: list[int]) -> None:
        """Raise ValueError if one of some objects is locked."""
        for obj_id in ids:
            about = self.state.objects[obj_id]
            if about.locked:
                raise ValueError(f"{about.name} is locked: unlock it first")

    def check_free(self, frame: int, ids: list[int]) -> None:
        """Raise ValueError if the masks of some objects on a frame may not change."""
        if frame in self.state.verified:
            raise ValueError(f"frame {frame} is verified: take the mark back to change it")
        self.check_unlocked(ids)


def _named(event: Event | None) -> Message | None:
    """What a page says about an event."""
    if event is None:
        return None
    objects = event.get("prompts") or event.get("objects") or []
    ids = [int(o["id"] if isinstance(o, dict) else o) for o in objects]
    return {"do": event["do"], "objects": ids, "frame": event.get("frame")}
