"""What people who annotate do to a session besides prompting: verify, merge, rename, look for what is worst."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sam2v.masks.result import MaskletFrame
from sam2v.tracking.engine import Engine
from sam2v.tracking.merge import merged
from sam2v.tracking.prompts import check_index
from sam2v.tracking.session import Session
from sam2v.tracking.tracks import ObjectTrack


class ObjectScores(NamedTuple):
    """How sure the model is of one mask: predicted IoU in [0, 1], and the object score logit (> 0: the object is
    there)."""

    iou: float
    object_score: float

    @property
    def quality(self) -> float:
        """0 to 1: how sure the model is that the object is there, times the predicted IoU; of an object that it takes
        for absent, how sure it is of that."""
        there = 1 / (1 + math.exp(-max(-60.0, min(60.0, abs(self.object_score)))))
        return there * min(max(self.iou, 0.0), 1.0) if self.object_score > 0 else there


class WorstFrame(NamedTuple):
    """The result that the model is least sure of: its frame, its object and its `quality`, 0 to 1."""

    frame_idx: int
    obj_id: int
    quality: float


class Annotating:
    """The part of `VideoPredictor` that changes and looks through results."""

    engine: Engine

    def _ours(self, state: Session) -> Session:
        raise NotImplementedError

    # -- verified frames -----------------------------------------------------------------------------------------------

    def verify(self, state: Session, frame_idx: int, obj_id: int | None = None) -> MaskletFrame:
        """Mark a result as right: it is never changed again, and tracking of the object stops there.

        Prompts on it are refused, propagation keeps and yields it, and goes on behind it only when it is started there.
        `state.verified` tells which frames are marked; sessions keep it.

        Args:
            obj_id: the object; None takes all that have a result on the frame.

        Returns:
            The masks on the frame.

        Raises:
            ValueError: no result there. KeyError: unknown object. TypeError: not an index.
        """
        with state.lock:
            position = self._ours(state).check_frame(frame_idx)
            tracks = _chosen(state, obj_id)
            known = [track for track in tracks if track.entry(position) is not None]
            if not known:
                whose = "no object has" if obj_id is None else f"object {obj_id} does not have"
                raise ValueError(f"{whose} a result on frame {frame_idx}: track or prompt it first")
            for track in known:
                track.verify(position)
            return self.engine.result(state, position)

    def unverify(self, state: Session, frame_idx: int, obj_id: int | None = None) -> MaskletFrame:
        """Take `verify` back, where there is something to take back; returns the masks on the frame.

        Raises:
            ValueError, KeyError, TypeError: no such frame or object.
        """
        with state.lock:
            position = self._ours(state).check_frame(frame_idx)
            for track in _chosen(state, obj_id):
                track.verified -= {position}
            return self.engine.result(state, position)

    # -- objects -------------------------------------------------------------------------------------------------------

    def rename_object(self, state: Session, obj_id: int, new_id: int) -> list[int]:
        """Give an object another id; everything that is known of it stays. Returns the ids.

        Raises:
            KeyError: unknown object. ValueError: the id belongs to another one, or is negative. TypeError: no integer.
        """
        with state.lock:
            track, new_id = self._ours(state).track(obj_id), check_index(new_id, "new_id")
            if new_id != track.obj_id:
                if new_id < 0:
                    raise ValueError(f"new_id must not be negative, got {new_id}")
                if new_id in state.tracks or any(new_id in waiting for waiting in state.held.values()):
                    raise ValueError(f"there is an object {new_id} already: merge the two, or take another id")
                state.rename_object(track.obj_id, new_id)
            return state.obj_ids

    def merge_objects(self, state: Session, obj_id: int, others: int | Sequence[int]) -> list[int]:
        """Make several objects one: the union of their masks on every frame, and the prompts of all.

        Verified frames stay verified. What is known of a frame is not computed anew; tracking goes on from the union.

        Args:
            obj_id: the object that stays. others: one or more that become part of it.

        Returns:
            The remaining ids.

        Raises:
            KeyError: unknown object.
            ValueError: no other object, or an object is to be merged with itself; a verified frame on which the union
                is another mask; or a stream that cannot go back, whose memories cannot be made again. Nothing has
                changed then.
        """
        with state.lock:
            track = self._ours(state).track(obj_id)
            one = not isinstance(others, Iterable) or getattr(others, "ndim", 1) == 0
            rest = [state.track(other) for other in ([others] if one else others)]  # type: ignore[union-attr]
            if not rest:
                raise ValueError(f"name the objects that are to become part of object {obj_id}, got none")
            if any(other is track for other in rest) or len({other.obj_id for other in rest}) < len(rest):
                raise ValueError(f"object {obj_id} can be merged with other objects, each once")
            if not state.frames.is_seekable:
                raise ValueError("objects of a stream cannot be merged: its frames are gone, to encode them again")
            union = track
            for other in rest:
                union = merged(union, other, state.pool, self.engine.policy)
            track.become(union)
            for other in rest:
                state.remove_object(other.obj_id)
            return state.obj_ids

    # -- scores --------------------------------------------------------------------------------------------------------

    def scores(self, state: Session, frame_idx: int) -> dict[int, ObjectScores]:
        """Predicted IoU and object score of every object that has a result on a frame, by object id."""
        with state.lock:
            position = self._ours(state).check_frame(frame_idx)
            known = {obj_id: track.entry(position) for obj_id, track in state.tracks.items()}
            return {i: ObjectScores(float(e.iou), float(e.score)) for i, e in known.items() if e is not None}

    def worst_frame(self, state: Session, obj_id: int | None = None) -> WorstFrame | None:
        """The tracked result that the model is least sure of; prompted and verified frames are not looked at.

        Args:
            obj_id: the object; None looks at all of them.

        Returns:
            Its frame, object and quality; None if there is no such result.

        Raises:
            KeyError: unknown object.
        """
        with state.lock:
            self._ours(state)
            found = [worst for track in _chosen(state, obj_id) if (worst := _worst(track)) is not None]
            if not found:
                return None
            quality, position, worst_id = min(found)
            return WorstFrame(state.numbering.number(position), worst_id, quality)


def _chosen(state: Session, obj_id: int | None) -> list[ObjectTrack]:
    """The object of an id, or all objects without one."""
    return list(state.tracks.values()) if obj_id is None else [state.track(obj_id)]


def _worst(track: ObjectTrack) -> tuple[float, int, int] | None:
    """(quality, position, object) of an object's worst tracked frame, the first of equal ones."""
    looked_at = set(track.frames()) - set(track.prompted_frames()) - track.verified
    entries = ((position, track.shown(position)) for position in looked_at)
    scores = ((ObjectScores(float(e.iou), float(e.score)).quality, position) for position, e in entries)
    worst = min(scores, default=None)
    return None if worst is None else (*worst, track.obj_id)
