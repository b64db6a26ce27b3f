"""Who works on what: tasks are handed out once, and what is handed in changes only what its author saw."""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from sqlalchemy import Select, and_, exists, func, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased

from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.project import Project
from sam2v.data_engine.schema import UNREADABLE, ActRow, Annotator, Event, Masklet, Revision, TaskKind, Video
from sam2v.data_engine.work import Work

_LOOKED_AT = 8
#: Priorities: what was sent back, objects that nobody found yet (1 to 2), proposals (0 to 1, see
#: `proposal_priority`), and what was given back, so much below that.
_SENT_BACK, _GIVEN_BACK = 3.0, 10.0


class TaskTaken(RuntimeError):
    """A task changed since it was handed out: it is somebody else's now. Nothing was changed."""


@dataclass(frozen=True)
class Task:
    """A masklet that somebody works on.

    Attributes:
        masklet_id, version: which, as it was handed out. kind: annotate or verify. annotator_id: to whom.
        video, path: the video's name, and where it is. number: the object's id in it.
        revision_id: of the masks so far; None: an object that nobody covers is to be found. masks: their file.
        note: what verification said.
    """

    masklet_id: int
    version: int
    kind: TaskKind
    annotator_id: int
    video_id: int
    video: str
    path: Path
    number: int
    revision_id: int | None
    masks: Path | None
    note: str = ""

    def load(self) -> MaskletMasks | None:
        """The masks so far."""
        return None if self.masks is None else MaskletMasks.load(self.masks)


class Queue:
    """The tasks of a project. Any number of processes may use one at once."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def take(self, annotator_id: int, kind: TaskKind) -> Task | None:
        """The next task for somebody, None if there is none; the one they have already, if they have one.

        Nobody verifies their own work; of a video with several objects to be found one is handed out at a time.
        """
        if kind not in ("annotate", "verify"):
            raise ValueError(f"a task is to annotate or to verify, got {kind!r}")
        return self.project.database.write(lambda session: self._take(session, annotator_id, kind))

    def held(self, annotator_id: int) -> Task | None:
        """A task that somebody has, None if they have none."""

        def find(session: Session) -> Task | None:
            own = select(Masklet).where(Masklet.annotator_id == annotator_id, Masklet.state == "assigned")
            row = session.scalar(own.order_by(Masklet.assigned, Masklet.id).limit(1))
            return None if row is None else self._task(session, row, cast(TaskKind, row.task), annotator_id)

        return self.project.database.read(find)

    def waiting(self, annotator_id: int) -> dict[TaskKind, int]:
        """How many tasks of either kind somebody might get."""

        def count(session: Session, kind: TaskKind) -> int:
            every = _waiting(annotator_id, kind).limit(None).order_by(None).subquery()
            return session.scalar(select(func.count()).select_from(every)) or 0

        return self.project.database.read(lambda s: {kind: count(s, kind) for kind in get_args(TaskKind)})

    def submit(self, task: Task, work: Work) -> int:
        """Hand in masks; returns the id of the revision. The masks are on disk before the database knows of them.

        Raises:
            TaskTaken: it is not this annotator's task any more. OSError: the disk or the database refuses; the task
                stays as it is, and may be handed in again.
        """
        _check(task, "annotate")
        key = secrets.token_hex(16)
        name = f"masks/{task.video_id}/{task.masklet_id}/{key}.json"
        path = self.project.file(name)
        _ = work.scores  # before others wait for the transaction
        work.masks.save(path)

        def keep(session: Session) -> int:
            done = session.scalar(select(Event).where(Event.key == key))
            if done is not None and done.revision_id is not None:
                return done.revision_id
            row = self._held(session, task)
            revision = add_revision(session, row, work, name, task.annotator_id)
            changes = {"revision_id": revision.id, "kind": "manual", "priority": 1.0}
            note = Note(key, task.annotator_id, work.active_seconds)
            move(session, row, "annotated", note, **changes)
            return revision.id

        try:
            return self.project.database.write(keep)
        except TaskTaken:
            path.unlink(missing_ok=True)
            raise

    def judge(self, task: Task, satisfactory: bool, seconds: float = 0.0, note: str = "") -> None:
        """Verify masks, or send them back to be refined; raises as `submit`."""
        _check(task, "verify")
        changes: dict[str, Any] = {} if satisfactory else {"priority": _SENT_BACK, "sent_back": Masklet.sent_back + 1}
        self._settle(task, "verified" if satisfactory else "proposed", seconds, note, changes)

    def reject(self, task: Task, seconds: float = 0.0, note: str = "") -> None:
        """Give up an object: it has no clear boundary, or there is none; raises as `submit`."""
        self._settle(task, "rejected", seconds, note, {})

    def give_back(self, task: Task, seconds: float = 0.0) -> None:
        """Leave a task to somebody else, who gets it after the others; raises as `submit`."""
        self._settle(task, None, seconds, "given back", {"priority": Masklet.priority - _GIVEN_BACK})

    def release(self, older_than: float) -> int:
        """Take tasks back that were handed out more than so many seconds ago; returns how many.

        Whoever has them cannot hand them in any more.
        """
        before = time.time() - older_than

        def free(session: Session) -> int:
            rows = session.scalars(select(Masklet).where(Masklet.state == "assigned", Masklet.assigned <= before)).all()
            freed = 0
            for row in rows:
                note = Note(secrets.token_hex(16), row.annotator_id, 0.0, "released")
                with contextlib.suppress(TaskTaken):  # handed in at this moment
                    move(session, row, row.before or "proposed", note)
                    freed += 1
            return freed

        return self.project.database.write(free)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _take(self, session: Session, annotator_id: int, kind: TaskKind) -> Task | None:
        # somebody who asks twice at once gets one task
        session.execute(select(Annotator.id).where(Annotator.id == annotator_id).with_for_update(key_share=True))
        own = select(Masklet).where(Masklet.annotator_id == annotator_id, Masklet.state == "assigned")
        row = session.scalar(own.where(Masklet.task == kind).limit(1))
        if row is not None:
            return self._task(session, row, kind, annotator_id)
        while True:
            rows = session.scalars(_waiting(annotator_id, kind), execution_options={"populate_existing": True}).all()
            if not rows:
                return None
            for row in rows:  # each may be somebody else's by now
                if self._claim(session, row, annotator_id, kind):
                    return self._task(session, row, kind, annotator_id)

    def _claim(self, session: Session, row: Masklet, annotator_id: int, kind: TaskKind) -> bool:
        """Assign a task, unless somebody else got it at the same moment."""
        if row.revision_id is None and not _claim_video(session, row.video_id):
            return False
        changes = {"task": kind, "annotator_id": annotator_id, "assigned": time.time(), "before": row.state}
        try:
            move(session, row, "assigned", Note(secrets.token_hex(16), annotator_id), **changes)
        except TaskTaken:
            return False
        return True

    def _task(self, session: Session, row: Masklet, kind: TaskKind, annotator_id: int) -> Task:
        session.refresh(row)
        video = session.get_one(Video, row.video_id)
        revision = None if row.revision_id is None else session.get_one(Revision, row.revision_id)
        said = select(Event.note).where(Event.masklet_id == row.id, Event.task == "verify", Event.note != "")
        note = session.scalar(said.order_by(Event.id.desc()).limit(1)) or "" if row.sent_back else ""
        masks = None if revision is None else self.project.file(revision.masks)
        about = (video.id, video.name, Path(video.path), row.number, row.revision_id, masks, note)
        return Task(row.id, row.version, kind, annotator_id, *about)

    def _held(self, session: Session, task: Task) -> Masklet:
        row = session.get(Masklet, task.masklet_id)
        if row is None or row.version != task.version or row.annotator_id != task.annotator_id:
            raise TaskTaken(f"object {task.number} of {task.video}: the task was taken back, and is not yours any more")
        return row

    def _settle(self, task: Task, after: str | None, seconds: float, note: str, changes: dict[str, Any]) -> None:
        key = secrets.token_hex(16)

        def keep(session: Session) -> None:
            if session.scalar(select(Event.id).where(Event.key == key)) is None:
                row = self._held(session, task)
                what = Note(key, task.annotator_id, seconds, note[:1000])
                move(session, row, after or row.before or "proposed", what, **changes)

        self.project.database.write(keep)


@dataclass(frozen=True)
class Note:
    """What an event says of a change: the call's key, who, how many active seconds it took, and a remark."""

    key: str
    annotator_id: int | None = None
    seconds: float = 0.0
    text: str = ""


def move(session: Session, row: Masklet, after: str, note: Note, **changes: Any) -> None:
    """Change a masklet's state, if it is as `row` says it is, and write down that it was.

    Raises:
        TaskTaken: it changed meanwhile.
    """
    freed = {"task": None, "annotator_id": None, "assigned": None, "before": None}
    values = {**freed, **changes, "state": after, "version": row.version + 1}
    seen = and_(Masklet.id == row.id, Masklet.version == row.version)
    statement = update(Masklet).where(seen).values(**values).execution_options(synchronize_session=False)
    if _count(session, statement) != 1:
        raise TaskTaken(f"masklet {row.id} changed meanwhile")
    task, before = changes.get("task", row.task), row.state
    about = {"key": note.key, "masklet_id": row.id, "annotator_id": note.annotator_id, "at": time.time()}
    revision_id = changes.get("revision_id", row.revision_id)
    event = Event(**about, before=before, after=after, task=task, seconds=note.seconds, note=note.text)
    event.revision_id = revision_id
    session.add(event)
    session.flush()
    session.expire(row)


def add_revision(session: Session, row: Masklet, work: Work, masks: str, annotator_id: int | None) -> Revision:
    """Write down new masks of a masklet, whose file is there; `masks` is its name in the project."""
    last = session.scalar(select(func.max(Revision.number)).where(Revision.masklet_id == row.id)) or 0
    revision = Revision(
        masklet_id=row.id,
        number=last + 1,
        masks=masks,
        annotator_id=annotator_id,
        model=work.model,
        phase=work.phase,
        frames=len(work.masks.rows),
        edited=work.edited,
        clicks=work.count("click"),
        strokes=work.count("stroke"),
        active_seconds=work.active_seconds,
        model_seconds=work.model_seconds,
        scores=work.scores,
        created=time.time(),
    )
    session.add(revision)
    session.flush()
    for act in work.acts:
        about = {"frame": act.frame, "kind": act.kind, "data": act.data, "seconds": act.seconds}
        session.add(ActRow(revision_id=revision.id, **about))
    return revision


def proposal_priority(scores: dict[str, Any]) -> float:
    """0 to 1: proposals that the model is least sure of come first."""
    return 1.0 - min(max(float(scores.get("iou_low", 0.0)), 0.0), 1.0)


def _waiting(annotator_id: int, kind: TaskKind) -> Select[Any]:
    """Masklets that may be handed out, the best first."""
    found = select(Masklet).join(Video, Video.id == Masklet.video_id).where(Video.status != UNREADABLE)
    if kind == "verify":
        own = exists().where(Revision.id == Masklet.revision_id, Revision.annotator_id == annotator_id)
        found = found.where(Masklet.state == "annotated", ~own)
    else:
        other = aliased(Masklet)
        looking = and_(other.video_id == Masklet.video_id, other.revision_id.is_(None), other.state == "assigned")
        free = or_(Masklet.revision_id.is_not(None), ~exists().where(looking))
        found = found.where(Masklet.state == "proposed", free)
    return found.order_by(Masklet.priority.desc(), Masklet.id).limit(_LOOKED_AT)


def _claim_video(session: Session, video_id: int) -> bool:
    """Whether nobody else began to look for an object of a video at the same moment."""
    version = select(Video.version).where(Video.id == video_id)
    seen = session.scalar(version)
    looking = exists().where(Masklet.video_id == video_id, Masklet.revision_id.is_(None), Masklet.state == "assigned")
    statement = update(Video).where(Video.id == video_id, Video.version == seen).values(version=Video.version + 1)
    if _count(session, statement.execution_options(synchronize_session=False)) != 1:
        return False
    return not session.scalar(select(looking))


def _count(session: Session, statement: Any) -> int:
    found: CursorResult[Any] = session.execute(statement)  # type: ignore[assignment]
    return found.rowcount


def _check(task: Task, kind: TaskKind) -> None:
    if task.kind != kind:
        raise ValueError(f"object {task.number} of {task.video} was handed out to {task.kind}, not to {kind}")
