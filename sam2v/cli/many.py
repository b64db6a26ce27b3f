"""Several videos of one command: each becomes a folder, by one or many workers, and what is done is not done again."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sam2v.cli.interrupts import terminate_as_interrupt
from sam2v.cli.options import no_progress
from sam2v.cli.workers import crew_of
from sam2v.files import read_json, remove_folder, sha256_of, write_text
from sam2v.jobs.units import RESULT, Hire, Outcome, Unit, UnitWork, done_before, run_units, size_of
from sam2v.output.lock import FolderLock

#: How every video of the last runs went, in the folder of their folders.
RECORD = "videos.json"
_KIND = "videos of sam2v"
#: What a worker keeps.
Tool = TypeVar("Tool")


@dataclass(frozen=True)
class VideoTask:
    """A video that is to become a folder: its path, and as JSON holds it everything that its results depend on."""

    source: Path
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class ModelWork(Generic[Tool]):
    """What a command does to one video after the other with one model; `load` and `do` say what.

    Attributes:
        args: of the command. place: the folder that its paths begin in.
        threads: of the CPU that torch may use; None: as many as it likes.
        ready: the model, if there is one in this process.
    """

    args: argparse.Namespace
    place: Path
    threads: int | None = None
    ready: Tool | None = None

    def load(self) -> Tool:
        """The model, by the command's arguments."""
        raise NotImplementedError

    def start(self) -> Tool:
        """The model that is ready, or one that is loaded."""
        if self.ready is not None:
            return self.ready
        os.chdir(self.place)
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
        return self.load()


def named(sources: Sequence[Path]) -> dict[str, Path]:
    """Videos by the names of their folders: a file's without its ending, that of a folder of frames.

    Raises:
        FileNotFoundError: there is none. ValueError: two of one name, or a name that no folder can have.
    """
    found: dict[str, Path] = {}
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder")
        place = Path(os.path.abspath(source))  # of links the name that was given, not where they lead
        name = place.name if place.is_dir() else place.stem
        if name in ("", RECORD):
            raise ValueError(f"{source}: results cannot go to a folder of the name {name!r}; rename it")
        if name in found:
            raise ValueError(f"{found[name]} and {source}: both results would go to {name}; rename one of them")
        found[name] = source
    return found


def check_places(sources: Mapping[str, Path], out: Path) -> None:
    """Raise ValueError if results would go among frames, or where something else is."""
    for name, source in sources.items():
        folder = out / name
        if source.resolve() in (out.resolve(), folder.resolve()):
            raise ValueError(f"--out {out}: results would go between the frames of {source}; name another folder")
        if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and _is_ours(folder))):
            raise ValueError(f"{folder}: there is something else of that name; name another --out")
    _rows(out)


def facts_of(unit: Unit, folder: Path, **known: Any) -> dict[str, Any]:
    """What is written down of a video that is done: its settings, what is `known`, and the files."""
    return {"settings": unit.argument.settings, **known, "files": _listed(folder)}


def run_videos(
    work: UnitWork,
    tasks: Mapping[str, VideoTask],
    args: argparse.Namespace,
    what: str,
    kind: str = "video",
    at_once: int = 1,
) -> int:
    """Do every video that is not done, and say how it went.

    Args:
        work: `do` returns `facts_of`. tasks: by name. args: of the command: out, fresh, workers and quiet.
        what: is in the folders. kind: what each of them is called. at_once: videos that a worker does at a time.

    Returns:
        The exit code: 1 if videos failed.

    Raises:
        ValueError: a folder holds results of other settings. OSError: the disk is full, or another run is under way.
        RuntimeError: the workers cannot begin. What is done by then stays done.
    """
    out: Path = args.out
    units = [Unit(name, task, out / name, size_of(task.source)) for name, task in tasks.items()]
    with FolderLock(out):
        for unit in units if args.fresh else ():
            _check_whole(unit.folder)
        for unit in units if args.fresh else ():
            if unit.folder.is_dir():
                remove_folder(unit.folder)
        left = [unit for unit in units if not _is_done(unit)]
        outcomes = _done(work, left, units, args, crew_of(args, at_once))
    failed = [outcome for outcome in outcomes if outcome.facts is None]
    done, before = len(outcomes) - len(failed), len(units) - len(left)
    said = f" ({before} {'was' if before == 1 else 'were'} done before)" if before else ""
    print(f"{done} {kind}{'s' * (done != 1)}{said}: {what} in {out}/NAME")
    for outcome in failed:
        print(f"sam2v: failed: {outcome.unit.argument.source}: {outcome.error}", file=sys.stderr)
    return 1 if failed else 0


def stamp(path: Path) -> str:
    """A checksum of what a file holds, or all files of a folder with their names."""
    digest = hashlib.sha256()
    for name in _listed(path) if path.is_dir() else [""]:
        checksum = bytes.fromhex(sha256_of(path / name))
        digest.update(name.encode(errors="surrogateescape") + b"\0" + checksum)
    return digest.hexdigest()[:32]


def _done(
    work: UnitWork, left: Sequence[Unit], units: Sequence[Unit], args: argparse.Namespace, hire: Hire
) -> list[Outcome]:
    """Do what is left; how it went is written down whatever happens."""
    from tqdm import tqdm

    outcomes: list[Outcome] = []
    try:
        before = len(units) - len(left)
        with (
            terminate_as_interrupt(),
            tqdm(total=len(units), initial=before, unit="video", disable=no_progress(args)) as bar,
        ):
            for outcome in run_units(work, left, hire):
                outcomes.append(outcome)
                bar.set_postfix(failed=sum(one.facts is None for one in outcomes), refresh=False)
                bar.update()
    except BaseException:
        with contextlib.suppress(OSError, ValueError):
            _write(args.out, units, left, outcomes)
        raise
    _write(args.out, units, left, outcomes)
    return outcomes


def _write(out: Path, units: Sequence[Unit], left: Sequence[Unit], outcomes: Sequence[Outcome]) -> None:
    """Enter videos into the record of the folder; those of other runs stay."""
    rows = _rows(out)
    waiting = {unit.name for unit in left}
    for unit in units:
        status = "waiting" if unit.name in waiting else "done"
        known = rows.get(unit.name, {}) if status == "done" else {}
        rows[unit.name] = {**known, "source": str(unit.argument.source), "status": status}
    for outcome in outcomes:
        row = {"status": "done"} if outcome.facts is not None else {"status": "failed", "error": outcome.error}
        rows[outcome.unit.name] |= {**row, "attempts": outcome.attempts, "seconds": round(outcome.seconds, 3)}
    write_text(out / RECORD, json.dumps({"kind": _KIND, "videos": rows}, indent=1) + "\n")


def _rows(out: Path) -> dict[str, Any]:
    """Rows of the record by name; ValueError if there is something else of its name."""
    path = out / RECORD
    if not path.exists():
        return {}
    try:
        record = read_json(path)
        rows = record["videos"] if record["kind"] == _KIND else None
    except (OSError, ValueError, KeyError, TypeError):
        rows = None
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise ValueError(f"{path}: there is something else of that name; name another --out")
    return rows


def _is_ours(folder: Path) -> bool:
    """Whether a folder is empty, or a video's that is done."""
    facts = done_before(folder)
    return not any(folder.iterdir()) if facts is None else isinstance(facts.get("settings"), dict)


def _is_done(unit: Unit) -> bool:
    """Whether a video was done with the same settings; ValueError if it was with others."""
    facts = done_before(unit.folder)
    if facts is None:
        return False
    before, now = facts["settings"], json.loads(json.dumps(unit.argument.settings))
    changed = [key for key in {**now, **before} if before.get(key) != now.get(key)]
    if changed:
        raise ValueError(f"{unit.folder} holds results of other {', '.join(changed)}: use --fresh or another --out")
    return True


def _check_whole(folder: Path) -> None:
    """Raise ValueError if a folder of results holds anything else."""
    known = (done_before(folder) or {}).get("files")
    extra = set(_listed(folder)) - {RESULT, *(map(str, known) if isinstance(known, list) else ())}
    if extra:
        raise ValueError(f"{folder}: {min(extra)} is no result of an earlier run; take it away, or name another --out")


def _listed(folder: Path) -> list[str]:
    """All files of a folder by their paths in it, sorted."""
    found = folder.rglob("*") if folder.is_dir() else ()
    return sorted(path.relative_to(folder).as_posix() for path in found if path.is_symlink() or not path.is_dir())
