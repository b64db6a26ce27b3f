"""Automatic verification: masklets that are surely right need nobody to look at them.

How sure one can be is learnt from what people verified: a logistic regression over a few numbers per masklet, and the
lowest score from which on the wanted share of the accepted ones is right. Scores are made by regressions that have not
seen the masklet, in none of its revisions (leave one group out), so that precision and recall are those of masklets to
come. A random share goes to people whatever its score, so that they stay known. A number that was not measured counts
as the mean: what was refined since has other numbers than what was verified, and must not be known by that.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from sam2v.data_engine.project import Project
from sam2v.data_engine.queue import Note, TaskTaken, move
from sam2v.data_engine.schema import Event, Masklet, Revision

#: What is looked at, see `sam2v.data_engine.scores.scores_of`; and where `runs.run_agree` of this package measured it,
#: how well masks agree with those of tracking backwards.
FEATURES = ("iou", "iou_low", "score_low", "stability", "area_jump", "speed", "agreement")
#: Verdicts of either kind without which nothing is learnt.
LEAST = 5
_GROUPS, _RIDGE, _STEPS = 5, 1.0, 50


@dataclass(frozen=True)
class Rule:
    """What was learnt from verdicts.

    Attributes:
        mean, scale, weights: of the features, and the constant at the end of the weights.
        threshold: score from which on masklets are accepted; infinite where no score reaches the precision.
        precision, recall: of the verdicts that the rule gives on masklets it has not seen; NaN where none is accepted.
        samples, right: verdicts that were learnt from, and how many of them were "satisfactory".
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    threshold: float
    precision: float
    recall: float
    samples: int
    right: int

    def score(self, scores: Mapping[str, Any]) -> float:
        """0 to 1: how sure it is that masks with these scores are satisfactory."""
        values, mean = _features(scores), np.array(self.mean)
        values = (np.where(np.isfinite(values), values, mean) - mean) / np.array(self.scale)
        return float(_logistic(np.append(values, 1.0) @ np.array(self.weights)))


@dataclass(frozen=True)
class Checked:
    """What automatic verification did: masklets that were accepted, those left to people for their score, and those
    drawn at random."""

    rule: Rule
    accepted: int
    left: int
    drawn: int


def learn(
    samples: Sequence[tuple[Mapping[str, Any], bool]], precision: float, masklets: Sequence[int] | None = None
) -> Rule:
    """Learn from verdicts of people.

    Args:
        samples: scores of masks, and whether they were satisfactory. precision: wanted, 0 to 1.
        masklets: whose masks they are, None: each another one's.

    Raises:
        ValueError: too few verdicts of a kind, or a precision that is none.
    """
    if not 0 < precision <= 1:
        raise ValueError(f"precision must be above 0 and at most 1, got {precision}")
    right = sum(good for _, good in samples)
    if min(right, len(samples) - right) < LEAST:
        raise ValueError(
            f"people gave {right} satisfactory and {len(samples) - right} other verdicts: at least {LEAST} of either"
            " are needed to learn from"
        )
    values = np.stack([_features(scores) for scores, _ in samples])
    good = np.array([verdict for _, verdict in samples])
    known = np.isfinite(values)
    mean = np.where(known, values, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    values = np.where(known, values, mean)
    scale = np.maximum(values.std(0), 1e-6)
    rows = np.column_stack([(values - mean) / scale, np.ones(len(values))])
    unseen = np.empty(len(rows))
    whose = np.arange(len(rows)) if masklets is None else np.unique(masklets, return_inverse=True)[1]
    for group in range(_GROUPS):
        out = whose % _GROUPS == group
        unseen[out] = _logistic(rows[out] @ _fitted(rows[~out], good[~out]))
    threshold, reached, recall = _cut(unseen, good, precision)
    weights = _fitted(rows, good)
    about = (threshold, reached, recall, len(samples), right)
    return Rule(tuple(mean.tolist()), tuple(scale.tolist()), tuple(weights.tolist()), *about)


def check(project: Project, precision: float = 0.95, share: float = 0.1) -> Checked:
    """Verify what waits for verification, and automatic proposals, where the rule is sure enough.

    Args:
        precision: wanted among those that are accepted. share: of the masklets that people verify in any case.

    Raises:
        ValueError: a share or a precision that is none, or too few verdicts to learn from.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], got {share}")
    found = project.database.read(_verdicts)
    rule = learn([(scores, good) for _, scores, good in found], precision, [masklet for masklet, _, _ in found])
    key = secrets.token_hex(16)
    return project.database.write(lambda session: _check(session, project.token, rule, share, key))


def _check(session: Session, token: str, rule: Rule, share: float, key: str) -> Checked:
    waiting = (Masklet.state == "annotated") | ((Masklet.state == "proposed") & (Masklet.kind == "auto"))
    rows = select(Masklet, Revision).join(Revision, Revision.id == Masklet.revision_id)
    accepted = left = drawn = 0
    for masklet, revision in session.execute(rows.where(waiting, Masklet.sent_back == 0).order_by(Masklet.id)).all():
        if is_drawn(token, masklet.id, share):
            masklet.sampled = True
            drawn += 1
            continue
        score = rule.score(revision.scores)
        if score < rule.threshold:
            left += 1
            continue
        note = Note(f"{key}-{masklet.id}", text=f"automatic, score {score:.3f}")
        try:
            move(session, masklet, "verified", note)
        except TaskTaken:
            continue
        accepted += 1
    return Checked(rule, accepted, left, drawn)


def is_drawn(token: str, masklet_id: int, share: float) -> bool:
    """Whether a masklet is one of the random share that goes to people: always the same, and no pattern in it."""
    place = hashlib.sha256(f"{token}-{masklet_id}".encode()).digest()[:8]
    return int.from_bytes(place, "big") / 2**64 < share


def _verdicts(session: Session) -> list[tuple[int, dict[str, Any], bool]]:
    """Masklet, scores and verdict of everything that people verified; of one masklet those of every revision."""
    rows = select(Event.masklet_id, Revision.scores, Event.after).join(Event, Event.revision_id == Revision.id)
    people = rows.where(Event.task == "verify", Event.annotator_id.is_not(None), Event.before == "assigned")
    found = session.execute(people.where(Event.after.in_(("verified", "proposed", "rejected"))).order_by(Event.id))
    return [(masklet, scores, after == "verified") for masklet, scores, after in found]


def _features(scores: Mapping[str, Any]) -> np.ndarray:
    """The numbers that are looked at, NaN where one was not measured."""
    values = [scores.get(name) for name in FEATURES]
    found = [math.nan if value is None or not math.isfinite(value) else float(value) for value in values]
    return np.array([math.tanh(v / 10) if name == "score_low" else v for name, v in zip(FEATURES, found, strict=True)])


def _logistic(values: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(values, -50, 50)))


def _fitted(rows: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression with a ridge, by Newton's method; the constant is not held back."""
    weights = np.zeros(rows.shape[1])
    ridge = _RIDGE * np.eye(len(weights))
    ridge[-1, -1] = 1e-3
    for _ in range(_STEPS):
        chance = _logistic(rows @ weights)
        slope = rows.T @ (chance - good) + ridge @ weights
        bend = rows.T @ (rows * (chance * (1 - chance))[:, None]) + ridge
        step = np.linalg.solve(bend, slope)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def _cut(scores: np.ndarray, good: np.ndarray, precision: float) -> tuple[float, float, float]:
    """(threshold, precision, recall): the lowest score from which on the wanted share is right."""
    best = (math.inf, math.nan, 0.0)
    for threshold in np.unique(scores)[::-1].tolist():
        taken = scores >= threshold
        reached = float(good[taken].mean())
        if reached >= precision:
            best = threshold, reached, float(good[taken].sum() / good.sum())
    return best
