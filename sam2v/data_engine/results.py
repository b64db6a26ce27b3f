"""What units left: read and measured first, and then taken into the database.

Nobody else can write to a SQLite file while a transaction does, and masks of a long video take seconds to look at. So
every reader here does that first, and returns what is left to do within the transaction.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.project import Project
from sam2v.data_engine.queue import Note, TaskTaken, add_revision, move, proposal_priority
from sam2v.data_engine.schema import Masklet, Revision
from sam2v.data_engine.scores import mean_overlaps
from sam2v.data_engine.work import Work
from sam2v.jobs.units import Unit

#: Mean IoU from which on a found object is one that the project has.
_KNOWN = 0.5


@dataclass(frozen=True)
class PlannedUnit:
    """A unit of a run: its key, the video, and by the masklets' numbers their versions, or their revisions."""

    key: str
    video_id: int
    unit: Unit
    versions: dict[int, int]


#: Takes the result of a unit into the database; returns the number of masklets. May be called several times.
TakeIn = Callable[[Session], int]
ReadResult = Callable[[Project, PlannedUnit, dict[str, Any]], TakeIn]


def auto_found(project: Project, one: PlannedUnit, facts: dict[str, Any]) -> TakeIn:
    """Objects that were found become proposals, but for those that the project has already."""
    works = _works(project, one.unit, facts)
    known = _Known(project, works)
    names = project.database.read(lambda session: _files(session, one.video_id))
    known.shown_by(names)

    def take_in(session: Session) -> int:
        shown = known.shown_by(_files(session, one.video_id))  # whose masks were not changed meanwhile are not read
        last = session.scalar(select(func.max(Masklet.number)).where(Masklet.video_id == one.video_id)) or 0
        new = [found for number, found in works.items() if number not in shown]
        for number, (work, name) in enumerate(new, last + 1):
            about: Any = {"kind": "auto", "state": "proposed", "created": time.time()}
            row = Masklet(video_id=one.video_id, number=number, priority=proposal_priority(work.scores), **about)
            session.add(row)
            session.flush()
            row.revision_id = add_revision(session, row, work, name, None).id
        return len(new)

    return take_in


def proposed(project: Project, one: PlannedUnit, facts: dict[str, Any]) -> TakeIn:
    """Masks that were tracked anew, of masklets that nobody has changed since."""
    works = _works(project, one.unit, facts)

    def take_in(session: Session) -> int:
        count = 0
        for number, (work, name) in works.items():
            row = session.scalar(select(Masklet).where(Masklet.video_id == one.video_id, Masklet.number == number))
            if row is None or row.version != one.versions[number] or row.state != "proposed":
                continue  # somebody works on it, or has: their masks are newer
            revision = add_revision(session, row, work, name, None)
            changes = {"revision_id": revision.id, "priority": max(row.priority, proposal_priority(work.scores))}
            try:
                move(session, row, "proposed", Note(secrets.token_hex(16), text="proposed anew"), **changes)
            except TaskTaken:
                session.delete(revision)
                continue
            count += 1
        return count

    return take_in


def agreement_found(project: Project, one: PlannedUnit, facts: dict[str, Any]) -> TakeIn:
    """A score of revisions."""

    def take_in(session: Session) -> int:
        for number, value in facts["agreement"].items():
            revision = session.get_one(Revision, one.versions[int(number)])
            revision.scores = {**revision.scores, "agreement": value}
        return len(facts["agreement"])

    return take_in


def _works(project: Project, unit: Unit, facts: Mapping[str, Any]) -> dict[int, tuple[Work, str]]:
    """The masks that a unit left, measured, and what the project calls their files, by the objects' numbers."""
    found = {}
    for number in map(int, facts["masklets"]):
        path = unit.folder / f"{number:03d}.json"
        work = Work(MaskletMasks.load(path), [], 0, facts["model"])
        _ = work.scores
        found[number] = work, path.relative_to(project.folder).as_posix()
    return found


def _files(session: Session, video_id: int) -> list[str]:
    """The newest masks of a video's masklets, rejected ones as well: they need not be found again."""
    rows = select(Revision.masks).join(Masklet, Masklet.revision_id == Revision.id)
    return list(session.scalars(rows.where(Masklet.video_id == video_id)))


class _Known:
    """Which of the found objects are those of masks that the project has.

    Args:
        project: whose files. works: what was found, by number.
    """

    def __init__(self, project: Project, works: Mapping[int, tuple[Work, str]]) -> None:
        self._project, self._shown = project, dict[str, set[int]]()
        self._new = {number: work.masks for number, (work, _) in works.items()}

    def shown_by(self, names: Iterable[str]) -> set[int]:
        """Numbers of the objects that files show; every file is read once."""
        unread = [name for name in names if name not in self._shown]
        masks = [MaskletMasks.load(self._project.file(name)) for name in unread]
        overlaps = mean_overlaps(list(self._new.values()), masks)
        for name, column in zip(unread, overlaps.T, strict=True):
            self._shown[name] = {number for number, value in zip(self._new, column, strict=True) if value >= _KNOWN}
        return set().union(*(self._shown[name] for name in names))
