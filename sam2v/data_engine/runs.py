"""Runs over the videos of a project: units go to workers, and what comes back is committed video by video."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sam2v.automatic.masklet_options import MaskletOptions
from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.project import Project
from sam2v.data_engine.results import PlannedUnit, ReadResult, TakeIn, agreement_found, auto_found, proposed
from sam2v.data_engine.schema import UNREADABLE, ActRow, JobRow, Masklet, Revision, Video
from sam2v.data_engine.tools import ModelSpec
from sam2v.data_engine.video_work import AgreeWork, AutoTask, AutoWork, ProposeTask, ProposeWork, Seed
from sam2v.jobs.parts import fingerprint, plain
from sam2v.jobs.units import Hire, Outcome, Unit, UnitWork, run_units, size_of
from sam2v.output.lock import FolderLock


@dataclass
class RunReport:
    """How a run went: videos that were done, now or before, and why others failed, by name; masklets that are new or
    proposed anew."""

    done: int = 0
    before: int = 0
    masklets: int = 0
    failed: dict[str, str] | None = None


def run_auto(
    project: Project,
    model: ModelSpec,
    options: MaskletOptions,
    hire: Hire,
    step: Callable[[], object] = bool,
    only: Sequence[str] = (),
) -> RunReport:
    """Find and track everything in every video that this model with these options has not been through.

    Masklets are committed as proposals; those that show an object which the project has already are left out.

    Args:
        hire: makes the workers, see `sam2v.jobs.units`. step: is called after every video. only: names of videos.

    Raises:
        OSError: another run is under way, or the disk is full; videos that were done stay done.
        DatabaseAway: the database does not answer; results stay on disk, and are committed by the next run.
    """
    key, rate = _weights(model), project.settings.rate
    videos, about = _videos(project, only), described(options)

    def plan(video: Video) -> PlannedUnit:
        task = AutoTask(Path(video.path), rate)
        return _planned(project, "auto", video, task, (key, *about, rate), {})

    work = AutoWork(model, options)
    return _run(project, "auto", work, [plan(video) for video in videos], hire, auto_found, step)


def described(options: MaskletOptions) -> list[Any]:
    """What of options decides results; masks among them by what they hold, of which their text shows a part only."""
    masks = [options.leave_out, options.keep]
    return [repr(options), *(plain(masks) if any(mask is not None for mask in masks) else ())]


def run_propose(
    project: Project, model: ModelSpec, hire: Hire, step: Callable[[], object] = bool, only: Sequence[str] = ()
) -> RunReport:
    """Track proposals anew: from the frames that were edited, or from the mask that the model was surest of. What was
    edited stays as it is, also where it says that the object is not to be seen.

    Only masklets that wait to be annotated take part, and those that change meanwhile are left as they are; arguments
    and errors as `run_auto`.
    """
    planned = _planned_from_seeds(project, model, "propose", _seeds, only)
    return _run(project, "propose", ProposeWork(model), planned, hire, proposed, step)


def run_agree(
    project: Project, model: ModelSpec, hire: Hire, step: Callable[[], object] = bool, only: Sequence[str] = ()
) -> RunReport:
    """Measure how well the masks of all masklets that nobody works on agree with tracking backwards: a score of their
    revisions. Arguments and errors as `run_auto`."""
    planned = _planned_from_seeds(project, model, "agree", _ends, only)
    return _run(project, "agree", AgreeWork(model), planned, hire, agreement_found, step)


def _planned_from_seeds(
    project: Project, model: ModelSpec, about: str, find: Callable[..., tuple[Any, dict[int, int]]], only: Sequence[str]
) -> list[PlannedUnit]:
    """Tracking from masks that are there, in every video in which `find` (within a session) finds some."""
    key, rate = _weights(model), project.settings.rate
    planned = []
    for video in _videos(project, only):
        seeds, versions = project.database.read(partial(find, project=project, video_id=video.id))
        if seeds:
            task = ProposeTask(Path(video.path), rate, seeds)
            # versions as well: what somebody had meanwhile, and gave back as it was, was not proposed anew
            known = repr((sorted(seeds.items()), sorted(versions.items())))
            planned.append(_planned(project, about, video, task, (key, rate, known), versions))
    return planned


def _run(
    project: Project,
    about: str,
    work: UnitWork,
    planned: Sequence[PlannedUnit],
    hire: Hire,
    read: ReadResult,
    step: Callable[[], object],
) -> RunReport:
    """Do what is not done, and commit every outcome once, as it comes."""
    report = RunReport(failed={})
    rows = select(JobRow.run, JobRow.video_id).where(JobRow.status == "done")
    finished = {tuple(row) for row in project.database.read(lambda session: session.execute(rows).all())}
    left = [one for one in planned if (one.key, one.video_id) not in finished]
    report.before = len(planned) - len(left)
    by_folder = {one.unit.folder: one for one in left}
    if not left:
        return report
    with FolderLock(project.folder / "runs"):
        for outcome in run_units(work, [one.unit for one in left], hire):
            one = by_folder[outcome.unit.folder]
            take_in = None if outcome.facts is None else read(project, one, outcome.facts)
            keep = partial(_keep, project=project, about=about, one=one, outcome=outcome, take_in=take_in)
            report.masklets += project.database.write(keep)
            if outcome.facts is None:
                assert report.failed is not None
                report.failed[outcome.unit.name] = outcome.error
            else:
                report.done += 1
            step()
    return report


def _keep(
    session: Session, *, project: Project, about: str, one: PlannedUnit, outcome: Outcome, take_in: TakeIn | None
) -> int:
    """Write down how a video went; the number of its masklets."""
    facts, video = outcome.facts, session.get_one(Video, one.video_id)
    row = session.scalar(select(JobRow).where(JobRow.run == one.key, JobRow.video_id == one.video_id))
    if row is not None and row.status == "done":  # by a call whose answer got lost
        return 0
    if row is None:
        row = JobRow(run=one.key, about=about, video_id=one.video_id, attempts=0)
        session.add(row)
    row.status, row.error, row.at = ("failed" if facts is None else "done"), outcome.error or None, time.time()
    row.attempts, row.seconds = row.attempts + outcome.attempts, outcome.seconds
    row.folder = outcome.unit.folder.relative_to(project.folder).as_posix()
    if facts is None or take_in is None:
        if video.status != "ready" and not outcome.retry:
            video.status, video.error = UNREADABLE, outcome.error[:2000]
        return 0
    video.status, video.error = "ready", None
    video.frames, video.fps, video.height, video.width = (facts[name] for name in ("frames", "fps", "height", "width"))
    return take_in(session)


def _seeds(session: Session, *, project: Project, video_id: int) -> tuple[dict[int, Seed], dict[int, int]]:
    """What masklets that wait to be annotated are tracked from, and their versions."""
    rows = select(Masklet, Revision).join(Revision, Revision.id == Masklet.revision_id)
    seeds, versions = {}, {}
    for masklet, revision in session.execute(rows.where(Masklet.video_id == video_id, Masklet.state == "proposed")):
        masks = MaskletMasks.load(project.file(revision.masks))
        frames = _edited(session, masklet.id) & masks.rows.keys()
        if not any(masks.mask(index).any() for index in frames):
            frames.update(surest := _surest(masks))
            if not surest:
                continue
        seeds[masklet.number] = Seed(project.file(revision.masks), tuple(sorted(frames)))
        versions[masklet.number] = masklet.version
    return seeds, versions


def _edited(session: Session, masklet_id: int) -> set[int]:
    """Frames that were edited by whoever handed in the masklet last; proposals since then left them as they were."""
    handed_in = select(func.max(Revision.id)).where(
        Revision.masklet_id == masklet_id, Revision.annotator_id.is_not(None)
    )
    frames = select(ActRow.frame).where(ActRow.revision_id == handed_in.scalar_subquery()).distinct()
    return set(session.scalars(frames))


def _ends(session: Session, *, project: Project, video_id: int) -> tuple[dict[int, Seed], dict[int, int]]:
    """First and last frame on which masklets are seen whose agreement is not known, and their revisions."""
    rows = select(Masklet.number, Revision).join(Revision, Revision.id == Masklet.revision_id)
    chosen = rows.where(Masklet.video_id == video_id, Masklet.state != "assigned").order_by(Masklet.number)
    seeds, revisions = {}, {}
    for number, revision in session.execute(chosen):
        masks = MaskletMasks.load(project.file(revision.masks))
        seen = [index for index, area in zip(masks.frames, masks.areas(), strict=True) if area]
        if seen and "agreement" not in revision.scores:
            seeds[number] = Seed(project.file(revision.masks), (seen[0], seen[-1]))
            revisions[number] = revision.id
    return seeds, revisions


def _surest(masks: MaskletMasks) -> list[int]:
    """The frame whose mask the model is surest of, of those that show the object."""
    seen = [index for index, area in zip(masks.frames, masks.areas(), strict=True) if area]
    return [max(seen, key=lambda index: (masks.rows[index].iou, -index))] if seen else []


def _planned(
    project: Project, kind: str, video: Video, task: Any, about: Iterable[Any], versions: dict[int, int]
) -> PlannedUnit:
    key = fingerprint(kind, *about)[:32]
    folder = project.file(f"runs/{kind}-{key[:16]}/{video.id}")  # SQLite keeps a text where a number is declared
    unit = Unit(video.name, task, folder, size_of(Path(video.path)))
    return PlannedUnit(key, video.id, unit, versions)


def _videos(project: Project, only: Sequence[str]) -> list[Video]:
    def find(session: Session) -> list[Video]:
        rows = select(Video).order_by(Video.id)
        return list(session.scalars(rows.where(Video.name.in_(only)) if only else rows))

    found = project.database.read(find)
    if absent := set(only) - {video.name for video in found}:
        raise ValueError(f"{project.folder}: no video is called {min(absent)!r}")
    return found


def _weights(model: ModelSpec) -> str:
    """What of a model decides results: its settings and its weights, wherever their file is."""
    return fingerprint(replace(model, checkpoint="", threads=None, device=None), model.weights())
