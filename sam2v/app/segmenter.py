"""The model's side of a project: a session that answers prompts and tracks, and that can go back a step."""

from __future__ import annotations

import contextlib
import copy
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sam2v.app.mask_store import StoredMask
from sam2v.app.state import FramePrompt
from sam2v.masks.result import MaskletFrame
from sam2v.masks.rle import decode_rle, union_rle
from sam2v.predict.video import VideoPredictor
from sam2v.tracking.prompts import Prompt
from sam2v.tracking.session import Session
from sam2v.tracking.tracks import ObjectTrack
from sam2v.video.base import FrameSource

_NAME = re.compile(r"session-(\d+)-(\d+|start)\.safetensors")


class Tracks(NamedTuple):
    """Copies of objects as the session knew them; None where it did not. The order is that of all objects."""

    order: tuple[int, ...]
    copies: dict[int, ObjectTrack | None]

    @property
    def size(self) -> int:
        """About how many results are referred to."""
        return sum(len(t.bank.history) + len(t.pending) for t in self.copies.values() if t is not None)


class Segmenter:
    """Wraps a session. Everything here runs in the thread that has the device.

    Args:
        predictor: answers prompts and tracks. source: the video. folder: where the session is saved.
    """

    def __init__(self, predictor: VideoPredictor, source: FrameSource, folder: Path) -> None:
        self.predictor, self.source, self.folder = predictor, source, folder
        self.session: Session = predictor.init_state(source)
        self._aside = copy.deepcopy(self.session)
        self._saved_at, self._cost = 0.0, 0.0

    # -- prompts -------------------------------------------------------------------------------------------------------

    def make_ready(self, frame: int) -> Iterator[None]:
        """Have a frame ready, a step at a time, so that the next click on it is answered at once."""
        steps = self.predictor.engine.make_ready(self.session, frame)
        while True:
            with self.session.lock:
                if next(steps, self) is self:
                    return
            yield

    def glimpse(self, frame: int, x: float, y: float) -> StoredMask | None:
        """The mask that a click would give a new object; None unless the frame is encoded already. Nothing changes."""
        with self.session.lock:
            if frame not in self.session.features.encoded:
                return None
            self._aside.features = self.session.features
            result = self.predictor.add_points(self._aside, frame, 1, [(x, y)])
            self._aside.reset()
        return stored(result, "prompt")[1]

    def prompt(
        self, frame: int, prompts: dict[int, tuple[FramePrompt, FramePrompt]], shown: dict[int, StoredMask]
    ) -> dict[int, StoredMask]:
        """Answer prompts.

        Args:
            prompts: by object: what it was prompted with on the frame, and what it is now.
            shown: masks that are shown on the frame, for objects of which the session knows nothing there.

        Returns:
            The objects' masks; those painted by hand as they were painted.
        """
        masks: dict[int, StoredMask] = {}
        for adds in (True, False):
            now = {i: new for i, (old, new) in prompts.items() if _adds(old, new) == adds}
            if now:
                given = {i: self._given(frame, i, prompts[i][0], new, adds, shown.get(i)) for i, new in now.items()}
                result = self.predictor.add_prompts(self.session, frame, given, clear_old_points=not adds)
                masks |= stored(result.select(list(now)), "prompt")
        for obj_id, (_, new) in prompts.items():
            if new.mask is not None and not new.points:
                masks[obj_id] = StoredMask(new.mask["counts"], 1.0, 10.0, "drawn")
        return masks

    def _given(
        self, frame: int, obj_id: int, old: FramePrompt, new: FramePrompt, adds: bool, shown: StoredMask | None
    ) -> Prompt:
        """What the predictor is asked: the newer clicks alone where they add to the older ones."""
        points = new.points[len(old.points) :] if adds else new.points
        coords = [point[:2] for point in points] or None
        labels = [int(point[2]) for point in points] or None
        mask = None if adds or new.mask is None else decode_rle(new.mask)
        track = self.session.tracks.get(obj_id)
        if mask is None and shown is not None and shown.counts and (track is None or track.entry(frame) is None):
            mask = decode_rle({"size": list(self.source.size), "counts": shown.counts})
        return Prompt(coords, labels, None if adds else new.box, mask)

    def clear(self, frame: int, obj_id: int) -> None:
        """Forget an object's prompts on a frame, and its mask there."""
        if obj_id in self.session.tracks:
            self.predictor.clear_all_prompts_in_frame(self.session, frame, obj_id)
            with self.session.lock:
                self.session.forget_result(obj_id, frame)

    def remove(self, obj_id: int) -> None:
        """Forget an object."""
        self.predictor.remove_object(self.session, obj_id)

    def merge(self, into: int, others: Collection[int]) -> None:
        """Make several objects one: the union of their masks on every frame, and the prompts of all."""
        known = [obj_id for obj_id in (into, *others) if obj_id in self.session.tracks]
        if len(known) > 1:  # which may be refused; nothing has changed then
            self.predictor.merge_objects(self.session, known[0], known[1:])
        if known and known[0] != into:  # which had nothing yet
            self.predictor.rename_object(self.session, known[0], into)

    def verify(self, frames: Collection[int]) -> None:
        """Have exactly these frames verified, of all objects that have a result there."""
        with self.session.lock:
            for track in self.session.tracks.values():
                track.verified = frozenset()
                for frame in frames:
                    if track.entry(frame) is not None:
                        track.verify(frame)

    # -- tracking ------------------------------------------------------------------------------------------------------

    def trackable(self) -> list[int]:
        """Objects that have a prompt to track from."""
        return [obj_id for obj_id, track in self.session.tracks.items() if track.has_prompt()]

    def begin_run(self, frame: int, shown: Mapping[int, StoredMask], reverse: bool) -> Iterator[object]:
        """Get ready to track objects from a frame, by their masks that are shown there. Here: with all that is known.

        Args:
            reverse: whether it goes towards the beginning first.

        Returns:
            What is to be gone through before, a step at a time.

        Raises:
            ValueError: that cannot be; nothing has changed.
        """
        return iter(())

    def track(self, frames: Iterable[int], reverse: bool, obj_ids: Collection[int]) -> Iterator[MaskletFrame]:
        """Track some objects through frames and give each frame's masks of them; the others stay as they are."""
        engine, session = self.predictor.engine, self.session
        ahead = engine.encoder.read_ahead(session, frames)
        for frame in ahead:
            with session.lock:
                session.check_open()
                engine.remember_prompts(session, every_object=False)
                engine.step(session, frame, reverse, obj_ids)
                result = engine.result(session, frame).select([i for i in session.tracks if i in obj_ids])
                result.download()
                engine.encoder.encode_next(ahead)
            yield result

    def result(self, frame: int, obj_ids: Collection[int]) -> MaskletFrame | None:
        """The session's own result of a frame; None unless it has a mask of each of these objects there."""
        with self.session.lock:
            tracks = [self.session.tracks.get(obj_id) for obj_id in obj_ids]
            if any(track is None or track.entry(frame) is None for track in tracks):
                return None
            return self.predictor.result(self.session, frame)

    # -- going back ----------------------------------------------------------------------------------------------------

    def copies(self, obj_ids: Iterable[int]) -> Tracks:
        """Objects as they are now; what they share with the session costs nothing."""
        tracks = self.session.tracks
        found = {i: tracks[i].copy() if i in tracks else None for i in obj_ids}
        return Tracks(tuple(tracks), found)

    def restore(self, before: Tracks) -> None:
        """Make objects what they were."""
        with self.session.lock:
            known = dict(self.session.tracks)
            self.session.tracks.clear()
            for obj_id in (*before.order, *(i for i in known if i not in before.order)):
                track = before.copies.get(obj_id) if obj_id in before.copies else known.get(obj_id)
                if track is not None:
                    self.session.tracks[obj_id] = track.copy() if obj_id in before.copies else track

    def start_over(self) -> None:
        """Forget all objects."""
        self.predictor.reset_state(self.session)

    def close(self) -> None:
        """Give back the video."""
        self._aside.close()
        self.session.close()

    # -- on disk -------------------------------------------------------------------------------------------------------

    def save(self, event: int, frame: int | None, only_if_cheap: bool = False) -> bool:
        """Save the session; its name says after which event it is, and how far tracking got.

        Args:
            only_if_cheap: at most about once a second, and for at most a twentieth of the time.
        """
        now = time.monotonic()
        if only_if_cheap and now - self._saved_at < max(0.8, 20 * self._cost):
            return False
        older = list(self.folder.glob("session-*.safetensors"))
        path = self.folder / f"session-{event}-{'start' if frame is None else frame}.safetensors"
        self.predictor.save_session(self.session, path)
        for other in older:
            if other != path:
                other.unlink(missing_ok=True)
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - now
        return True

    def load(self) -> tuple[int, int | None] | None:
        """Go on with the newest session that was saved.

        Returns:
            After which event it is, and how far tracking had got; None where there is none that fits: of another
            model, or broken.
        """
        found = [(int(m[1]), m[2], p) for p in self.folder.iterdir() if (m := _NAME.fullmatch(p.name))]
        for event, at, path in sorted(found, key=lambda item: (item[0], item[2].stat().st_mtime), reverse=True):
            with contextlib.suppress(ValueError, OSError):
                self.session = self.predictor.load_session(path, self.source)
                self._aside = copy.deepcopy(self.session)
                self._aside.reset()
                return event, None if at == "start" else int(at)
        return None


def stored(result: MaskletFrame, kind: str) -> dict[int, StoredMask]:
    """A result's masks as they are kept."""
    rows = zip(result.obj_ids, result.to_coco_rle(), result.crops, *result.scores().T.tolist())
    return {
        obj_id: StoredMask(
            "" if crop is None else rle["counts"], round(min(max(iou, 0.0), 1.0), 4), round(score, 2), kind
        )
        for obj_id, rle, crop, iou, score in rows
    }


def union(masks: Sequence[StoredMask], size: tuple[int, int]) -> StoredMask:
    """One mask of several, at least one: the only one that covers something, or what any of them covers."""
    there = [mask for mask in masks if not mask.is_absent]
    if len(there) < 2:
        return (there or list(masks))[0]
    counts = union_rle([{"size": list(size), "counts": mask.counts} for mask in there])["counts"]
    kind = "drawn" if all(mask.kind == "drawn" for mask in there) else "track"
    return StoredMask(counts, min(mask.iou for mask in there), max(mask.score for mask in there), kind)


def frame_of_masks(frame: int, masks: dict[int, StoredMask], size: tuple[int, int]) -> MaskletFrame:
    """A result of masks as they are kept; where they overlap, the later object wins."""
    import torch

    logits = np.full((len(masks), 1, *size), -10.0, np.float32)
    for row, mask in enumerate(masks.values()):
        if mask.counts:
            logits[row, 0][decode_rle({"size": list(size), "counts": mask.counts})] = 10.0 + row * 0.01
    about = torch.tensor([[mask.iou, mask.score] for mask in masks.values()]).reshape(-1, 2)
    return MaskletFrame(frame, list(masks), torch.from_numpy(logits), about[:, 0], about[:, 1])


def _adds(old: FramePrompt, new: FramePrompt) -> bool:
    """Whether a prompt is an older one with more clicks."""
    more = len(new.points) > len(old.points) and new.points[: len(old.points)] == old.points
    return bool(old) and more and (new.box, new.mask) == (old.box, old.mask)
