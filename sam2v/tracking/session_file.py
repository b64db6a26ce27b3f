"""Sessions on disk: a session that was saved and loaded goes on as if nothing had happened."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sam2v.files import whole_file
from sam2v.memory import MemoryEntry
from sam2v.tracking.live import LiveFrames
from sam2v.tracking.prompts import PointPrompt
from sam2v.tracking.session import Answer, ObjectTrack, Session
from sam2v.video.base import FrameSource

_FORMAT = 2
_KEYS = {
    *("format", "model", "dtype", "weights", "options", "size", "history", "budget", "announced_frames", "video"),
    *("tracks", "live"),
}


@dataclass(frozen=True)
class ModelIdentity:
    """What tells a session's model from others.

    Attributes:
        config: its configuration. dtype: of its weights. weights: their checksum.
    """

    config: dict[str, Any]
    dtype: str
    weights: str


def save_session(session: Session, path: str | Path, model: ModelIdentity, options: Any) -> None:
    """Write a session's objects, prompts, memories and results; of a live stream also the frames in its window.

    The video itself is not copied. The file appears whole or not at all.

    Raises:
        OSError: it cannot be written, because the disk is full or the folder is closed to us.
    """
    record = {
        "format": _FORMAT,
        "model": model.config,
        "dtype": model.dtype,
        "weights": model.weights,
        "options": asdict(options),
        "size": list(session.size),
        "history": session.history,
        "budget": session.store.budget,
        "announced_frames": session.announced_frames,
        "video": _video_path(session),
        "tracks": [_pack_track(obj_id, track) for obj_id, track in session.tracks.items()],
        "live": _pack_live(session.frames) if isinstance(session.frames, LiveFrames) else None,
    }
    try:
        with whole_file(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save(record, file)
    except (OSError, RuntimeError) as error:  # torch turns an error of the disk into one of its own
        cause = error if isinstance(error, OSError) else error.__context__
        reason = (cause.strerror if isinstance(cause, OSError) else None) or str(error)
        raise OSError(f"cannot write {path}: {reason}") from error


def read_session_file(path: str | Path) -> dict[str, Any]:
    """The record of a saved session.

    Raises:
        FileNotFoundError: no such file. ValueError: not a session file, or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no session file {path}")
    try:
        record = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        raise ValueError(f"{path}: not a session file ({type(error).__name__})") from None
    if not isinstance(record, dict) or record.get("format") != _FORMAT or _KEYS - set(record):
        raise ValueError(f"{path}: not a session file of this version of sam2v")
    return record


def restore_session(
    record: dict[str, Any], frames: FrameSource | None, model: ModelIdentity, options: Any, device: torch.device
) -> Session:
    """Rebuild a session from its record and its video (None for a live stream).

    Raises:
        ValueError: the record belongs to another model, other weights or options, or a video of another size or length.
    """
    for what, now in (("model", model.config), ("options", asdict(options))):
        changed = [key for key in now if record[what].get(key) != now[key]]
        if changed:
            raise ValueError(f"the session was saved with other {what}: {', '.join(changed)} differ")
    # memories of another precision are read all the same
    if record["dtype"] == model.dtype and record["weights"] != model.weights:
        raise ValueError("the session was saved with other weights of this model")
    source = frames if frames is not None else _unpack_live(record["live"])
    if frames is not None and list(frames.size) != record["size"]:
        saved, given = (f"{w} x {h}" for h, w in (record["size"], frames.size))
        raise ValueError(f"the session was saved for a video of {saved} pixels, this one has {given}")
    length = None if frames is None else frames.known_length()
    if length is not None and record["announced_frames"] not in (None, length):
        raise ValueError(
            f"the session was saved for a video of {record['announced_frames']} frames, this one has {length}"
        )
    session = Session(source, record["announced_frames"], record["history"], record["budget"])
    for packed in record["tracks"]:
        session.tracks[packed["obj_id"]] = _unpack_track(session, packed, device)
    return session


def _video_path(session: Session) -> str | None:
    path = getattr(session.frames, "path", None)
    return None if path is None else str(Path(path).resolve())


def _pack_track(obj_id: int, track: ObjectTrack) -> dict[str, Any]:
    tracked = track.bank.tracked_frames()
    return {
        "obj_id": obj_id,
        "points": {f: (p.coords, p.labels) for f, p in track.points.items()},
        "masks": {f: mask.to(torch.uint8) for f, mask in track.masks.items()},
        "pending": {f: (a.conditioning, _pack_entry(a.entry)) for f, a in track.pending.items()},
        "passed": dict(track.passed),
        "conditioning": {f: _pack_entry(e) for f, e in track.bank.conditioning.items()},
        "tracked": {f: _pack_entry(e) for f in tracked if (e := track.bank.tracked(f)) is not None},
    }


def _unpack_track(session: Session, packed: dict[str, Any], device: torch.device) -> ObjectTrack:
    track = session.new_track(packed["obj_id"])
    track.points.update({f: PointPrompt(*parts) for f, parts in packed["points"].items()})
    track.masks.update({f: mask.float() for f, mask in packed["masks"].items()})
    for frame_idx, (conditioning, entry) in packed["pending"].items():
        track.pending[frame_idx] = Answer(MemoryEntry.from_tensors(entry, device), conditioning)
    track.passed.update(packed["passed"])
    for frame_idx, entry in packed["conditioning"].items():
        track.bank.conditioning[frame_idx] = MemoryEntry.from_tensors(entry, device)
    for frame_idx, entry in packed["tracked"].items():
        track.bank.put_tracked(frame_idx, MemoryEntry.from_tensors(entry, device))
    return track


def _pack_entry(entry: MemoryEntry) -> dict[str, Tensor]:
    # cloned, because an entry may be a view into a batch that would be written whole
    return {name: value.detach().cpu().clone() for name, value in entry.tensors().items()}


def _pack_live(frames: LiveFrames) -> dict[str, Any]:
    recent = {i: torch.tensor(f) for i, f in frames.recent().items()}
    return {"window": frames.window, "count": frames.count, "recent": recent}


def _unpack_live(packed: dict[str, Any] | None) -> LiveFrames:
    if packed is None:
        raise ValueError("the session belongs to a video: give it as source")
    return LiveFrames.restored(packed["window"], packed["count"], {i: f.numpy() for i, f in packed["recent"].items()})
