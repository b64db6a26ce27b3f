"""How far a project is, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from sam2v.data_engine.database import pairs
from sam2v.data_engine.project import Project
from sam2v.data_engine.schema import STATES, UNREADABLE, Annotator, Event, JobRow, Masklet, Revision, Video


@dataclass(frozen=True)
class PhaseCosts:
    """What annotating took in one phase.

    Attributes:
        masklets: revisions that people or simulated annotators handed in. frames: annotated frames of them.
        edited: of these, edited ones. clicks, strokes: on them. active_seconds, model_seconds: in all.
    """

    masklets: int
    frames: int
    edited: int
    clicks: int
    strokes: int
    active_seconds: float
    model_seconds: float

    @property
    def edited_share(self) -> float:
        """Share of the annotated frames that were edited."""
        return self.edited / max(self.frames, 1)

    @property
    def clicks_per_edited_frame(self) -> float:
        """Clicks and strokes on an edited frame."""
        return (self.clicks + self.strokes) / max(self.edited, 1)


@dataclass(frozen=True)
class Status:
    """A project at one moment.

    Attributes:
        videos: number by status (new, ready, unreadable). masklets: number by kind (manual, auto) and state.
        to_annotate, to_verify: tasks that wait, of videos that can be read. phases: costs by phase.
        people: by annotator (tasks handed in or judged, active seconds, also those of tasks that were given back).
        failed: videos in which a run failed.
    """

    videos: dict[str, int]
    masklets: dict[str, dict[str, int]]
    to_annotate: int
    to_verify: int
    phases: dict[int, PhaseCosts]
    people: dict[str, tuple[int, float]]
    failed: int

    def lines(self) -> list[str]:
        """For people to read."""
        counted = ", ".join(f"{count} {status}" for status, count in self.videos.items()) or "none"
        lines = [f"videos      {sum(self.videos.values())}: {counted}"]
        for kind, states in self.masklets.items():
            named = ", ".join(f"{states[state]} {state}" for state in STATES if states.get(state))
            lines.append(f"{kind:11} {sum(states.values())}: {named}")
        lines.append(f"waiting     {self.to_annotate} to annotate, {self.to_verify} to verify")
        for phase, costs in self.phases.items():
            lines.append(
                f"phase {phase}     {costs.masklets} masklets, {100 * costs.edited_share:.1f} % of frames edited, "
                f"{costs.clicks_per_edited_frame:.2f} clicks and strokes on each, "
                f"{costs.active_seconds / max(costs.frames, 1):.2f} active s a frame"
            )
        for name, (tasks, seconds) in self.people.items():
            lines.append(f"{name:11} {tasks} tasks, {seconds / 60:.1f} active minutes")
        return [*lines, f"failed      {self.failed} videos of runs"] if self.failed else lines


def status_of(project: Project) -> Status:
    """Count everything."""
    return project.database.read(_status)


def _status(session: Session) -> Status:
    counted = select(Masklet.kind, Masklet.state, func.count()).group_by(Masklet.kind, Masklet.state)
    masklets: dict[str, dict[str, int]] = {}
    for kind, state, count in session.execute(counted):
        masklets.setdefault(kind, {})[state] = count
    videos = select(Video.status, func.count()).group_by(Video.status).order_by(Video.status)
    queued = select(Masklet.state, func.count()).join(Video, Video.id == Masklet.video_id)
    waiting = pairs(session, queued.where(Video.status != UNREADABLE).group_by(Masklet.state))
    failed = select(func.count(JobRow.video_id.distinct())).where(JobRow.status == "failed")
    return Status(
        pairs(session, videos),
        dict(sorted(masklets.items())),
        waiting.get("proposed", 0),
        waiting.get("annotated", 0),
        costs_by_phase(session),
        _people(session),
        session.scalar(failed) or 0,
    )


def costs_by_phase(session: Session) -> dict[int, PhaseCosts]:
    """What annotating took, by phase."""
    names = ("frames", "edited", "clicks", "strokes", "active_seconds", "model_seconds")
    sums: list[Any] = [func.sum(getattr(Revision, name)) for name in names]
    rows = select(Revision.phase, func.count(), *sums).where(Revision.annotator_id.is_not(None))
    found = session.execute(rows.group_by(Revision.phase).order_by(Revision.phase))
    return {phase: PhaseCosts(*numbers) for phase, *numbers in found}


def _people(session: Session) -> dict[str, tuple[int, float]]:
    handed_in = (Event.task == "annotate") & Event.after.in_(("annotated", "rejected"))
    judged = (Event.task == "verify") & Event.after.in_(("verified", "proposed", "rejected"))
    counted = func.sum(case((handed_in | judged, 1), else_=0))  # not what was given back, or taken back
    done = select(Annotator.name, counted, func.sum(Event.seconds)).join(Event, Event.annotator_id == Annotator.id)
    rows = session.execute(done.where(Event.before == "assigned").group_by(Annotator.name).order_by(Annotator.name))
    return {name: (int(count), float(seconds)) for name, count, seconds in rows}
