"""Tracking everything forwards: step, judge, find what is new, and give out what has proved itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sam2v.automatic.association import Association, Ended
from sam2v.automatic.finder import Finder, sighting
from sam2v.automatic.lifecycle import Reason
from sam2v.automatic.masklet_options import MaskletOptions
from sam2v.automatic.sightings import Shown
from sam2v.masks.result import MaskletFrame
from sam2v.tracking.engine import Engine
from sam2v.tracking.session import Session


@dataclass
class Masklet:
    """What is known of an object that was found.

    Attributes:
        obj_id: its id. label: of the region or detection it began with, if there was any.
        found: the frame on which it was found. last: the newest frame on which it is tracked.
        score: predicted IoU times stability of the mask it was found with. quality: the same, over its latest frames.
        ended: why it ends at `last`; None at the end of the video.
        same_as: the object that it turned out to be, where it ended as a duplicate.
    """

    obj_id: int
    label: str | None
    found: int
    last: int
    score: float
    quality: float
    ended: Reason | None = None
    same_as: int | None = None


class ForwardPass:
    """Goes through a video once.

    Attributes:
        masklets: the objects that have proved themselves, by id.
        left_out: proposals for which there was no room.

    Args:
        engine: of the tracker. session: the video's, without objects. options: how objects are found and kept.
        keeps: whether objects that ended stay in the session, to be seen again.
    """

    def __init__(self, engine: Engine, session: Session, options: MaskletOptions, keeps: bool = False) -> None:
        self._engine, self._session, self._options, self._keeps = engine, session, options, keeps
        self._association, self._finder = Association(options.rules), Finder(engine, session, options)
        self._waiting: deque[MaskletFrame] = deque()
        self._uncovered_before = 1.0
        self.masklets: dict[int, Masklet] = {}
        self.left_out = 0

    def run(self, frames: Iterable[int], step: Callable[[], object] = bool) -> Iterator[MaskletFrame]:
        """Go through frames and give them out, each with the objects that have proved themselves.

        Args:
            frames: ascending. step: is called after every frame.
        """
        for position in self._engine.encoder.read_ahead(self._session, frames):
            with self._session.lock:
                self._session.check_open()
                self._waiting.append(self._frame(position))
            step()
            if len(self._waiting) > self._options.hot_start:
                yield self._given(self._waiting.popleft())
        for track in self._association.tracks.values():  # what has not failed by the end counts
            track.confirmed = True
        self._note_proven()
        while self._waiting:
            yield self._given(self._waiting.popleft())

    def shown(self, position: int) -> MaskletFrame:
        """What is known of a frame after all, of objects that have begun there and have not ended."""
        result = self._engine.result(self._session, position)
        known = {o for o, track in self._session.tracks.items() if track.entry(position) is not None}
        living = {o for o, m in self.masklets.items() if m.found <= position <= m.last}
        return result.select([o for o in result.obj_ids if o in self.masklets and (o in known or o in living)])

    def _frame(self, position: int) -> MaskletFrame:
        """Track to a frame and look for what is new."""
        result, shown = self._tracked(position)
        if self._is_due(position, shown) and self._admit(position, shown):
            result = self._result(position)
        self._note_proven()
        return result

    def _tracked(self, position: int) -> tuple[MaskletFrame, Shown]:
        """Every living object on a frame, as it is after the frame's verdict."""
        if self._association.tracks:
            self._engine.remember_prompts(self._session, every_object=False)
            self._engine.step(self._session, position, False, self._association.tracks.keys())
        result = self._result(position)
        shown = sighting(result)
        verdict = self._association.observe(position, shown)
        for obj_id in verdict.hidden:
            self._session.forget_result(obj_id, position)
        self._end(verdict.ended, position)
        if verdict.hidden or verdict.ended:
            result = self._result(position)
            shown = sighting(result)
        return result, shown

    def _is_due(self, position: int, shown: Shown) -> bool:
        """Whether masks are proposed on a frame."""
        options, uncovered = self._options, self._finder.uncovered(shown)
        if position == 0:
            return True
        if options.propose_every and position % options.propose_every == 0:
            return True
        return bool(options.propose_every) and uncovered - self._uncovered_before > options.uncovered

    def _admit(self, position: int, shown: Shown) -> bool:
        """Propose masks and begin objects with those that are new; whether there were any."""
        proposed = self._finder.find(position, shown)
        begun = {}
        if proposed is not None:
            found, detections = proposed
            admission = self._association.admit(position, detections, shown, self._finder.taken)
            self.left_out += admission.left_out
            self._end(admission.ended, position)
            begun = admission.begun
            if begun:
                self._engine.prompt(self._session, position, self._finder.prompts(found, begun))
        self._uncovered_before = self._finder.uncovered(sighting(self._result(position)))
        return bool(begun)

    def _result(self, position: int) -> MaskletFrame:
        """What is known of the living objects on a frame."""
        return self._engine.result(self._session, position).select(list(self._association.tracks))

    def _end(self, ended: list[Ended], position: int) -> None:
        """Take objects that ended out of the session, unless they are to be seen again."""
        for end in ended:
            obj_id = end.track.obj_id
            if obj_id in self.masklets:
                masklet = self.masklets[obj_id]
                masklet.last, masklet.quality = position, end.track.quality
                masklet.ended, masklet.same_as = end.reason, end.same_as
            if not self._keeps or obj_id not in self.masklets:
                self._session.remove_object(obj_id)

    def _note_proven(self) -> None:
        """Keep an account of the objects that have proved themselves."""
        for obj_id, track in self._association.tracks.items():
            if track.confirmed:
                masklet = self.masklets.setdefault(
                    obj_id, Masklet(obj_id, track.label, track.born, track.born, track.score, track.quality)
                )
                masklet.last, masklet.quality = track.last_seen, track.quality

    def _given(self, result: MaskletFrame) -> MaskletFrame:
        """A frame with the objects that count."""
        return result.select([obj_id for obj_id in result.obj_ids if obj_id in self.masklets])
