"""A tracking run that writes while it goes and can be continued after an interruption."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sam2v.cli.inputs import check_inputs_stay
from sam2v.cli.interrupts import terminate_as_interrupt
from sam2v.cli.options import check_mask_size
from sam2v.cli.progress import resident_megabytes
from sam2v.cli.prompts import FramePrompt
from sam2v.cli.track_record import Position, TrackRecord
from sam2v.files import sha256_of
from sam2v.masks.overlap import LABEL_IDS
from sam2v.output.background import BackgroundWriter
from sam2v.output.lock import FolderLock
from sam2v.output.writers import Format, open_writers
from sam2v.predict.video import Direction, VideoPredictor, forward_frames
from sam2v.tracking.prompts import Prompt
from sam2v.tracking.session import Session

#: Frames between two saves of the state, which a killed run goes on from.
_SAVE_EVERY = 100


@dataclass(frozen=True)
class Exemplars:
    """Objects and files of exemplars: those that are given, and those that are made in the end."""

    given: Sequence[tuple[int, Path]] = ()
    made: Sequence[tuple[int, Path]] = ()

    def check(self, prompts: Sequence[FramePrompt]) -> None:
        """Raise an error for files that are missing or cannot be made, and for unknown objects."""
        for _, path in self.given:
            if not path.is_file():
                raise FileNotFoundError(f"no exemplar file {path}")
        known = {prompt.obj_id for prompt in prompts} | {obj_id for obj_id, _ in self.given}
        for obj_id, path in self.made:
            if obj_id not in known:
                raise ValueError(f"--save-exemplar {obj_id}:{path}: no object {obj_id}; known: {sorted(known)}")
            if path.is_dir() or not path.parent.is_dir():
                raise ValueError(f"--save-exemplar {obj_id}:{path}: name a file in a folder that is there")


@dataclass
class TrackJob:
    """Track prompts through a video into a folder.

    Attributes:
        predictor: does the work.
        video: file or folder of frames.
        prompts: what to track.
        direction: forward, reverse or both.
        start, most: where to start (None: at the earliest prompt) and how many frames to go (None: to the end).
        out: folder for the results. formats: which results.
        exemplars: what objects are found with, and which are kept.
        classes: what objects are.
    """

    predictor: VideoPredictor
    video: Path
    prompts: Sequence[FramePrompt]
    direction: Direction
    start: int | None
    most: int | None
    out: Path
    formats: Sequence[Format]
    exemplars: Exemplars = Exemplars()
    classes: Mapping[int, str] = field(default_factory=dict)

    def run(self, fps: float | None = None, fresh: bool = False, no_progress: bool | None = None) -> None:
        """Track from the beginning, or from where an interrupted run of the same job stopped.

        Raises:
            ValueError: the folder holds a finished run, or one of another job; or results would replace what they are
                made from.
            OSError: another run writes into the folder, or something cannot be read or written.
        """
        self.check_ids()
        with FolderLock(self.out):
            record = TrackRecord(self.out, self.description())
            earlier = None if fresh else record.earlier()
            if earlier is None:
                state, position = self._begin()
            else:
                state, position = self.predictor.load_session(self.out / earlier.session, self.video), earlier
            with state:
                self._check_inputs_stay(state)
                if earlier is None:
                    record.forget()
                with terminate_as_interrupt():
                    self._go(_Run(self, state, position, record, fps, earlier is not None), no_progress)
                objects = _count(len(state.obj_ids), "object")
        print(f"{_count(position.done, 'frame')}, {objects}: {', '.join(self.formats)} in {self.out}")

    def run_whole(self, folder: Path, fps: float | None = None) -> tuple[int, int]:
        """Track from the beginning to the end into an empty folder, which later becomes `out`.

        The files are those of `run`; on the way no state is kept to go on from.

        Returns:
            How many frames and objects were tracked.

        Raises:
            ValueError, OSError: as `run`.
        """
        self.check_ids()
        state, position = self._begin()
        with state:
            self._check_inputs_stay(state)
            record = TrackRecord(folder, self.description())
            self._go(_Run(self, state, position, record, fps, resume=False, kept=False), no_progress=True)
            return position.done, len(state.obj_ids)

    def _go(self, run: _Run, no_progress: bool | None) -> None:
        """Track, write, and make the last files."""
        with run.writer:
            run.go(no_progress)
            for obj_id, path in self.exemplars.made:
                self.predictor.save_exemplar(run.state, obj_id, path)
        run.position.finished = True  # only now: closing the writers makes the last files
        run.save()

    @cached_property
    def first(self) -> int:
        """The frame to start at."""
        if self.start is not None:
            return self.start
        return 0 if self.exemplars.given else min(prompt.frame_idx for prompt in self.prompts)

    def ahead(self, state: Session, position: Position) -> Iterable[int]:
        """Frames of the present way that are still to come."""
        if not position.reverse:
            rest = None if self.most is None else self.first + self.most - position.frame_idx
            return forward_frames(state, position.frame_idx, rest)
        last = 0 if self.most is None else max(0, self.first - self.most)
        return range(position.frame_idx, last - 1, -1)

    def total(self, state: Session) -> int | None:
        """How many frames there are to track, if that is known."""
        if state.num_frames is None:
            return None
        ahead, behind = state.num_frames - self.first, self.first + 1
        if self.most is not None:
            ahead, behind = min(ahead, self.most + 1), min(behind, self.most + 1)
        return {"forward": ahead, "reverse": behind, "both": ahead + behind - 1}[self.direction]

    def _begin(self) -> tuple[Session, Position]:
        state = self.predictor.init_state(self.video, history="window")
        for prompt in self.prompts:
            if prompt.pixels is not None:
                check_mask_size(prompt.mask, prompt.pixels, state.size, "video")
        for frame_idx, several in groupby(self.prompts, lambda prompt: prompt.frame_idx):
            prompts = {p.obj_id: Prompt(p.points or None, p.labels or None, p.box, p.pixels) for p in several}
            self.predictor.add_prompts(state, frame_idx, prompts)
        for obj_id, path in self.exemplars.given:
            self.predictor.add_exemplar(state, obj_id, path)
        return state, Position(reverse=self.direction == "reverse", frame_idx=state.check_frame(self.first))

    def check_ids(self) -> None:
        """Raise ValueError for objects that a format cannot hold."""
        odd = [obj_id for obj_id in self._ids() if obj_id not in LABEL_IDS]
        if odd and "png" in self.formats:
            raise ValueError(f"format png holds object ids 1 to 65535, got {odd[0]}: use another id or --format")

    def _ids(self) -> list[int]:
        return [prompt.obj_id for prompt in self.prompts] + [obj_id for obj_id, _ in self.exemplars.given]

    def _check_inputs_stay(self, state: Session) -> None:
        """Raise ValueError if a result would replace the video, one of its frames, a mask or an exemplar."""
        out = self.out.resolve()
        folders = [out, *(out / f"{obj_id:03d}" for obj_id in set(self._ids()) if "objects" in self.formats)]
        others = [prompt.mask for prompt in self.prompts if prompt.mask is not None]
        others += [path for _, path in self.exemplars.given]
        check_inputs_stay(self.out, self.video, folders, state.frames, self.formats, others)
        inputs = {path.resolve() for path in (self.video, *others)}
        for obj_id, path in self.exemplars.made:
            if inputs & {path.resolve(), path.resolve().parent}:
                raise ValueError(f"--save-exemplar {obj_id}:{path} would replace an input; name another file")

    def description(self) -> dict[str, Any]:
        """What must be the same for a run to go on."""
        model = self.predictor.origin
        return {
            "video": str(self.video.resolve()),
            "size": self.video.stat().st_size if self.video.is_file() else None,
            "model": self.predictor.model.config.name,
            "dtype": model.dtype,
            "weights": model.weights,
            "options": asdict(self.predictor.options),
            "memory": model.policy,
            "direction": self.direction,
            "start": self.start,
            "max_frames": self.most,
            "formats": list(self.formats),
            **({"classes": {str(obj_id): name for obj_id, name in self.classes.items()}} if self.classes else {}),
            "prompts": [prompt.record() for prompt in self.prompts],
            "exemplars": [[obj_id, sha256_of(path)] for obj_id, path in self.exemplars.given],
        }


@dataclass
class _Run:
    """A job under way: into the record's folder, where it goes on with what is there if it is to `resume`.

    kept: whether the state is saved, so that the run can go on after an interruption.
    """

    job: TrackJob
    state: Session
    position: Position
    record: TrackRecord
    fps: float | None
    resume: bool
    kept: bool = True

    @cached_property
    def writer(self) -> BackgroundWriter:
        """What the results go to."""
        job = self.job
        return open_writers(
            job.formats,
            self.record.folder,
            source=self.state.frames,
            fps=self.fps,
            classes=job.classes,
            resume=self.resume,
        )

    def go(self, no_progress: bool | None) -> None:
        """Track to the end and hand every result to the writer."""
        job, position = self.job, self.position
        self.save()
        try:
            total = job.total(self.state)
            with tqdm(total=total, initial=position.done, unit="frame", disable=no_progress) as bar:
                self._one_way(bar)
                if job.direction == "both" and not position.reverse and job.first > 0:
                    position.reverse, position.frame_idx = True, job.first - 1
                    self._one_way(bar)
        except BaseException:
            with contextlib.suppress(Exception):  # then the run goes on from the save before
                self.save()
            raise
        self.save()

    def save(self) -> None:
        """Save the state. What was handed to the writer comes first, so that a run that goes on lacks no frame."""
        if not self.position.finished:
            if not self.kept:
                return
            self.writer.flush()
        save = self.job.predictor.save_session
        self.record.save(self.position, self.state.obj_ids, lambda path: save(self.state, path))

    def _one_way(self, bar: Any) -> None:
        """Track on in the position's direction, to the end of that way."""
        state, position = self.state, self.position
        near = [self.job.first] if self.job.direction == "both" else []  # the way back reads what is known there
        frames = self.job.ahead(state, position)
        with self.job.predictor.sharing_batches():  # with other videos, where several are tracked at once
            for result in self.job.predictor.track_frames(state, frames, position.reverse, near):
                picture = state.picture(result.frame_idx) if self.writer.draws else None
                self.writer.write(result.with_frame(picture))
                position.frame_idx = result.frame_idx + (-1 if position.reverse else 1)
                position.done += 1
                bar.update()
                bar.set_postfix(objects=len(result.obj_ids), memory=f"{resident_megabytes():.0f}MB", refresh=False)
                if position.done % _SAVE_EVERY == 0:
                    self.save()


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
