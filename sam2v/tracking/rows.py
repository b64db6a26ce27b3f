"""Hypotheses of objects as rows of a batch: which there are, and which live on after a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import groupby
from typing import NamedTuple

import numpy as np

from sam2v.arrays import device_of, on_device
from sam2v.memory import Candidates, Choice, Commit, Hypothesis, MemoryBank, MemoryEntry, MemoryPolicy, Moment
from sam2v.model.values import Answer, Prediction
from sam2v.tracking.tracks import ObjectTrack


class Row(NamedTuple):
    """One hypothesis of one object."""

    track: ObjectTrack
    hypothesis: Hypothesis


class Outcome(NamedTuple):
    """What a frame made of rows: those that live on, their answers, and as what these are kept."""

    rows: list[Row]
    answer: Answer
    commits: list[Commit]


def rows_of(tracks: Sequence[ObjectTrack]) -> list[Row]:
    """All hypotheses of some objects, object after object."""
    return [Row(track, hypothesis) for track in tracks for hypothesis in track.hypotheses]


def live_on(policy: MemoryPolicy, rows: list[Row], prediction: Prediction, moment: Moment) -> Outcome:
    """Let the policy say which candidate masks live on, and as what they are kept.

    Where it does not look at them, each row's own best candidate does, without anything being read on the host.
    """
    if not policy.looks:
        return Outcome(rows, prediction.pick(), [Commit()] * len(rows))
    survivors, commits, picks = [], [], []
    for start, track, hypotheses in _by_object(rows):
        candidates = Candidates(prediction, slice(start, start + len(hypotheses)))
        choices = policy.choose(hypotheses, candidates, moment)
        if not choices:
            raise ValueError(f"{type(policy).__name__}.choose gave no candidate: at least one lives on")
        for choice, hypothesis in zip(choices, _branched(hypotheses, choices), strict=True):
            survivors.append(Row(track, hypothesis))
            commits.append(policy.commit(hypothesis, candidates, choice, moment))
            picks.append((start + choice.row, choice.mask))
    row, mask = on_device(np.array(picks, np.int64).T, device_of(prediction.iou))
    chosen = Prediction(*(part[row] for part in prediction)).pick(mask[:, None])
    return Outcome(survivors, chosen, commits)


def remember(rows: Sequence[Row], entries: Sequence[MemoryEntry], commits: Sequence[Commit], position: int) -> None:
    """Write a frame's entries into the banks of the rows that live on."""
    written = zip(rows, entries, commits, strict=True)
    for _, group in groupby(written, key=lambda item: id(item[0].track)):
        own = list(group)
        track = own[0][0].track
        if len(own) == 1 and len(track.hypotheses) > 1:
            own[0][0].hypothesis.bank.settle()
        track.hypotheses = [row.hypothesis for row, _, _ in own]
        for row, entry, commit in own:
            row.hypothesis.bank.put(position, entry, commit.keep == "anchor", alone=len(own) == 1)
        if len(own) > 1:
            track.bank.show(position, own[0][1])


def _by_object(rows: list[Row]) -> Iterator[tuple[int, ObjectTrack, list[Hypothesis]]]:
    """(first row, object, its hypotheses)."""
    start = 0
    for _, group in groupby(rows, key=lambda row: id(row.track)):
        own = list(group)
        yield start, own[0].track, [row.hypothesis for row in own]
        start += len(own)


def _branched(hypotheses: Sequence[Hypothesis], choices: Sequence[Choice]) -> Iterator[Hypothesis]:
    """The hypotheses that go on: a single one as it is, several as copies that share their past."""
    for choice in choices:
        before = hypotheses[choice.row]
        bank = before.bank if len(hypotheses) == len(choices) == 1 else MemoryBank(before.bank)
        yield Hypothesis(bank, deepcopy(before.memo), choice.score)
