"""The engine: steps a session by a frame or by prompts. Offline, reverse and live tracking all go through it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sam2v.arrays import Array, floats, namespace, on_device
from sam2v.backends.batched import BatchedCalls
from sam2v.masks.result import MaskletFrame
from sam2v.memory import Commit, MemoryBank, MemoryEntry, MemoryPolicy, Moment, Pool, Reach, Selection
from sam2v.memory.pool import keep_rows
from sam2v.model.offered import ABSENT_LOGIT, gate_by_score
from sam2v.model.values import Answer, ImageFeatures
from sam2v.tracking.answers import Pointed, answer_masks, answer_points
from sam2v.tracking.features import FrameEncoder
from sam2v.tracking.gather import gather_memory
from sam2v.tracking.options import VideoOptions
from sam2v.tracking.prompts import CheckedPrompt
from sam2v.tracking.rows import (
    Reading,
    Row,
    Step,
    Visit,
    entries_of,
    features_of_rows,
    in_batches,
    live_on,
    refused,
    remember,
)
from sam2v.tracking.session import Session
from sam2v.tracking.sharing import SharedSteps
from sam2v.tracking.step import track_objects
from sam2v.tracking.tracks import ObjectTrack
from sam2v.video.windows import LiveSource


class NoPromptError(RuntimeError, ValueError):
    """Propagation was asked for while an object, or every object, has no prompt."""


class Engine:
    """Steps sessions with one network. It keeps nothing about any session.

    Attributes:
        shared: lets steps of several threads be made together.

    Args:
        backend: the network's calls.
        options: how masks and memories are handled.
        policy: what is read from memory and remembered; a name makes one with `options`.
        frames_per_encoding: how many frames are encoded in one batch where it is known which come next; None: 4 of a
            video on CUDA, else 1.
    """

    def __init__(
        self,
        backend: BatchedCalls,
        options: VideoOptions,
        policy: MemoryPolicy | str = "recent",
        frames_per_encoding: int | None = None,
    ) -> None:
        memory = backend.config.memory
        self.backend, self.options, self.finish = backend, options, options.finish
        sizes = (memory.num_maskmem, memory.max_obj_ptrs)
        self.policy = options.policy(policy, *sizes) if isinstance(policy, str) else policy
        self.encoder = FrameEncoder(backend, frames_per_encoding=frames_per_encoding, resize=options.resize)
        self.shared = SharedSteps(self.step_together)

    # -- prompts -------------------------------------------------------------------------------------------------------

    def prompt(self, session: Session, position: int, prompts: Mapping[int, CheckedPrompt]) -> None:
        """Answer prompts of any number of objects on a frame; they replace the objects' earlier ones there."""
        session.pool.advance()
        tracks = {obj_id: session.tracks.get(obj_id) or ObjectTrack(obj_id) for obj_id in prompts}
        features, device = self.encoder.features(session, position), self.backend.device
        masks = {obj_id: prompt.mask for obj_id, prompt in prompts.items() if prompt.mask is not None}
        answers = answer_masks(self.backend, features, masks, device)
        with_points = [obj_id for obj_id, prompt in prompts.items() if prompt.points is not None]
        earlier = {obj_id: self._previous(tracks[obj_id], position, answers.get(obj_id)) for obj_id in with_points}
        conditioned = self._conditioned(session, [tracks[obj_id] for obj_id in with_points], position)
        pointed = [Pointed(i, prompts[i].points, earlier[i], conditioned.get(i)) for i in with_points]  # type: ignore[arg-type]
        dynamic = self.options.dynamic_multimask_via_stability
        answers |= answer_points(self.backend, self.encoder.features(session, position), pointed, device, dynamic)
        pools = [session.pool]
        entries = {i: entries_of(pools, answer, [Commit()], prompted=True)[0] for i, answer in answers.items()}
        frames = session.frames
        if not frames.is_seekable and not frames.is_live:  # reading ahead may drop the frame before it is remembered
            entries = self._encode(session, features, entries)
        for obj_id, prompt in prompts.items():
            self._take(session, tracks[obj_id], position, prompt, entries[obj_id])

    def _take(
        self, session: Session, track: ObjectTrack, position: int, prompt: CheckedPrompt, entry: MemoryEntry
    ) -> None:
        track.points.pop(position, None)
        track.masks.pop(position, None)
        if prompt.points is not None:
            track.points[position] = prompt.points
        if prompt.mask is not None:
            track.masks[position] = prompt.mask
        conditioning = position not in track.passed or self.options.add_all_frames_to_correct_as_cond
        track.answer(position, entry, conditioning)
        session.tracks.setdefault(track.obj_id, track)

    def _previous(self, track: ObjectTrack, position: int, answer: Answer | None) -> Array | None:
        """Logits of an object's earlier answer on a frame, as they are shown: a prompt by themselves."""
        if answer is not None:
            return self.finish.clean(answer.mask)[0, 0]
        entry = track.entry(position)
        return None if entry is None else self.finish.clean(entry.mask[None, None])[0, 0]

    def _conditioned(self, session: Session, tracks: Sequence[ObjectTrack], position: int) -> dict[int, Array]:
        """Features after memory of the objects that were tracked on a frame, in the direction they were tracked in."""
        found: dict[int, Array] = {}
        for moment, chosen in self._tracked_with(session, tracks, position):
            selections = [selection for _, selection in chosen]
            for _ in self._missing_encoded(session, position, [track.bank for track, _ in chosen], selections):
                pass
            memory = gather_memory(selections, [moment.max_pointers] * len(chosen))
            rows = self.backend.read_memory(self.encoder.features(session, position), memory)
            found.update((track.obj_id, row) for (track, _), row in zip(chosen, rows, strict=True))
        return found

    def _tracked_with(
        self, session: Session, tracks: Sequence[ObjectTrack], position: int
    ) -> Iterator[tuple[Moment, list[tuple[ObjectTrack, Selection]]]]:
        """What the objects that were tracked on a frame read there, by the direction they were tracked in."""
        for reverse in (False, True):
            passed = [track for track in tracks if track.passed.get(position) == reverse]
            moment = self._moment(session, position, reverse)
            selections = [self.policy.select(track.hypotheses[0], moment) for track in passed]
            chosen = [(t, s) for t, s in zip(passed, selections, strict=True) if s.memories]
            if chosen:
                yield moment, chosen

    def make_ready(self, session: Session, position: int) -> Iterator[None]:
        """Encode a frame, and the memories that a prompt on it reads, a frame at a step; then its answer comes at once.

        Memories that are read elsewhere are let go. Between the steps the session may be used.
        """
        self.encoder.features(session, position)
        yield
        for moment, chosen in list(self._tracked_with(session, list(session.tracks.values()), position)):
            if session.history == "full":  # a window keeps what it may read
                self._prune(session, [track for track, _ in chosen], moment)
            banks, selections = [track.bank for track, _ in chosen], [selection for _, selection in chosen]
            yield from self._missing_encoded(session, position, banks, selections)

    def check_prompted(self, session: Session, every_object: bool = True) -> None:
        """Raise NoPromptError if there is no object, or (with `every_object`) one without any prompted frame."""
        if not session.tracks:
            raise NoPromptError("nothing to track: prompt an object with points, a box or a mask first")
        for obj_id, track in session.tracks.items():
            if every_object and not track.has_prompt():
                raise NoPromptError(f"object {obj_id} has no prompt: add one, or remove the object")

    def remember_prompts(self, session: Session, every_object: bool = True) -> None:
        """Encode the memories of all prompts answered since the last propagation.

        Args:
            every_object: whether every object must have a prompt.

        Raises:
            NoPromptError: there is no object, or one without any prompted frame. Nothing has changed then.
        """
        self.check_prompted(session, every_object)
        for position in sorted({p for track in session.tracks.values() for p in track.pending}):
            tracks = [track for track in session.tracks.values() if position in track.pending]
            entries = {track.obj_id: track.pending[position].entry for track in tracks}
            if any(entry.encoded is None for entry in entries.values()):
                entries = self._encode(session, self.encoder.features(session, position), entries)
            for track in tracks:
                track.remember(position, entries[track.obj_id], self.policy)

    def memories_of(self, session: Session, obj_id: int) -> list[MemoryEntry]:
        """What is known of an object for good, with its memories: from other videos, of prompted frames (those whose
        answers wait included), and anchors."""
        track = session.tracks[obj_id]
        waiting = {p: answer.entry for p, answer in track.pending.items() if answer.conditioning}
        known = {**track.bank.anchors, **track.bank.conditioning, **waiting}
        for position, entry in known.items():
            if entry.encoded is None:
                known |= self._encode(session, self.encoder.features(session, position), {position: entry})
        return [*track.bank.exemplars, *known.values()]

    # -- stepping ------------------------------------------------------------------------------------------------------

    def step(self, session: Session, position: int, reverse: bool, obj_ids: Collection[int] | None = None) -> None:
        """Track every object that has a prompt to a frame; objects prompted or verified there keep what they have.

        Args:
            reverse: whether tracking goes towards the beginning.
            obj_ids: the objects that are tracked, the others staying as they are; None means all.
        """
        self.shared.step(Step(session, position, reverse, obj_ids))

    def step_together(self, steps: Sequence[Step]) -> dict[int, Exception]:
        """As `step` for several sessions: their frames are encoded in one batch where the network's input has one size,
        and their rows share the other calls (see `in_batches`).

        Args:
            steps: of different sessions.

        Returns:
            By their number in `steps`, the errors of those that read a frame in vain, this one or an earlier one whose
            memory was let go. Such a session is as it was; the others have been stepped.
        """
        for pool in {id(step.session.pool): step.session.pool for step in steps}.values():
            pool.advance()
        visits = {number: self._visit(step) for number, step in enumerate(steps)}
        rows = {number: rows for number, visit in visits.items() if (rows := visit.rows())}
        errors = self.encoder.encode({n: (visits[n].session, visits[n].moment.frame_idx) for n in rows})
        readings = []
        for number in [number for number in rows if number not in errors]:
            try:
                readings.append(self._ready(visits[number], rows[number]))
            except Exception as error:
                errors[number] = error
        for batch in in_batches(readings):
            self._track(batch)
        for number in [number for number in visits if number not in errors]:
            session, moment, chosen = visits[number]
            for track in visits[number].prompted:
                track.passed[moment.frame_idx] = moment.reverse
            self._prune(session, chosen, moment)
        return errors

    def _visit(self, step: Step) -> Visit:
        tracks = step.session.tracks.values()
        chosen = [track for track in tracks if step.obj_ids is None or track.obj_id in step.obj_ids]
        return Visit(step.session, self._moment(step.session, step.position, step.reverse), chosen)

    def advance(self, session: Session, pixels: np.ndarray, number: int) -> int:
        """Take a live stream's next frame and track every object to it; returns its position."""
        assert isinstance(session.frames, LiveSource)
        if session.tracks:
            self.remember_prompts(session, every_object=False)
        position = session.frames.append(pixels)
        session.numbering.add(number)
        if session.tracks:
            for track in session.tracks.values():
                for prompted in track.bank.conditioning:
                    track.passed.setdefault(prompted, False)
            self.step(session, position, reverse=False)
        session.drop_numbers(session.frames.oldest())
        return position

    def _ready(self, visit: Visit, rows: list[Row]) -> Reading:
        """What rows of a session read, all of it at hand."""
        selections = [self.policy.select(row.hypothesis, visit.moment) for row in rows]
        banks = [row.hypothesis.bank for row in rows]
        for _ in self._missing_encoded(visit.session, visit.moment.frame_idx, banks, selections):
            pass
        return Reading(visit, rows, selections)

    def _track(self, batch: Sequence[Reading]) -> None:
        """Track rows of any number of sessions together."""
        visits, rows = [reading.visit for reading in batch], [row for reading in batch for row in reading.rows]
        pictures = [self.encoder.features(visit.session, visit.moment.frame_idx) for visit in visits]
        features = features_of_rows(pictures, visits, rows)
        selections = [selection for reading in batch for selection in reading.selections]
        memory = gather_memory(selections, [row.visit.moment.max_pointers for row in rows])
        conditioned = self.backend.read_memory(features, memory)
        dynamic = self.options.dynamic_multimask_via_stability
        prediction = gate_by_score(track_objects(self.backend, features, conditioned, dynamic))
        outcome = live_on(self.policy, rows, prediction)
        pools = [row.visit.session.pool for row in outcome.rows]
        entries = entries_of(pools, refused(outcome, self.backend.no_obj_ptr), outcome.commits)
        readable = [n for n, entry in enumerate(entries) if entry.readable]
        if readable:
            if outcome.rows is not rows or len(readable) < len(rows):
                features = features_of_rows(pictures, visits, [outcome.rows[n] for n in readable])
            made = self._with_memories(features, [pools[n] for n in readable], [entries[n] for n in readable])
            for n, entry in zip(readable, made, strict=True):
                entries[n] = entry
        remember(outcome.rows, entries, outcome.commits)

    def _missing_encoded(
        self, session: Session, position: int, banks: Sequence[MemoryBank], selections: Sequence[Selection]
    ) -> Iterator[None]:
        """Encode again the memories that were let go and are read now, from the masks they were made of, a frame at a
        step; the features of the frame that reads them stay."""
        missing: dict[int, dict[int, tuple[MemoryBank, MemoryEntry]]] = {}
        for bank, selection in zip(banks, selections, strict=True):
            for read in selection.memories:
                if read.entry.encoded is None:
                    missing.setdefault(read.frame_idx, {})[id(read.entry)] = (bank, read.entry)
        encoded: dict[int, MemoryEntry] = {}
        for frame, found in sorted(missing.items()):
            features = self.encoder.features(session, frame, beside=position)
            made = self._encode(session, features, {key: entry for key, (_, entry) in found.items()})
            for key, (bank, _) in found.items():
                bank.keep_memory(frame, made[key])
            encoded |= made
            yield
        for selection in selections:
            selection.memories = [r._replace(entry=encoded.get(id(r.entry), r.entry)) for r in selection.memories]

    def _encode(
        self, session: Session, features: ImageFeatures, entries: Mapping[int, MemoryEntry]
    ) -> dict[int, MemoryEntry]:
        """Entries of one frame with their memories: of tracked frames made from the mask as predicted, of prompted ones
        from the mask as shown."""
        made: dict[int, MemoryEntry] = {}
        for prompted in (False, True):
            some = {key: entry for key, entry in entries.items() if entry.prompted == prompted}
            if some:
                pools = [session.pool] * len(some)
                made.update(zip(some, self._with_memories(features, pools, list(some.values())), strict=True))
        return made

    def _with_memories(
        self, features: ImageFeatures, pools: Sequence[Pool], entries: Sequence[MemoryEntry]
    ) -> list[MemoryEntry]:
        """N entries, all of them prompted or all tracked, with their memories; features of one picture or of N."""
        prompted, xp = entries[0].prompted, namespace(*(entry.mask for entry in entries))
        masks = xp.stack([entry.mask for entry in entries])[:, None]
        scores = xp.stack([entry.score for entry in entries])[:, None]
        harden = prompted and self.options.binarize_mask_from_pts_for_mem_enc
        masks = self.finish.clean(masks) if prompted else masks
        kept = keep_rows(pools, self.backend.write_memory(features, masks, scores, harden))
        return [entry.with_memory(memory) for entry, memory in zip(entries, kept, strict=True)]

    def _moment(self, session: Session, position: int, reverse: bool) -> Moment:
        """A frame with the pointer limit: the model's, or the video's length if that is shorter, as in the
        reference."""
        limit = self.backend.config.memory.max_obj_ptrs
        length = session.announced_frames
        return Moment(position, reverse, limit if length is None else max(2, min(limit, length)))

    def _prune(self, session: Session, tracks: Sequence[ObjectTrack], moment: Moment) -> None:
        """Let go what is not read any more of some objects."""
        if session.history == "full" and not session.frames.is_seekable:
            return  # what a stream has passed cannot be encoded again
        # the frames of a stream's window can still be prompted: they read what the oldest one does, and each other
        recent = frozenset(session.frames.recent() if isinstance(session.frames, LiveSource) else ())
        near = [*session.near, *([max(0, min(recent) - 1)] if recent else [])]
        moments = [moment, *(self._moment(session, position, moment.reverse) for position in near)]
        window = session.history == "window"
        for track in tracks:
            reaches = [self.policy.reach(h, m) for h in track.hypotheses for m in moments]
            reach = Reach(*(recent.union(*part) for part in zip(*reaches, strict=True)))
            reach = reach._replace(pointers=reach.pointers | track.verified | session.awaited)
            for hypothesis in track.hypotheses:
                hypothesis.bank.prune(reach, forget=window)
            if window:
                read = reach.memories | reach.pointers | track.bank.conditioning.keys()
                track.passed = {p: reverse for p, reverse in track.passed.items() if p in read}

    # -- results -------------------------------------------------------------------------------------------------------

    def result(self, session: Session, position: int, newest: bool = False) -> MaskletFrame:
        """All objects' masks on a frame; an object without any result there gets ABSENT_LOGIT.

        Args:
            newest: as the hypotheses that are best now have it, rather than as it was shown.
        """
        entries = session.entries(position, newest)
        h, w = (side // 4 for side in session.input_size)
        empty = on_device(np.zeros((0, 1, h, w), np.float32), self.backend.device)
        xp = namespace(empty)
        nothing: Any = None if all(entries) else self._nothing(h, w)
        found = [(floats(e.mask), floats(e.result.get()[2])) if e else nothing for e in entries]
        masks = xp.stack([mask for mask, _ in found])[:, None] if found else empty
        both = xp.stack([scores for _, scores in found]) if found else empty[:, 0, 0, :2]
        number = session.numbering.number(position)
        return MaskletFrame.from_low_res(
            number, session.obj_ids, masks, both[:, 0], both[:, 1], session.size, self.finish
        )

    def _nothing(self, height: int, width: int) -> tuple[Array, Array]:
        """Mask logits and scores of an object without any result."""
        mask = np.full((height, width), ABSENT_LOGIT, np.float32)
        scores = np.array([0.0, ABSENT_LOGIT], np.float32)
        return on_device(mask, self.backend.device), on_device(scores, self.backend.device)
