"""Sessions as bytes and as files: safetensors, with everything that is no array as JSON in its header.

Nothing in such bytes can run code, and they name no file but the video's. A session that was saved and loaded goes on
as if nothing had happened.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from sam2v.arrays import HOST, Device
from sam2v.config import sides_of
from sam2v.files import user_path, whole_file
from sam2v.memory import Hypothesis, Kept, MemoryBank, MemoryEntry, Pool
from sam2v.tracking.numbering import Numbering
from sam2v.tracking.origin import Origin
from sam2v.tracking.packed import Item, PackedFile, write_packed
from sam2v.tracking.prompts import MaskPrompt, PointPrompt, Prompt, check_count, check_index
from sam2v.tracking.state import HeldPrompt, History, InputSize, SessionState
from sam2v.tracking.tracks import ObjectTrack, Pending
from sam2v.video.base import FrameSource
from sam2v.video.windows import LiveSource

_Session = TypeVar("_Session", bound=SessionState)

_FORMAT = 3
_PARTS = ("mask", "pointer", "scores")


def session_to_bytes(session: SessionState) -> bytes:
    """See `Session.to_bytes`."""
    buffer = io.BytesIO()
    with session.lock:
        session.check_open()
        writer = _Writer(session)
        write_packed(buffer, writer.record, writer.items)
    return buffer.getvalue()


def save_session(session: SessionState, path: str | Path) -> None:
    """Write a session to a file, which appears whole or not at all.

    Raises:
        OSError: it cannot be written, because the disk is full or the folder is closed to us.
    """
    with session.lock:
        session.check_open()
        writer = _Writer(session)
        with whole_file(path) as temporary, temporary.open("wb") as file:
            write_packed(file, writer.record, writer.items)


def session_from_bytes(kind: type[_Session], data: bytes, source: Any = None) -> _Session:
    """See `Session.from_bytes`."""
    return _Reader(PackedFile(data, "these bytes"), "these bytes", Pool()).session(kind, source)


def load_session(
    kind: type[_Session], path: str | Path, source: Any, pool: Pool, device: Device, now: Origin
) -> _Session:
    """Read a session from a file and check that it can go on with what is there.

    Raises:
        FileNotFoundError: the file or the video is missing. ValueError: not a session file, or one of another version,
            model, policy or video.
    """
    path = user_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no session file {path}")
    reader = _Reader(PackedFile(path, str(path)), str(path), pool, device)
    reader.origin.check(now)
    session = reader.session(kind, source)
    session.origin, session.restored = now, False
    return session


class _Writer:
    """Record and arrays of a session; entries that several hypotheses share are written once."""

    def __init__(self, session: SessionState) -> None:
        self.items: list[Item] = []
        self._numbers: dict[int, int] = {}
        self._entries: list[dict[str, Any]] = []
        live = session.frames if isinstance(session.frames, LiveSource) else None
        path = session.frames.path
        tracks = [self._track(n, track) for n, track in enumerate(session.tracks.values())]
        self.record = {
            "format": _FORMAT,
            "origin": session.origin.record(),
            "size": None if live is not None and live.count == 0 else list(session.size),
            "input": {"size": list(session.input.size), "keep_aspect": session.input.keep_aspect},
            "history": session.history,
            "announced_frames": session.announced_frames,
            "near": sorted(session.near),
            "video": None if path is None else str(path.resolve()),
            "live": None if live is None else self._live(session, live),
            "tracks": tracks,
            "entries": self._entries,
        }

    def _track(self, number: int, track: ObjectTrack) -> dict[str, Any]:
        name = f"tracks.{number}"
        for frame, points in track.points.items():
            self.items.append(Item.of(f"{name}.points.{frame}.coords", points.coords))
            self.items.append(Item.of(f"{name}.points.{frame}.labels", points.labels))
        for frame, mask in track.masks.items():
            self.items.append(Item.of(f"{name}.masks.{frame}", mask.bits))
        return {
            "obj_id": track.obj_id,
            "points": list(track.points),
            "masks": [[frame, *mask.size] for frame, mask in track.masks.items()],
            "pending": [[f, self._number(a.entry), a.conditioning] for f, a in track.pending.items()],
            "verified": sorted(track.verified),
            "passed": [[f for f, reverse in track.passed.items() if reverse == way] for way in (False, True)],
            "exemplars": [self._number(entry) for entry in track.bank.exemplars],
            "conditioning": self._numbered(track.bank.conditioning),
            "history": self._numbered(track.bank.history),
            "hypotheses": [
                {
                    "score": h.score,
                    "memo": h.memo,
                    "anchors": self._numbered(h.bank.anchors),
                    "own": self._numbered(h.bank.own),
                }
                for h in track.hypotheses
            ],
        }

    def _numbered(self, entries: dict[int, MemoryEntry]) -> list[list[int]]:
        return [[frame, self._number(entry)] for frame, entry in entries.items()]

    def _number(self, entry: MemoryEntry) -> int:
        """The number under which an entry is written."""
        if id(entry) not in self._numbers:
            number = self._numbers[id(entry)] = len(self._entries)
            about = {"prompted": entry.prompted, "readable": entry.readable, "facts": dict(entry.facts)}
            self._entries.append({**about, "encoded": entry.encoded is not None})
            self._add(f"entries.{number}", _PARTS, entry.result)
            if entry.encoded is not None:
                self._add(f"entries.{number}", ("memory",), entry.encoded)
        return self._numbers[id(entry)]

    def _add(self, name: str, parts: tuple[str, ...], holder: Any) -> None:
        assert isinstance(holder, Kept)  # sessions keep everything in their pool
        for n, (part, (shape, dtype, _)) in enumerate(zip(parts, holder.layout, strict=True)):
            self.items.append(Item(f"{name}.{part}", shape, dtype, lambda n=n: holder.get()[n]))  # type: ignore[misc]

    def _live(self, session: SessionState, live: LiveSource) -> dict[str, Any]:
        recent = live.recent()
        for position, frame in recent.items():
            self.items.append(Item.of(f"live.{position}", np.array(frame)))
        numbering = session.numbering
        return {
            "window": live.window,
            "count": live.count,
            "frames": list(recent),
            "numbers": list(numbering.numbers.items()),
            "upcoming": numbering.upcoming,
            "held": [
                [frame, obj_id, *_plain(held)]
                for frame, prompts in session.held.items()
                for obj_id, several in prompts.items()
                for held in several
            ],
        }


class _Reader:
    """Makes a session of what a `_Writer` wrote."""

    def __init__(self, file: PackedFile, name: str, pool: Pool, device: Device = HOST) -> None:
        self.file, self.name, self.pool, self.device = file, name, pool, device
        with self._of_this_version():
            if file.record["format"] != _FORMAT:
                raise KeyError("format")
            self.origin = Origin.from_record(file.record["origin"])

    def _of_this_version(self) -> Any:
        return _Translated(f"{self.name}: not a session file of this version of sam2v")

    def session(self, kind: type[_Session], source: Any) -> _Session:
        """The session with its video."""
        record = self.file.record
        with self._of_this_version():
            about, live = _About.of(record, self.origin), record["live"]
        if live is not None and source is not None:
            raise ValueError("the session belongs to a live stream: it takes no source")
        frames = self._live_source(live) if live is not None else _open(source, about.video)
        try:
            if live is None:
                _check_video(frames, about)
            session = kind(frames, about.announced, about.history, self.pool, about.inputs, self.origin)
            session.restored = True
            with self._of_this_version():
                self._fill(session, record)
        except BaseException:
            if frames is not source:
                frames.close()
            raise
        return session

    def _fill(self, session: SessionState, record: dict[str, Any]) -> None:
        """What is known of a video's objects."""
        live = record["live"]
        session.near = frozenset(check_count(frame, "near") for frame in record["near"])
        if live is not None:
            numbers = {check_count(p, "position"): check_count(number, "number") for p, number in live["numbers"]}
            session.numbering = Numbering(numbers, check_count(live["upcoming"], "upcoming"), live["count"])
            for frame, obj_id, *parts in live["held"]:
                held = HeldPrompt(Prompt(*parts[:4]), *parts[4:])
                frame, obj_id = check_count(frame, "frame"), check_index(obj_id, "object")
                session.held.setdefault(frame, {}).setdefault(obj_id, []).append(held)
        entries = [self._entry(n, about) for n, about in enumerate(record["entries"])]
        for number, about in enumerate(record["tracks"]):
            session.tracks[int(about["obj_id"])] = self._track(number, about, entries)

    def _live_source(self, live: dict[str, Any]) -> LiveSource:
        with self._of_this_version():
            window, count = live["window"], check_count(live["count"], "count")
            recent = {check_count(p, "frame"): self.file.array(f"live.{p}") for p in live["frames"]}
            kinds = {(*frame.shape[:2], frame.ndim, frame.shape[2], str(frame.dtype)) for frame in recent.values()}
            if len(kinds) > 1 or any(kind[2:] != (3, 3, "uint8") for kind in kinds) or max(recent, default=-1) >= count:
                raise ValueError("frames that are none of the stream's")
            return LiveSource.restored(window, count, recent)

    def _entry(self, number: int, about: dict[str, Any]) -> MemoryEntry:
        name = f"entries.{number}"
        mask, pointer, scores = (self.file.array(f"{name}.{part}", self.device) for part in _PARTS)
        if mask.ndim != 2 or pointer.ndim != 1 or scores.shape != (2,):
            raise ValueError("shapes")
        encoded = None
        if about["encoded"]:
            encoded = self.pool.keep(self.file.array(f"{name}.memory", self.device))
        facts = {str(key): float(value) for key, value in about["facts"].items()}
        kept = self.pool.keep(mask, pointer, scores)
        return MemoryEntry(kept, encoded, bool(about["prompted"]), bool(about["readable"]), facts)

    def _track(self, number: int, about: dict[str, Any], entries: list[MemoryEntry]) -> ObjectTrack:
        def known(pairs: list[list[int]]) -> dict[int, MemoryEntry]:
            return {int(frame): entries[n] for frame, n in pairs}

        name, array = f"tracks.{number}", self.file.array
        track = ObjectTrack(int(about["obj_id"]))
        for frame in about["points"]:
            parts = (array(f"{name}.points.{frame}.{part}") for part in ("coords", "labels"))
            track.points[int(frame)] = PointPrompt(*parts)
        for frame, height, width in about["masks"]:
            bits, size = array(f"{name}.masks.{frame}"), _sides([height, width])
            if bits.shape != (-(-size[0] * size[1] // 8),):  # of more, it would be made with that much memory
                raise ValueError("bits of a mask")
            track.masks[int(frame)] = MaskPrompt(bits, size)
        track.pending = {int(f): Pending(entries[n], bool(conditioning)) for f, n, conditioning in about["pending"]}
        track.passed = {int(f): bool(way) for way, frames in enumerate(about["passed"]) for f in frames}
        track.verified = frozenset(map(int, about.get("verified", ())))
        first = MemoryBank()
        first.exemplars = [entries[n] for n in about.get("exemplars", ())]
        first.restore(known(about["conditioning"]), known(about["history"]))
        track.hypotheses = []
        for saved in about["hypotheses"]:
            bank = MemoryBank(first) if track.hypotheses else first
            bank.anchors, bank.own = known(saved["anchors"]), known(saved["own"])
            track.hypotheses.append(Hypothesis(bank, dict(saved["memo"]), float(saved["score"])))
        if not track.hypotheses or not track.verified <= set(track.frames()):
            raise ValueError("no hypothesis, or nothing that could be verified")
        return track


class _About(NamedTuple):
    """What a record says of its video, each of its type.

    Attributes:
        size: (height, width) of the frames, None: of a stream of which none came. video: where it is.
        announced: its length, if known. history: as `SessionState` has it. inputs: how large the network's input is.
    """

    size: tuple[int, int] | None
    video: str | None
    announced: int | None
    history: History
    inputs: InputSize

    @classmethod
    def of(cls, record: dict[str, Any], origin: Origin) -> _About:
        """Read a record.

        Raises:
            KeyError, TypeError, ValueError: something that cannot be, or that what the session was made with belies.
        """
        size, video, announced = record["size"], record["video"], record["announced_frames"]
        inputs = InputSize(_sides(record["input"]["size"]), record["input"]["keep_aspect"])
        if inputs != InputSize(sides_of(origin.model["image_size"]), origin.options["keep_aspect"]):
            raise ValueError("another input than the model's")
        if not isinstance(video, str | None) or (size is None and record["live"] is None):
            raise TypeError("video")
        announced = None if announced is None else check_count(announced, "announced_frames")
        return cls(None if size is None else _sides(size), video, announced, record["history"], inputs)


def _sides(value: Any) -> tuple[int, int]:
    """(height, width) from a record."""
    height, width = (check_count(side, "size") for side in value)
    return height, width


class _Translated:
    """Turns whatever a malformed record makes go wrong into one ValueError."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError)):
            raise ValueError(self.text) from None


def _open(source: Any, video: str | None) -> FrameSource:
    from sam2v.video.sources import open_source

    if source is None and video is None:
        raise ValueError("the session's video was neither a file nor a folder: give it as source")
    return open_source(video if source is None else source)


def _check_video(frames: FrameSource, about: _About) -> None:
    if about.size is not None and tuple(frames.size) != about.size:
        saved, given = (f"{w} x {h}" for h, w in (about.size, frames.size))
        raise ValueError(f"the session was saved for a video of {saved} pixels, this one has {given}")
    length = frames.known_length()
    if length is not None and about.announced not in (None, length):
        raise ValueError(f"the session was saved for a video of {about.announced} frames, this one has {length}")


def _plain(held: HeldPrompt) -> Iterator[Any]:
    """A held prompt as JSON holds it."""
    prompt = held.prompt
    for part in (prompt.points, prompt.labels, prompt.box, prompt.mask):
        yield None if part is None else np.asarray(part).tolist()
    yield from held[1:]
