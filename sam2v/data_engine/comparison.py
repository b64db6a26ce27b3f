"""What each phase takes, by simulation: edited frames, clicks, time, agreement with phase 1 (SAM 2 paper, table 1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from sam2v.data.masklet_file import MaskletMasks
from sam2v.data.synthetic.demo import demo_clip
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.queue import Queue
from sam2v.data_engine.schema import ActRow, Masklet, Revision, Video
from sam2v.data_engine.scores import bucket_of, overlap
from sam2v.data_engine.simulated import (
    Manner,
    SimulatedAnnotator,
    SimulatedVerifier,
    Truth,
    Verification,
    truth_overlap,
)
from sam2v.data_engine.tools import Tools
from sam2v.data_engine.videos import named
from sam2v.evaluation.drawn import DrawnRecord
from sam2v.files import whole_folder

if TYPE_CHECKING:
    from torch import Tensor

#: IoU from which on two masks agree.
AGREE = 0.75
#: What the paper gives: seconds of an annotator per frame, edited frames in percent, clicks per clicked frame.
PAPER = {1: (37.8, 100.0, 4.80), 2: (7.4, 23.25, 3.61), 3: (4.5, 19.04, 2.68)}
_SIZES = ("all", "small", "medium", "large")
_ROUNDS = 3


@dataclass(frozen=True)
class PhaseFigures:
    """What one phase took.

    Attributes:
        phase: 1 to 3. masklets: that were annotated. frames: annotated frames of them.
        edited: share of the frames that were edited; frames of masklets that were sent back may count again.
        clicks: per frame that was clicked or painted on, strokes of the brush included. strokes: of these.
        per_masklet: clicks and strokes per masklet.
        model_seconds: of computation per annotated frame.
        agreement: by size of the object (small, medium, large, all), the share of masks with an IoU above 0.75 to
            those of phase 1; None where there is no object of a size.
        truth: mean IoU with the truth. sent_back: share of the masklets that verification sent back.
    """

    phase: int
    masklets: int
    frames: int
    edited: float
    clicks: float
    strokes: float
    per_masklet: float
    model_seconds: float
    agreement: dict[str, float | None]
    truth: float
    sent_back: float


def compare_phases(
    videos: Mapping[str, tuple[Path, Truth]],
    tools: Tools,
    out: Path,
    *,
    phases: Sequence[int] = (1, 2, 3),
    rate: float = 6.0,
    objects: int = 1,
    manner: Manner | None = None,
    verification: Verification | None = None,
    step: Callable[[], object] = bool,
) -> list[PhaseFigures]:
    """Annotate videos whose truth is known once by each phase, in a project of its own, and compare.

    Args:
        videos: path and truth by name. tools: the model. out: where the projects go, one folder per phase.
        phases: which. rate: annotated frames per second. objects: of every video at most.
        manner: how annotators work. verification: how verifiers decide. step: is called after every task.

    Raises:
        ValueError: no such phase, or phase 1 is not among them: the others are compared with it; or videos that are
            called otherwise than their truth.
        FileExistsError: there are projects already.
    """
    if 1 not in phases or set(phases) - {1, 2, 3}:
        raise ValueError(f"phases are of 1, 2 and 3, with 1 to compare with, got {list(phases)}")
    _check_names(videos)
    verification, truths = verification or Verification(), {name: truth for name, (_, truth) in videos.items()}
    found: list[PhaseFigures] = []
    reference: dict[tuple[str, int], MaskletMasks] = {}
    for phase in sorted(set(phases)):
        settings = Settings(phase, rate, objects)
        with Project.create(out / f"phase{phase}", [path for path, _ in videos.values()], settings) as project:
            _annotate(project, tools, truths, manner or Manner(), verification, step)
            masks = project.database.read(partial(_newest, project=project))
            if phase == 1:
                reference = masks
            found.append(
                project.database.read(partial(_figures, phase=phase, masks=masks, reference=reference, truths=truths))
            )
    return found


@dataclass(frozen=True)
class DrawnTruth(DrawnRecord):
    """A drawn clip of three objects, the fox, the child and the bird (`sam2v.data.synthetic.demo`)."""

    size: tuple[int, int] = (240, 432)

    def draw(self) -> tuple[Tensor, Tensor]:
        """See `DrawnRecord.draw`."""
        clip = demo_clip(self.size, self.frames, self.seed)
        return clip.frames, clip.masks


def write_frames(folder: Path, frames: np.ndarray) -> None:
    """Write frames T x H x W x 3 uint8 as a folder of pictures, whole or not at all."""
    from PIL import Image

    with whole_folder(folder) as place:
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(place / f"{number:05d}.png")


def table(figures: Sequence[PhaseFigures]) -> str:
    """The figures as a table in Markdown, the paper's in brackets."""
    head = ["phase", "edited frames %", "clicks per edited frame", "of these strokes", "clicks per masklet"]
    head += ["model s per frame", *(f"agree, {size} %" for size in _SIZES), "IoU with truth", "sent back %"]
    rows = [head, ["---"] * len(head)]
    for one in figures:
        _, edited, clicks = PAPER[one.phase]
        agreement = [one.agreement[size] for size in _SIZES]
        rows.append(
            [
                str(one.phase),
                f"{100 * one.edited:.1f} ({edited:g})",
                f"{one.clicks:.2f} ({clicks:.2f})",
                f"{one.strokes:.2f}",
                f"{one.per_masklet:.1f}",
                f"{one.model_seconds:.2f}",
                *("-" if share is None else f"{100 * share:.1f}" for share in agreement),
                f"{one.truth:.3f}",
                f"{100 * one.sent_back:.0f}",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def to_json(figures: Sequence[PhaseFigures]) -> str:
    """The figures as JSON."""
    return json.dumps([asdict(one) for one in figures], indent=1) + "\n"


def _check_names(videos: Mapping[str, tuple[Path, Truth]]) -> None:
    names = [name for name, _ in named(path for path, _ in videos.values())]
    if sorted(names) != sorted(videos):
        raise ValueError(f"videos are called {sorted(names)}, but the truth is of {sorted(videos)}")


def _annotate(
    project: Project,
    tools: Tools,
    truths: Mapping[str, Truth],
    manner: Manner,
    verification: Verification,
    step: Callable[[], object],
) -> None:
    """Have everything annotated and verified; what fails goes back a few times."""
    queue = Queue(project)
    annotator = SimulatedAnnotator(queue, "annotator", tools, truths, manner)
    verifier = SimulatedVerifier(queue, "verifier", truths, verification.threshold, verification.errors)
    for _ in range(_ROUNDS):
        while annotator.work_once():
            step()
        while verifier.work_once():
            pass


def _newest(session: Session, project: Project) -> dict[tuple[str, int], MaskletMasks]:
    """The newest masks by video and object."""
    rows = select(Video.name, Masklet.number, Revision.masks).join(Masklet, Masklet.video_id == Video.id)
    rows = rows.join(Revision, Revision.id == Masklet.revision_id).where(Masklet.state != "rejected")
    return {(name, number): MaskletMasks.load(project.file(file)) for name, number, file in session.execute(rows)}


def _figures(
    session: Session,
    phase: int,
    masks: Mapping[tuple[str, int], MaskletMasks],
    reference: Mapping[tuple[str, int], MaskletMasks],
    truths: Mapping[str, Truth],
) -> PhaseFigures:
    revisions = session.scalars(select(Revision)).all()
    touched = select(ActRow.revision_id, ActRow.frame).where(ActRow.kind.in_(("click", "stroke"))).distinct()
    clicked = max(len(session.execute(touched).all()), 1)
    frames = sum(len(one.rows) for one in masks.values())
    strokes = sum(one.strokes for one in revisions)
    acts = strokes + sum(one.clicks for one in revisions)
    sent_back = session.scalars(select(Masklet.sent_back).where(Masklet.revision_id.is_not(None))).all()
    return PhaseFigures(
        phase,
        len(masks),
        frames,
        sum(one.edited for one in revisions) / max(frames, 1),
        acts / clicked,
        strokes / clicked,
        acts / max(len(masks), 1),
        sum(one.model_seconds for one in revisions) / max(frames, 1),
        _agreement(masks, reference),
        float(np.mean([truth_overlap(truths[name], one) for (name, _), one in masks.items()])) if masks else 0.0,
        sum(count > 0 for count in sent_back) / max(len(sent_back), 1),
    )


def _agreement(
    masks: Mapping[tuple[str, int], MaskletMasks], reference: Mapping[tuple[str, int], MaskletMasks]
) -> dict[str, float | None]:
    """Share of masks that agree with the reference, by the size of the object there; frames where both are empty are
    left out."""
    agree: dict[str, list[bool]] = {size: [] for size in _SIZES}
    for key in masks.keys() & reference.keys():
        areas = [area for area in reference[key].areas() if area]
        size = bucket_of(float(np.mean(areas)) if areas else 0.0)
        for index in masks[key].frames:
            one, other = masks[key].mask(index), reference[key].mask(index)
            if one.any() or other.any():
                same = overlap(one, other) > AGREE
                agree["all"].append(same)
                agree[size].append(same)
    return {size: float(np.mean(found)) if found else None for size, found in agree.items()}
