"""A tracking run that writes while it goes and can be continued after an interruption."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sam2v.cli.progress import resident_megabytes
from sam2v.cli.prompts import FramePrompt
from sam2v.files import write_text
from sam2v.masks.overlap import LABEL_IDS
from sam2v.masks.png import read_binary
from sam2v.output.writers import MaskWriter, open_writer, remove_results
from sam2v.predict.video import VideoPredictor, forward_frames
from sam2v.tracking.session import Session

#: Frames between two saves of the state, which a killed run goes on from.
_SAVE_EVERY = 100
_RECORD = "track.json"


@dataclass
class _Position:
    """Where a run is: the way it goes, the frame that comes next, how many are done, and the file with the state."""

    reverse: bool
    frame_idx: int
    done: int = 0
    finished: bool = False
    session: str = ""


@dataclass
class TrackJob:
    """Track prompts through a video into a folder.

    Attributes:
        predictor: does the work.
        video: file or folder of frames.
        prompts: what to track.
        direction: forward, reverse or both.
        start, most: where to start (None: at the earliest prompt) and how many frames to go (None: to the end).
        out: folder for the results. formats: which results, keys of `sam2v.output.writers.FORMATS`.
    """

    predictor: VideoPredictor
    video: str
    prompts: list[FramePrompt]
    direction: str
    start: int | None
    most: int | None
    out: str | Path
    formats: list[str]
    _writers: list[MaskWriter] = field(default_factory=list)

    def run(self, fps: float | None = None, fresh: bool = False, no_progress: bool | None = None) -> None:
        """Track from the beginning, or from where an interrupted run of the same job stopped.

        Raises:
            ValueError: the folder holds a finished run, or one of another job; or results would replace what they are
                made from.
            OSError: something cannot be read or written.
        """
        folder = Path(self.out)
        self._check_ids()
        earlier = None if fresh else self._earlier_run(folder)
        if earlier is None:
            state, position = self._begin()
        else:
            state, position = self.predictor.load_session(folder / earlier.session, self.video), earlier
        self._check_inputs_stay(state, folder)
        folder.mkdir(parents=True, exist_ok=True)
        if earlier is None:
            _remove_earlier_run(folder)
        frames: Any = state.frames
        with _terminate_as_interrupt(), ExitStack() as stack:
            for name in self.formats:
                writer = open_writer(
                    name,
                    folder,
                    size=state.size,
                    fps=frames.fps if fps is None else fps,
                    frame_names=frames.frame_name,
                    resume=earlier is not None,
                )
                self._writers.append(stack.enter_context(writer))
            stack.callback(frames.close)
            self._go(state, position, folder, no_progress)
        position.finished = True  # only now: closing the writers makes the last files
        self._save(state, position, folder)
        frames_done, objects = _count(position.done, "frame"), _count(len(state.obj_ids), "object")
        print(f"{frames_done}, {objects}: {', '.join(self.formats)} in {folder}")

    def _check_ids(self) -> None:
        odd = [prompt.obj_id for prompt in self.prompts if prompt.obj_id not in LABEL_IDS]
        if odd and "png" in self.formats:
            raise ValueError(f"format png holds object ids 1 to 65535, got {odd[0]}: use another id or --format")

    def _check_inputs_stay(self, state: Session, folder: Path) -> None:
        """Raise ValueError if a result would replace the video, one of its frames or a mask."""
        out, video = folder.resolve(), Path(self.video).resolve()
        ids = {prompt.obj_id for prompt in self.prompts}
        folders = [out, *(out / f"{obj_id:03d}" for obj_id in ids if "objects" in self.formats)]
        if video in folders:
            raise ValueError(
                f"--out {self.out}: results would go between the frames of {self.video}; name another folder"
            )
        frames: Any = state.frames
        overlays = {out / f"overlay.{name}" for name in self.formats}
        for path in (video, *(prompt.mask.resolve() for prompt in self.prompts if prompt.mask is not None)):
            about_a_frame = path.suffix in (".png", ".npz") and path.parent in folders
            if path in overlays or (
                about_a_frame and path.stem in map(frames.frame_name, range(state.num_frames or 0))
            ):
                raise ValueError(f"--out {self.out}: results would replace {path}; name another folder")

    def _begin(self) -> tuple[Session, _Position]:
        state = self.predictor.init_state(self.video, history="window")
        for prompt in self.prompts:
            if prompt.mask is not None:
                mask = read_binary(prompt.mask)
                if mask.shape != state.size:
                    sizes = " and ".join(f"{w} x {h}" for h, w in (mask.shape, state.size))
                    raise ValueError(f"{prompt.mask}: the mask and the video have different sizes, {sizes}")
                self.predictor.add_mask(state, prompt.frame_idx, prompt.obj_id, mask)
            if prompt.points or prompt.box is not None:
                self.predictor.add_points(
                    state,
                    prompt.frame_idx,
                    prompt.obj_id,
                    prompt.points or None,
                    prompt.labels or None,
                    prompt.box,
                )
        start = self.start if self.start is not None else min(p.frame_idx for p in self.prompts)
        return state, _Position(reverse=self.direction == "reverse", frame_idx=state.check_frame(start))

    def _go(self, state: Session, position: _Position, folder: Path, no_progress: bool | None) -> None:
        first = self.start if self.start is not None else min(p.frame_idx for p in self.prompts)
        self._save(state, position, folder)
        try:
            with tqdm(total=self._total(state, first), initial=position.done, unit="frame", disable=no_progress) as bar:
                self._one_way(state, position, first, bar, folder)
                if self.direction == "both" and not position.reverse and first > 0:
                    position.reverse, position.frame_idx = True, first - 1
                    self._one_way(state, position, first, bar, folder)
        except BaseException:
            with contextlib.suppress(OSError):  # then the run goes on from the save before
                self._save(state, position, folder)
            raise
        self._save(state, position, folder)

    def _one_way(self, state: Session, position: _Position, first: int, bar: Any, folder: Path) -> None:
        """Track on in the position's direction, to the end of that way."""
        near = [first] if self.direction == "both" else []  # the way back reads what the way there left at its start
        results = self.predictor.track_frames(state, self._ahead(state, position, first), position.reverse, near)
        for result in results:
            pictured = result.with_frame(state.frames[result.frame_idx])
            for writer in self._writers:
                writer.write(pictured)
            position.frame_idx = result.frame_idx + (-1 if position.reverse else 1)
            position.done += 1
            bar.update()
            bar.set_postfix(objects=len(result.obj_ids), memory=f"{resident_megabytes():.0f}MB", refresh=False)
            if position.done % _SAVE_EVERY == 0:
                self._save(state, position, folder)

    def _ahead(self, state: Session, position: _Position, first: int) -> Iterable[int]:
        """Frames of the present way that are still to come."""
        if not position.reverse:
            rest = None if self.most is None else first + self.most - position.frame_idx
            return forward_frames(state, position.frame_idx, rest)
        last = 0 if self.most is None else max(0, first - self.most)
        return range(position.frame_idx, last - 1, -1)

    def _total(self, state: Session, first: int) -> int | None:
        if state.num_frames is None:
            return None
        ahead, behind = state.num_frames - first, first + 1
        if self.most is not None:
            ahead, behind = min(ahead, self.most + 1), min(behind, self.most + 1)
        return {"forward": ahead, "reverse": behind, "both": ahead + behind - 1}[self.direction]

    def _save(self, state: Session, position: _Position, folder: Path) -> None:
        """Write the state to a file of its own, then the record that names it: the two always belong together.

        The writers come first, so that a run that goes on from here lacks no frame.
        """
        for writer in self._writers:
            writer.flush()
        before = position.session
        position.session = "" if position.finished else f"track.{position.done}.session"
        try:
            if position.session not in ("", before):
                self.predictor.save_session(state, folder / position.session)
            record = {"job": self._description(), "position": asdict(position), "objects": state.obj_ids}
            write_text(folder / _RECORD, json.dumps(record, indent=2) + "\n")
        except BaseException:
            position.session = before
            raise
        if before not in ("", position.session):
            (folder / before).unlink(missing_ok=True)

    def _description(self) -> dict[str, Any]:
        prompts = [{**asdict(p), "mask": None if p.mask is None else str(p.mask)} for p in self.prompts]
        model = self.predictor.origin
        return {
            "video": str(Path(self.video).resolve()),
            "model": self.predictor.model.config.name,
            "dtype": model.dtype,
            "weights": model.weights,
            "options": asdict(self.predictor.options),
            "memory": model.policy,
            "direction": self.direction,
            "start": self.start,
            "max_frames": self.most,
            "formats": self.formats,
            "prompts": prompts,
        }

    def _earlier_run(self, folder: Path) -> _Position | None:
        """Where an interrupted run of this job stopped; None if the folder holds no run, or one without a result."""
        path = folder / _RECORD
        if not path.is_file():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            position, job = _Position(**record["position"]), record["job"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path}: not the record of a run; use --fresh to start over") from None
        if position.done == 0 and not position.finished:
            return None
        changed = [key for key, value in self._description().items() if job.get(key) != value]
        if changed:
            raise ValueError(f"{folder} holds a run with other {', '.join(changed)}: use --fresh or another --out")
        if position.finished:
            raise ValueError(f"{folder} holds this run, finished: use --fresh to run it again")
        return position


def _remove_earlier_run(folder: Path) -> None:
    """Remove an earlier run's state, and its results as far as its record tells them."""
    try:
        formats = json.loads((folder / _RECORD).read_text(encoding="utf-8"))["job"]["formats"]
    except (OSError, ValueError, KeyError, TypeError):
        formats = []
    for name in formats:
        remove_results(name, folder)
    for old in (folder / _RECORD, *folder.glob("track.*.session")):
        old.unlink(missing_ok=True)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


@contextlib.contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Treat a polite termination like Ctrl-C, so that it leaves a run that can go on."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
