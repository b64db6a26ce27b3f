"""What an export is made of, by the database alone: which videos go where, and which masklets they have."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from sam2v.data_engine.database import pairs
from sam2v.data_engine.project import Project
from sam2v.data_engine.schema import ActRow, Masklet, Revision, Video
from sam2v.data_engine.videos import is_safe_name

SPLITS = ("train", "val", "test")
Which = Literal["verified", "annotated"]


@dataclass(frozen=True)
class PlannedMasklet:
    """A masklet of an export: its id in the video, whether people worked on it, its file, and how many of its frames
    were edited, in whichever revision."""

    number: int
    kind: str
    masks: Path
    edited: int


@dataclass(frozen=True)
class PlannedVideo:
    """A video of an export with its masklets, in the order of their numbers."""

    name: str
    path: Path
    masklets: tuple[PlannedMasklet, ...]


@dataclass(frozen=True)
class ExportPlan:
    """The videos of an export, by split.

    Attributes:
        new: splits of those that had none, by the video's id in the database.
    """

    videos: dict[str, list[PlannedVideo]] = field(default_factory=dict)
    new: dict[int, str] = field(default_factory=dict)


def plan_export(project: Project, shares: Mapping[str, float], which: Which = "verified") -> ExportPlan:
    """Plan an export. Nothing is written: `keep_splits` gives videos that have no split yet theirs, for good.

    Args:
        shares: of the videos, by split; a video's place follows from its name alone.
        which: masklets made by people that take part: verified ones, or also those that wait for it. Automatic ones
            take part unless they were rejected.

    Raises:
        ValueError: splits that there are not, or shares that do not add up to 1; or the database, which may be a
            stranger's, calls a video or its split what no file can be called.
    """
    if which not in ("verified", "annotated"):
        raise ValueError(f"export what is verified or annotated, not {which!r}")
    if set(shares) - set(SPLITS) or not shares or not _add_up(shares.values()):
        given = ", ".join(f"{name}={share}" for name, share in shares.items())
        raise ValueError(f"splits are shares of train, val and test that add up to 1, got {given}")
    return project.database.read(lambda session: _plan(session, project, shares, which))


def _add_up(shares: Collection[float]) -> bool:
    return all(share >= 0 for share in shares) and abs(sum(shares) - 1) <= 1e-6


def without_automatic(plan: ExportPlan) -> ExportPlan:
    """A plan of SA-V's validation and test splits as they are: those hold what people worked on, and nothing else."""

    def manual(video: PlannedVideo) -> PlannedVideo:
        return replace(video, masklets=tuple(one for one in video.masklets if one.kind == "manual"))

    videos = {
        split: planned if split == "train" else [kept for video in planned if (kept := manual(video)).masklets]
        for split, planned in plan.videos.items()
    }
    return ExportPlan(videos, plan.new)


def keep_splits(project: Project, plan: ExportPlan) -> None:
    """Give the videos of a plan that had no split theirs, for good.

    Raises:
        ValueError: another export gave one of them another split meanwhile; none is given then.
    """

    def keep(session: Session) -> None:
        for id, split in plan.new.items():
            session.execute(update(Video).where(Video.id == id, Video.split.is_(None)).values(split=split))
        known = pairs(session, select(Video.id, Video.split))
        if any(known.get(id) != split for id, split in plan.new.items()):
            raise ValueError(f"{project.folder}: another export gave videos their splits meanwhile; export again")

    project.database.write(keep)


def _plan(session: Session, project: Project, shares: Mapping[str, float], which: Which) -> ExportPlan:
    rows = session.execute(_wanted(which)).all()
    edited = _edited(session)
    videos: dict[int, tuple[Video, list[PlannedMasklet]]] = {}
    for video, masklet, masks in rows:
        about = PlannedMasklet(masklet.number, masklet.kind, project.file(masks), edited.get(masklet.id, 0))
        videos.setdefault(video.id, (video, []))[1].append(about)
    plan = ExportPlan({name: [] for name in shares})
    for video, masklets in videos.values():
        _check_names(project, video)
        split = video.split
        if split is None:
            split = plan.new[video.id] = split_of(video.name, shares)
        plan.videos.setdefault(split, []).append(PlannedVideo(video.name, Path(video.path), tuple(masklets)))
    return plan


def _check_names(project: Project, video: Video) -> None:
    """Raise ValueError unless a video's name and split can be parts of paths."""
    if not is_safe_name(video.name):
        raise ValueError(f"{project.folder}: a video is called {video.name!r} in the database, which no file can be")
    if video.split is not None and video.split not in SPLITS:
        raise ValueError(f"{project.folder}: {video.name} is in the split {video.split!r}, not in {', '.join(SPLITS)}")


def _wanted(which: Which) -> Any:
    states: Sequence[str] = ("verified",) if which == "verified" else ("verified", "annotated")
    # also what somebody verifies at this moment
    whole = Masklet.state.in_(states) | ((Masklet.state == "assigned") & Masklet.before.in_(states))
    automatic = (Masklet.kind == "auto") & (Masklet.state != "rejected")
    found = select(Video, Masklet, Revision.masks).join(Masklet, Masklet.video_id == Video.id)
    found = found.join(Revision, Revision.id == Masklet.revision_id)
    found = found.where(automatic | (whole & (Masklet.kind == "manual")))
    return found.order_by(Video.name, Masklet.number)


def _edited(session: Session) -> dict[int, int]:
    """How many frames of every masklet were edited; one that was edited in several revisions counts once."""
    rows = select(Revision.masklet_id, func.count(ActRow.frame.distinct()))
    return pairs(session, rows.join(ActRow, ActRow.revision_id == Revision.id).group_by(Revision.masklet_id))


def split_of(name: str, shares: Mapping[str, float]) -> str:
    """Where a video of a name goes: always the same, whatever other videos there are."""
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    for split, share in shares.items():
        if place < share:
            return split
        place -= share
    return next(split for split, share in reversed(list(shares.items())) if share)
