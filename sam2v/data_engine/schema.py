"""The tables of a project. Rows of `revisions`, `acts` and `events` are only ever added; scores may come later."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import JSON, Float, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: Of the tables and of project.json. A project of a newer version is refused.
VERSION = 1

State = Literal["proposed", "assigned", "annotated", "verified", "rejected"]
TaskKind = Literal["annotate", "verify"]
STATES: tuple[State, ...] = ("proposed", "assigned", "annotated", "verified", "rejected")
#: Tried, and not to be read. A video that was never opened has the status "new".
UNREADABLE = "unreadable"


class Base(DeclarativeBase):
    """Times are seconds since 1970, UTC; durations are seconds."""

    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}


class ProjectRow(Base):
    """The one project of a database.

    Attributes:
        token: also in project.json, so that a folder and a database that belong to different projects never meet.
        settings: of `sam2v.data_engine.project.Settings`.
    """

    __tablename__ = "project"
    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    created: Mapped[float]
    settings: Mapped[dict[str, Any]]


class Video(Base):
    """A video: `status` is new, ready or unreadable (`error` says why); what it is like is known once it was opened.

    Attributes:
        path: absolute. height, width: in pixels. split: train, val or test, once it was exported.
        version: counts the objects that somebody began to look for.
    """

    __tablename__ = "videos"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    path: Mapped[str] = mapped_column(Text, unique=True)
    status: Mapped[str] = mapped_column(String(16), default="new", index=True)
    error: Mapped[str | None] = mapped_column(Text)
    frames: Mapped[int | None]
    fps: Mapped[float | None]
    height: Mapped[int | None]
    width: Mapped[int | None]
    split: Mapped[str | None] = mapped_column(String(16))
    added: Mapped[float]
    version: Mapped[int] = mapped_column(default=1)


class Annotator(Base):
    """Somebody who works on the project: `kind` is person or simulated; `token` is a digest of what a person shows."""

    __tablename__ = "annotators"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    token: Mapped[str | None] = mapped_column(String(64))
    created: Mapped[float]


class Masklet(Base):
    """An object of a video.

    Attributes:
        number: its id in the video, from 1. kind: "auto" as long as only models worked on it, else "manual".
        state: see `STATES`. task: what it is assigned for, if it is. before: the state that it had.
        annotator_id: who has it. assigned: since when.
        version: counts changes; whoever changes a row names the version that they saw.
        revision_id: the newest masks, None as long as nobody found the object.
        priority: higher ones are handed out first. sent_back: how often verification sent it back.
        sampled: its verification is left to people, to measure the automatic one.
    """

    __tablename__ = "masklets"
    __table_args__ = (
        UniqueConstraint("video_id", "number"),
        Index("masklets_queue", "state", "priority"),
        Index("masklets_holder", "annotator_id", "state"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    video_id: Mapped[int] = mapped_column(ForeignKey("videos.id"), index=True)
    number: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    before: Mapped[str | None] = mapped_column(String(16))
    task: Mapped[str | None] = mapped_column(String(16))
    annotator_id: Mapped[int | None] = mapped_column(ForeignKey("annotators.id"))
    assigned: Mapped[float | None]
    version: Mapped[int] = mapped_column(default=1)
    revision_id: Mapped[int | None]
    priority: Mapped[float] = mapped_column(Float, default=0.0)
    sent_back: Mapped[int] = mapped_column(default=0)
    sampled: Mapped[bool] = mapped_column(default=False)
    created: Mapped[float]


class Revision(Base):
    """Masks of a masklet as somebody or something left them.

    Attributes:
        number: from 1 in its masklet. masks: their file, relative to the project's folder.
        annotator_id: whose work, None: the model's alone. model: which one proposed. phase: 1 to 3, 0: automatic.
        frames: annotated ones. edited: of these, how many were prompted or painted. clicks, strokes: made on them.
        active_seconds: of work. model_seconds: of computation.
        scores: what is known of the quality, see `sam2v.data_engine.checking`, and the sizes for the data card.
    """

    __tablename__ = "revisions"
    __table_args__ = (UniqueConstraint("masklet_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    masklet_id: Mapped[int] = mapped_column(ForeignKey("masklets.id"))
    number: Mapped[int]
    masks: Mapped[str] = mapped_column(Text)
    annotator_id: Mapped[int | None] = mapped_column(ForeignKey("annotators.id"))
    model: Mapped[str | None] = mapped_column(String(200))
    phase: Mapped[int]
    frames: Mapped[int]
    edited: Mapped[int] = mapped_column(default=0)
    clicks: Mapped[int] = mapped_column(default=0)
    strokes: Mapped[int] = mapped_column(default=0)
    active_seconds: Mapped[float] = mapped_column(default=0.0)
    model_seconds: Mapped[float] = mapped_column(default=0.0)
    scores: Mapped[dict[str, Any]]
    created: Mapped[float]


class ActRow(Base):
    """What was done to a frame of a revision; see `sam2v.data_engine.work.Act`."""

    __tablename__ = "acts"
    id: Mapped[int] = mapped_column(primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revisions.id"), index=True)
    frame: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    data: Mapped[dict[str, Any]]
    seconds: Mapped[float]


class Event(Base):
    """A change of a masklet's state: who, when, and after how many active seconds.

    Attributes:
        key: of the call that made it: one that is made again because the answer got lost changes nothing.
        before, after: states. revision_id: the masks that it is about.
    """

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    masklet_id: Mapped[int] = mapped_column(ForeignKey("masklets.id"), index=True)
    annotator_id: Mapped[int | None] = mapped_column(ForeignKey("annotators.id"))
    at: Mapped[float]
    before: Mapped[str] = mapped_column(String(16))
    after: Mapped[str] = mapped_column(String(16), index=True)
    task: Mapped[str | None] = mapped_column(String(16))
    seconds: Mapped[float] = mapped_column(default=0.0)
    revision_id: Mapped[int | None]
    note: Mapped[str] = mapped_column(Text, default="")


class JobRow(Base):
    """A video in a run over many: done once, whatever happens, or failed with the reason.

    Attributes:
        run: what is done to the video, with which settings and weights, as a key.
        about: the run, in words. folder: of the results, relative to the project's.
    """

    __tablename__ = "jobs"
    __table_args__ = (UniqueConstraint("run", "video_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(String(64), index=True)
    about: Mapped[str] = mapped_column(String(200))
    video_id: Mapped[int] = mapped_column(ForeignKey("videos.id"))
    status: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int]
    seconds: Mapped[float]
    folder: Mapped[str] = mapped_column(Text)
    at: Mapped[float]
