"""Hypotheses of objects as rows of a batch, also of several videos: which there are, what each of them reads and is
shown, and which live on after a frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from itertools import groupby
from typing import NamedTuple

import numpy as np

from sam2v.arrays import Array, device_of, floats, namespace, on_device
from sam2v.memory import (
    Candidates,
    Choice,
    Commit,
    Hypothesis,
    MemoryBank,
    MemoryEntry,
    MemoryPolicy,
    Moment,
    Pool,
    Selection,
)
from sam2v.memory.pool import keep_rows
from sam2v.model.offered import ABSENT_LOGIT
from sam2v.model.values import Answer, ImageFeatures, Prediction
from sam2v.tracking.session import Session
from sam2v.tracking.tracks import ObjectTrack

#: Rows of several videos that one batch has at most: so many fill a device, and each has features of its own there.
SHARED_ROWS = 16


class Step(NamedTuple):
    """A session that is to be tracked to a frame.

    Attributes:
        session: it. position: the frame's. reverse: whether tracking goes towards the beginning.
        obj_ids: the objects that are tracked, the others staying as they are; None means all.
    """

    session: Session
    position: int
    reverse: bool = False
    obj_ids: Collection[int] | None = None


class Visit(NamedTuple):
    """A session on the frame that it is tracked to.

    Attributes:
        session: it. moment: the frame. chosen: the objects that are tracked.
    """

    session: Session
    moment: Moment
    chosen: list[ObjectTrack]

    @property
    def prompted(self) -> list[ObjectTrack]:
        """Objects that have a prompt, and are not verified on the frame."""
        position = self.moment.frame_idx
        return [track for track in self.chosen if track.bank.has_start and position not in track.verified]

    def rows(self) -> list[Row]:
        """All hypotheses of the objects that move, object after object: those prompted on the frame keep what they
        have."""
        moving = [track for track in self.prompted if self.moment.frame_idx not in track.bank.conditioning]
        return [Row(track, hypothesis, self) for track in moving for hypothesis in track.hypotheses]


class Row(NamedTuple):
    """One hypothesis of one object, and where it is."""

    track: ObjectTrack
    hypothesis: Hypothesis
    visit: Visit


class Reading(NamedTuple):
    """Rows of one session, at least one, and what they read."""

    visit: Visit
    rows: list[Row]
    selections: list[Selection]


class Outcome(NamedTuple):
    """What a frame made of rows: those that live on, their answers, and as what these are kept."""

    rows: list[Row]
    answer: Answer
    commits: list[Commit]


def in_batches(readings: Sequence[Reading]) -> Iterator[list[Reading]]:
    """Sessions whose rows share a batch: inputs of one size, and at most `SHARED_ROWS`; one with more is by itself."""
    batches: dict[tuple[int, int], list[Reading]] = {}
    for reading in sorted(readings, key=lambda reading: len(reading.rows)):
        batch = batches.setdefault(reading.visit.session.input_size, [])
        if batch and sum(len(other.rows) for other in batch) + len(reading.rows) > SHARED_ROWS:
            yield list(batch)
            batch.clear()
        batch.append(reading)
    yield from batches.values()


def features_of_rows(pictures: Sequence[ImageFeatures], visits: Sequence[Visit], rows: Sequence[Row]) -> ImageFeatures:
    """What rows are shown: one picture if they are all on it, else as many as there are rows.

    Args:
        pictures: what was encoded at each of the visits, batch 1. rows: of these visits.
    """
    if len(pictures) == 1:
        return pictures[0]
    known = {id(visit): picture for visit, picture in zip(visits, pictures, strict=True)}
    shown = [known[id(row.visit)] for row in rows]
    xp = namespace(shown[0].stride16)
    return ImageFeatures(*(xp.concat(list(level)) for level in zip(*shown, strict=True)))


def live_on(policy: MemoryPolicy, rows: list[Row], prediction: Prediction) -> Outcome:
    """Let the policy say which candidate masks live on, and as what they are kept.

    Where it does not look at them, each row's own best candidate does, without anything being read on the host.
    """
    if not policy.looks:
        return Outcome(rows, prediction.pick(), [Commit()] * len(rows))
    survivors, commits, picks = [], [], []
    for start, (track, _, visit), hypotheses in _by_object(rows):
        candidates, moment = Candidates(prediction, slice(start, start + len(hypotheses))), visit.moment
        choices = policy.choose(hypotheses, candidates, moment)
        if not choices:
            raise ValueError(f"{type(policy).__name__}.choose gave no candidate: at least one lives on")
        for choice, hypothesis in zip(choices, _branched(hypotheses, choices), strict=True):
            survivors.append(Row(track, hypothesis, visit))
            commits.append(policy.commit(hypothesis, candidates, choice, moment))
            picks.append((start + choice.row, choice.mask))
    row, mask = on_device(np.array(picks, np.int64).T, device_of(prediction.iou))
    chosen = Prediction(*(part[row] for part in prediction)).pick(mask[:, None])
    return Outcome(survivors, chosen, commits)


def refused(outcome: Outcome, no_obj_ptr: Array) -> Answer:
    """The answers, of which those that the policy refuses say that the object is absent.

    Args:
        no_obj_ptr: the pointer of an object that is not there, 1 x C.
    """
    answer, absent = outcome.answer, [commit.keep == "absent" for commit in outcome.commits]
    if not any(absent):
        return answer
    rows = on_device(np.array(absent)[:, None], device_of(answer.mask))
    xp = namespace(answer.mask)
    return answer._replace(
        mask=xp.where(rows[..., None, None], ABSENT_LOGIT, answer.mask),
        pointer=xp.where(rows, floats(no_obj_ptr), answer.pointer),
        object_score=xp.where(rows, -xp.abs(answer.object_score), answer.object_score),
    )


def entries_of(
    pools: Sequence[Pool], answer: Answer, commits: Sequence[Commit], prompted: bool = False
) -> list[MemoryEntry]:
    """One entry per row, without its memory, kept in the row's pool."""
    scores = namespace(answer.iou).concat([answer.iou, answer.object_score], axis=1)
    rows = zip(keep_rows(pools, answer.mask[:, 0], answer.pointer, scores), commits, strict=True)
    return [MemoryEntry(kept, None, prompted, commit.keep != "result", commit.facts) for kept, commit in rows]


def remember(rows: Sequence[Row], entries: Sequence[MemoryEntry], commits: Sequence[Commit]) -> None:
    """Write what frames made of rows into the banks of those that live on."""
    written = zip(rows, entries, commits, strict=True)
    for _, group in groupby(written, key=lambda item: id(item[0].track)):
        own = list(group)
        track, position = own[0][0].track, own[0][0].visit.moment.frame_idx
        if len(own) == 1 and len(track.hypotheses) > 1:
            own[0][0].hypothesis.bank.settle()
        track.hypotheses = [row.hypothesis for row, _, _ in own]
        for row, entry, commit in own:
            row.hypothesis.bank.put(position, entry, commit.keep == "anchor", alone=len(own) == 1)
        if len(own) > 1:
            track.bank.show(position, own[0][1])


def _by_object(rows: list[Row]) -> Iterator[tuple[int, Row, list[Hypothesis]]]:
    """(number of an object's first row, that row, its hypotheses)."""
    start = 0
    for _, group in groupby(rows, key=lambda row: id(row.track)):
        own = list(group)
        yield start, own[0], [row.hypothesis for row in own]
        start += len(own)


def _branched(hypotheses: Sequence[Hypothesis], choices: Sequence[Choice]) -> Iterator[Hypothesis]:
    """The hypotheses that go on: a single one as it is, several as copies that share their past."""
    for choice in choices:
        before = hypotheses[choice.row]
        bank = before.bank if len(hypotheses) == len(choices) == 1 else MemoryBank(before.bank)
        yield Hypothesis(bank, deepcopy(before.memo), choice.score)
