"""The engine: steps a session by a frame or a prompt. Offline, reverse and live tracking all go through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.masks.components import fill_holes, remove_specks
from sam2v.masks.overlap import non_overlapping
from sam2v.masks.result import MaskletFrame
from sam2v.memory import MemoryEntry, MemoryPolicy
from sam2v.model.network import ABSENT_LOGIT, ImageFeatures, Prediction, Sam2Network
from sam2v.tracking.live import LiveFrames
from sam2v.tracking.options import VideoOptions
from sam2v.tracking.prompts import PointPrompt
from sam2v.tracking.session import Answer, ObjectTrack, Session
from sam2v.tracking.step import gather_memory, prompt_with_mask, prompt_with_points, track_objects
from sam2v.video.prefetch import Prefetcher
from sam2v.video.preprocess import preprocess, resize_bicubic

_T = TypeVar("_T")


class NoPromptError(RuntimeError, ValueError):
    """Propagation was asked for while an object, or every object, has no prompt."""


class Engine:
    """Steps sessions with one network. It keeps nothing about any session.

    Args:
        network: the network; only its four calls are used.
        options: how masks and memories are handled.
        policy: what is read from memory; None takes the reference's rule with ``options``.
        cached_frames: how many frames' features a session keeps.
        frames_per_encoding: how many frames are encoded in one batch where it is known which come next.
    """

    def __init__(
        self,
        network: Sam2Network,
        options: VideoOptions,
        policy: MemoryPolicy | None = None,
        cached_frames: int = 2,
        frames_per_encoding: int = 1,
    ) -> None:
        memory = network.config.memory
        self.network = network
        self.options = options
        self.policy = policy or options.default_policy(memory.num_maskmem, memory.max_obj_ptrs)
        self.frames_per_encoding = frames_per_encoding
        self.cached_frames = max(cached_frames, frames_per_encoding)

    # -- features ------------------------------------------------------------------------------------------------------

    def features(self, session: Session, frame_idx: int) -> ImageFeatures:
        """The frame's features, encoded once and kept while it is among the newest used."""
        cache = session.features
        if frame_idx not in cache:
            images = session.prepared
            if frame_idx in images:
                session.prepared = {}
            else:
                images = {frame_idx: self._resized(session.frames[frame_idx])}
            side, device = self.network.config.image_size, self.network.device
            features = self.network.encode_image(preprocess(list(images.values()), side, "bicubic", device))
            cache.update((known, features.select(i)) for i, known in enumerate(images))
        cache.move_to_end(frame_idx)
        while len(cache) > self.cached_frames:
            cache.popitem(last=False)
        return cache[frame_idx]

    def _resized(self, frame: np.ndarray) -> np.ndarray:
        return resize_bicubic(frame, self.network.config.image_size)

    def check_readable(self, session: Session, frame_idx: int) -> None:
        """Make sure that a frame can be prompted: it is there, and not dropped by a stream.

        Raises:
            ValueError: it is not.
        """
        if frame_idx not in session.features:
            session.frames[frame_idx]

    def read_ahead(self, session: Session, frames: Iterable[int]) -> Iterator[int]:
        """Go through frames while a thread decodes and resizes the next ones; ends with the video."""
        if isinstance(session.frames, LiveFrames):
            yield from frames
            return
        together = self.frames_per_encoding
        with Prefetcher(session.frames, frames, self._resized, depth=1 + together) as ahead:
            for group in _in_groups(ahead, together):
                session.prepared = dict(group)
                yield from (frame_idx for frame_idx, _ in group)

    # -- prompts -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def prompt_points(self, session: Session, obj_id: int, frame_idx: int, prompt: PointPrompt) -> None:
        """Answer an object's points on a frame; they replace its prompts there."""
        track, features = (
            session.tracks.get(obj_id) or session.new_track(obj_id),
            self.features(session, frame_idx),
        )
        device, earlier = self.network.device, track.entry(frame_idx)
        previous = None if earlier is None or earlier.mask is None else earlier.mask[None, None]
        prediction = prompt_with_points(
            self.network,
            features,
            self._conditioned(session, track, frame_idx, features),
            prompt.coords[None].to(device),
            prompt.labels[None].to(device),
            previous,
            self.options.dynamic_multimask_via_stability,
        )
        track.points[frame_idx] = prompt
        track.masks.pop(frame_idx, None)
        self._take_answer(session, track, frame_idx, prediction)

    @torch.no_grad()
    def prompt_mask(self, session: Session, obj_id: int, frame_idx: int, mask: Tensor) -> None:
        """Take an object's mask on a frame (image_size x image_size of 0 and 1); it replaces its prompts there."""
        track, features = (
            session.tracks.get(obj_id) or session.new_track(obj_id),
            self.features(session, frame_idx),
        )
        prediction = prompt_with_mask(self.network, features, mask[None, None].to(self.network.device))
        track.masks[frame_idx] = mask
        track.points.pop(frame_idx, None)
        self._take_answer(session, track, frame_idx, prediction)

    def _conditioned(self, session: Session, track: ObjectTrack, frame_idx: int, features: ImageFeatures) -> Tensor:
        """Features for a prompt: on a frame that was tracked, memory takes part in the direction it was tracked in."""
        if frame_idx not in track.passed:
            return self.network.without_memory(features)
        limit = self._max_pointers(session)
        selection = self.policy.select(track.bank, frame_idx, track.passed[frame_idx], limit)
        if not selection.maps:
            return self.network.without_memory(features)
        return self.network.read_memory(features, gather_memory([selection], limit))

    def _take_answer(self, session: Session, track: ObjectTrack, frame_idx: int, prediction: Prediction) -> None:
        conditioning = frame_idx not in track.passed or self.options.add_all_frames_to_correct_as_cond
        track.pending[frame_idx] = Answer(self._entries(prediction)[0], conditioning)
        session.tracks.setdefault(track.bank.obj_id, track)

    def clear_prompts(self, track: ObjectTrack, frame_idx: int) -> None:
        """Forget an object's prompts on a frame; what was conditioning there stays as an ordinary result."""
        for prompts in (track.points, track.masks, track.pending):
            prompts.pop(frame_idx, None)
        if track.bank.demote(frame_idx):
            track.passed.pop(frame_idx, None)

    # -- stepping ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def remember_prompts(self, session: Session, every_object: bool = True) -> None:
        """Encode the memories of all prompts answered since the last propagation.

        Args:
            every_object: whether every object must have a prompt.

        Raises:
            NoPromptError: there is no object, or one without any conditioning frame. Nothing has changed then.
        """
        if not session.tracks:
            raise NoPromptError("nothing to track: prompt an object with points, a box or a mask first")
        for obj_id, track in session.tracks.items():
            if every_object and not track.bank.conditioning and not any(a.conditioning for a in track.pending.values()):
                raise NoPromptError(f"object {obj_id} has no prompt: add one, or remove the object")
        for frame_idx in sorted({f for track in session.tracks.values() for f in track.pending}):
            tracks = [t for t in session.tracks.values() if frame_idx in t.pending]
            answers = [t.pending[frame_idx] for t in tracks]
            masks = torch.stack([_mask(a.entry)[None] for a in answers])
            scores = torch.stack([a.entry.score[None] for a in answers])
            memories = self.network.write_memory(
                self.features(session, frame_idx),
                masks,
                scores,
                self.options.binarize_mask_from_pts_for_mem_enc,
            )
            for track, answer, memory in zip(tracks, answers, memories, strict=True):
                entry = answer.entry.with_memory(memory)
                if answer.conditioning:
                    track.bank.conditioning[frame_idx] = entry
                else:
                    track.bank.put_tracked(frame_idx, entry)
                del track.pending[frame_idx]
        for track in session.tracks.values():
            track.bank.settle()

    @torch.no_grad()
    def step(self, session: Session, frame_idx: int, reverse: bool) -> None:
        """Track every object that has a prompt to a frame; objects prompted there keep their answer."""
        prompted = [t for t in session.tracks.values() if t.bank.conditioning]
        moving = [t for t in prompted if frame_idx not in t.bank.conditioning]
        if moving:
            self._track(session, frame_idx, reverse, moving)
        for track in prompted:
            track.passed[frame_idx] = reverse
        if session.history == "window":
            self._forget(session, frame_idx)

    def _track(self, session: Session, frame_idx: int, reverse: bool, tracks: list[ObjectTrack]) -> None:
        features, limit = self.features(session, frame_idx), self._max_pointers(session)
        selections = [self.policy.select(t.bank, frame_idx, reverse, limit) for t in tracks]
        prediction = track_objects(
            self.network,
            features,
            gather_memory(selections, limit),
            self.options.dynamic_multimask_via_stability,
        )
        memories = self.network.write_memory(features, prediction.best, prediction.object_score)
        for track, entry, memory in zip(tracks, self._entries(prediction), memories, strict=True):
            track.bank.put_tracked(frame_idx, entry.with_memory(memory))

    def _max_pointers(self, session: Session) -> int:
        """Pointer limit: the model's, or the video's length if that is shorter, as in the reference."""
        limit = self.network.config.memory.max_obj_ptrs
        return limit if session.announced_frames is None else max(2, min(limit, session.announced_frames))

    def _entries(self, prediction: Prediction) -> list[MemoryEntry]:
        """One entry per object, its mask cleaned as the options say; memories are encoded apart, from the mask as
        predicted."""
        masks = prediction.best
        if self.options.fill_hole_area:
            masks = fill_holes(masks, self.options.fill_hole_area)
        if self.options.remove_speck_area:
            masks = remove_specks(masks, self.options.remove_speck_area)
        rows = zip(
            masks[:, 0],
            prediction.best_iou[:, 0],
            prediction.object_score[:, 0],
            prediction.pointer,
            strict=True,
        )
        return [MemoryEntry(mask, iou, score, pointer) for mask, iou, score, pointer in rows]

    def _forget(self, session: Session, frame_idx: int) -> None:
        reach = self.policy.reach()
        for track in session.tracks.values():
            track.bank.forget_outside(frame_idx, reach.maps, reach.pointers)
            for gone in [f for f in track.passed if abs(f - frame_idx) > max(reach)]:
                del track.passed[gone]

    # -- results -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def result(self, session: Session, frame_idx: int) -> MaskletFrame:
        """All objects' masks on a frame at the video's size; an object without any result there gets ABSENT_LOGIT."""
        entries = [track.entry(frame_idx) for track in session.tracks.values()]
        side = self.network.config.image_size // 4
        low = torch.full((len(entries), 1, side, side), ABSENT_LOGIT, device=self.network.device)
        for row, entry in zip(low, entries, strict=True):
            if entry is not None and entry.mask is not None:
                row[0] = entry.mask
        # interpolation refuses an empty batch
        masks = _enlarge(low, session.size) if entries else low.new_zeros(0, 1, *session.size)
        if self.options.non_overlap_masks and len(entries) > 1:
            masks = non_overlapping(masks)
        return MaskletFrame(
            frame_idx,
            session.obj_ids,
            masks,
            self._column(entries, lambda e: e.iou, 0.0),
            self._column(entries, lambda e: e.score, ABSENT_LOGIT),
        )

    def _column(
        self, entries: list[MemoryEntry | None], value: Callable[[MemoryEntry], Tensor], default: float
    ) -> Tensor:
        missing = torch.tensor(default, device=self.network.device)
        return torch.stack([missing if e is None else value(e).float() for e in entries] or [missing])[: len(entries)]


def _in_groups(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of ``size`` items; the last may be shorter. Before an error the items that precede it still come."""
    group: list[_T] = []
    try:
        for item in items:
            group.append(item)
            if len(group) == size:
                yield group
                group = []
    except Exception:
        if group:
            yield group
        raise
    if group:
        yield group


def _enlarge(low: Tensor, size: tuple[int, int]) -> Tensor:
    """Mask logits N x 1 x h x w at ``size``, straight from low resolution."""
    return F.interpolate(low, size, mode="bilinear", align_corners=False)


def _mask(entry: MemoryEntry) -> Tensor:
    assert entry.mask is not None  # answers to prompts always carry their mask
    return entry.mask
