"""Score a folder of predictions against a folder of annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sam2v.evaluation import bits, folders, metrics
from sam2v.evaluation.protocol import Protocol, get_protocol
from sam2v.evaluation.results import Evaluation, ObjectScores, SequenceScores
from sam2v.files import user_path
from sam2v.jobs.parts import Parts, fingerprint
from sam2v.jobs.pool import Job, run_jobs
from sam2v.masks.grey import VOID, Values, is_small, is_white, objects_in, one_object, present, void_pixels
from sam2v.masks.png import read_binary, read_label_map
from sam2v.video.frames import natural_key

CHUNK = 16  # frames a process takes at a time


@dataclass(frozen=True)
class FrameScores:
    """One frame: (J, F) of every label that either map holds, and which of them the prediction and annotation hold."""

    scores: Mapping[int, tuple[float, float]]
    predicted: tuple[int, ...]
    annotated: tuple[int, ...]


def evaluate_folders(
    pred: str | Path,
    gt: str | Path,
    *,
    protocol: str | Protocol = "davis",
    sequences: str | Path | Iterable[str] | None = None,
    binary: bool | None = None,
    workers: int | None = None,
    progress: bool = False,
    parts: str | Path | None = None,
    distributed: bool = True,
) -> Evaluation:
    """J and F of the PNG masks under `pred` against those under `gt`, per object, sequence and data set.

    Both folders hold SEQUENCE/FRAME.png with label maps (pixel value = object number, 255 = void; palette or grey), or
    0 / 255 pictures of one object, or SEQUENCE/OBJECT/FRAME.png, one 0 / non-zero picture per object. A data set's root
    works too (its Annotations folder is taken).

    Args:
        protocol: "davis" (objects of the first frame, first and last frame left out), "all-frames" (the same, every
            frame), "youtube" (objects that enter later, scored after they enter; sparse annotations), "sav" (every
            object, first and last annotation left out, sparse), or a `Protocol`.
        sequences: names, "a,b", or a .txt file with a name a line; default: every folder in `gt`.
        binary: True: non-zero is the one object; False: label maps; None: told by the first annotation of a sequence.
        workers: processes; None = one per core (0 or 1: this process). Under torchrun the ranks share the sequences.
        progress: show a bar when the output is a terminal.
        parts: folder that keeps finished sequences, so that an interrupted run goes on; entries of changed files are
            recomputed.
        distributed: share the work with the other ranks of a torchrun job, all of which must make this call; False:
            this process scores everything (rank 0 of a trainer).

    Raises:
        FileNotFoundError, OSError: missing folder, sequence, frame, or unreadable file (named).
        ValueError: sizes or counts that differ, labels that the annotation does not have, a frame that is all void.
    """
    protocol = get_protocol(protocol)
    tracks = folders.plan(user_path(pred), user_path(gt), protocol, sequences, binary)
    store = Parts(user_path(parts)) if parts is not None else None
    jobs = [_Job(name, found, protocol, store) for name, found in tracks.items()]
    results = run_jobs(jobs, workers=workers, progress=progress, distributed=distributed)
    return Evaluation(dict(zip(tracks, results, strict=True)))


class _Job(Job[tuple[folders.Track, float], list[FrameScores], SequenceScores]):
    """Scoring of one sequence, cut into chunks of frames."""

    def __init__(self, name: str, tracks: Sequence[folders.Track], protocol: Protocol, store: Parts | None) -> None:
        self.name, self.tracks, self.protocol, self.store = name, tracks, protocol, store
        self.size = sum(len(track.frames) for track in tracks)
        self.key = fingerprint(protocol, [folders.stamp(track) for track in tracks]) if store else ""

    def chunks(self) -> list[tuple[tuple[folders.Track, float], int]]:
        """Arguments of `work` with the number of frames in each."""
        found = []
        for track in self.tracks:
            for start in range(0, len(track.frames), CHUNK):
                frames = track.frames[start : start + CHUNK]
                found.append(((replace(track, frames=frames), self.protocol.bound_th), len(frames)))
        return found

    @staticmethod
    def work(argument: tuple[folders.Track, float]) -> list[FrameScores]:
        """Score the frames of one chunk."""
        track, bound_th = argument
        return [score_frame(track, frame, bound_th) for frame in track.frames]

    def load(self) -> SequenceScores | None:
        """The sequence's scores from an earlier run over the same files."""
        part = self.store.load(self.name, self.key) if self.store else None
        return SequenceScores.from_part(self.name, part) if part else None

    def finish(self, results: list[list[FrameScores]]) -> SequenceScores:
        """Put the chunks together, in their order."""
        frames = iter([scores for chunk in results for scores in chunk])
        found = [(track, [next(frames) for _ in track.frames]) for track in self.tracks]
        labels = [_scored_labels(*item) for item in found]
        first = self.tracks[0]
        gt, pred = (first.gt, first.pred) if first.obj is None else (first.gt.parent, first.pred.parent)
        objects: dict[str, ObjectScores] = {}
        for (track, scores_of), numbers in zip(found, labels, strict=True):
            objects |= _merge_track(track, scores_of, numbers, self.protocol)
        if not any(labels):
            raise ValueError(f"{gt}: no annotation shows an object")
        scores = SequenceScores(self.name, objects, gt, pred, first.obj is not None)
        if self.store is not None:
            self.store.save(self.name, self.key, scores.to_part())
        return scores


def score_frame(track: folders.Track, frame: str, bound_th: float = metrics.BOUND_TH) -> FrameScores:
    """Read one frame's two pictures and score every object that either holds."""
    gt_file, pred_file = track.gt / f"{frame}.png", track.pred / f"{frame}.png"
    read = read_label_map if track.obj is None else read_binary
    gt, pred = read(gt_file), read(pred_file)
    if gt.shape != pred.shape:
        sizes = [f"{values.shape[1]} x {values.shape[0]}" for values in (pred, gt)]
        raise ValueError(f"{pred_file} is {sizes[0]} pixels but {gt_file} is {sizes[1]} (width x height)")
    radius = metrics.boundary_radius(gt.shape, bound_th)
    if not track.binary:
        return _score_labels(pred, gt, (pred_file, gt_file), track.labels, radius)
    if track.guessed:
        _check_guess(gt_file, gt)
    masks = (pred, gt) if track.obj is not None else (one_object(pred), one_object(gt))
    scores = metrics.packed_scores(bits.pack(masks[0], radius), bits.pack(masks[1], radius), None, radius)
    return FrameScores({1: scores}, (), (1,) if masks[1].any() else ())


def _check_guess(file: Path, gt: Values) -> None:
    """Refuse annotations that speak against white being the only object, which the first one suggested."""
    if gt.min() == VOID:
        raise ValueError(
            f"{file}: every pixel is {VOID}: void throughout, or one object that fills the frame (then say so with"
            " --binary, in Python binary=True)"
        )
    if gt.any() and is_small(present(gt)):
        raise ValueError(
            f"{file}: holds {_listed(present(gt))} in a sequence that began with 0 and {VOID} only; --binary: every"
            " picture is a mask of one object, --labels: values are object numbers"
        )


def _score_labels(
    pred: Values, gt: Values, files: tuple[Path, Path], labels: tuple[int, ...] | None, radius: int
) -> FrameScores:
    predicted, annotated = present(pred), objects_in(gt)
    void = void_pixels(gt)
    if void is not None and void.all():
        raise ValueError(f"{files[1]}: every pixel is void ({VOID}), so the frame cannot be scored")
    white = VOID if labels is not None and is_white(predicted, labels) else None
    if white is not None and labels is not None:
        predicted = [labels[0]]
    if labels is not None and (surplus := sorted(set(predicted) - set(labels))):
        raise ValueError(
            f"{files[0]}: holds {_listed(surplus)}, but the first annotation has objects {_spanned(labels)} only"
            " (objects that enter later: protocol youtube)"
        )
    ignored = None if void is None else bits.pack(void, radius)
    scores = {}
    for label in sorted({*predicted, *annotated}):
        pair = bits.pack(pred == (white or label), radius), bits.pack(gt == label, radius)
        scores[label] = metrics.packed_scores(*pair, ignored, radius)
    return FrameScores(scores, tuple(predicted), tuple(annotated))


def _merge_track(
    track: folders.Track, frames: Sequence[FrameScores], labels: Sequence[int], protocol: Protocol
) -> dict[str, ObjectScores]:
    for stem, frame in zip(track.frames, frames, strict=True):
        if surplus := sorted(set(frame.predicted) - set(labels)):
            file = track.pred / f"{stem}.png"
            raise ValueError(f"{file}: holds {_listed(surplus)}, which no annotation in {track.gt} has")
    merged = merge_frames(track.frames, frames, labels, protocol)
    return {track.obj or str(label): scores for label, scores in merged.items()}


def _scored_labels(track: folders.Track, frames: Sequence[FrameScores]) -> list[int]:
    """Objects of a track that some annotation shows.

    Of the annotations that are not scored, the first one introduces objects; what only the last one shows was never
    there to be tracked, and counts if it was predicted all the same.
    """
    annotated = {label for frame in frames for label in frame.annotated}
    predicted = {label for frame in frames for label in frame.predicted}
    if track.binary:
        shown = annotated or any(read_binary(track.gt / f"{stem}.png").any() for stem in track.others)
        return [1] if shown else []
    if track.labels is not None:
        return list(track.labels)
    for stem in track.others:
        numbers = set(objects_in(read_label_map(track.gt / f"{stem}.png")))
        annotated |= numbers if natural_key(stem) < natural_key(track.frames[0]) else numbers & predicted
    return sorted(annotated)


def merge_frames(
    names: Sequence[str], frames: Sequence[FrameScores], labels: Iterable[int], protocol: Protocol
) -> dict[int, ObjectScores]:
    """Scores by object. A label that neither map of a frame holds is right there: J = F = 1."""
    objects = {}
    for label in labels:
        start = _first_frame(label, frames, protocol)
        rows = [frame.scores.get(label, (1.0, 1.0)) for frame in frames[start:]]
        if rows:
            j, f = zip(*rows, strict=True)
            objects[label] = ObjectScores(tuple(names[start:]), j, f)
    return objects


def _first_frame(label: int, frames: Sequence[FrameScores], protocol: Protocol) -> int:
    """Index of the first frame to score; under "after-first" it comes after the object's introduction."""
    if protocol.frames != "after-first":
        return 0
    return next((index for index, frame in enumerate(frames) if label in frame.annotated), len(frames)) + 1


def _listed(labels: list[int]) -> str:
    return f"label{'s' * (len(labels) > 1)} {_few(labels)}"


def _spanned(labels: Sequence[int]) -> str:
    return f"1 to {labels[-1]}" if len(labels) == labels[-1] else _few(labels)


def _few(labels: Sequence[int]) -> str:
    return f"{', '.join(map(str, labels[:6]))}{', ...' * (len(labels) > 6)}"
