"""The record of a tracking run: of what job it is, where it is, and the saved state that it goes on from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sam2v.files import read_json, write_text
from sam2v.output.writers import remove_results, results_in

#: The record's name.
RECORD = "track.json"
_SESSION = re.compile(r"track\.[0-9]+\.session")


@dataclass
class Position:
    """Where a run is: the way it goes, the frame that comes next, how many are done, and the file with the state."""

    reverse: bool
    frame_idx: int
    done: int = 0
    finished: bool = False
    session: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Position:
        """A position as a record holds it, which may be a stranger's.

        Raises:
            ValueError, TypeError: it is none, or names another file than `TrackRecord.save` does.
        """
        found = cls(**values)
        flags, counts = (found.reverse, found.finished), (found.frame_idx, found.done)
        if any(type(flag) is not bool for flag in flags) or any(type(count) is not int for count in counts):
            raise TypeError("not where a run is")
        lowest = -1 if found.reverse else 0  # backwards, -1 comes after the first frame
        named = found.session == "" if found.finished else _SESSION.fullmatch(found.session) is not None
        if found.frame_idx < lowest or found.done < 0 or not named:
            raise ValueError("not where a run is")
        return found


class TrackRecord:
    """track.json in a folder of results, and the state's file that it names.

    Args:
        folder: with the results.
        job: what is run, as JSON holds it.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any]) -> None:
        self.folder, self.job = folder, job

    def earlier(self) -> Position | None:
        """Where an interrupted run of this job stopped; None if the folder holds no results, or a run without any.

        Raises:
            ValueError: a finished run, one of another job, results of something else, or no record of a run.
        """
        path = self.folder / RECORD
        if not path.is_file():
            if others := results_in(self.folder):
                raise ValueError(
                    f"{self.folder} holds results of something else ({', '.join(others)}): use --fresh to remove them, "
                    "or another --out"
                )
            return None
        try:
            record = read_json(path)
            position, job = Position.of(record["position"]), dict(record["job"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path}: not the record of a run; use --fresh to start over") from None
        if position.done == 0 and not position.finished:
            return None
        changed = [key for key, value in self.job.items() if job.get(key) != value]
        if changed:
            raise ValueError(f"{self.folder} holds a run with other {', '.join(changed)}: use --fresh or another --out")
        if position.finished:
            raise ValueError(f"{self.folder} holds this run, finished: use --fresh to run it again")
        return position

    def save(self, position: Position, obj_ids: Sequence[int], save_state: Callable[[Path], object]) -> None:
        """Write the state to a file of its own, then the record that names it: the two always belong together.

        Args:
            position: where the run is; it is told the state's file. A finished run has none.
            obj_ids: the objects.
            save_state: writes the state to a path.

        Raises:
            OSError: the disk refuses; the record and the state before are as they were.
        """
        before = position.session
        position.session = "" if position.finished else f"track.{position.done}.session"
        try:
            if position.session not in ("", before):
                save_state(self.folder / position.session)
            record = {"job": self.job, "position": asdict(position), "objects": list(obj_ids)}
            write_text(self.folder / RECORD, json.dumps(record, indent=2) + "\n")
        except BaseException:
            position.session = before
            raise
        if before not in ("", position.session):
            (self.folder / before).unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove an earlier run's state, and all results as far as their writers' records tell them."""
        for name in results_in(self.folder):
            remove_results(name, self.folder)
        for old in (self.folder / RECORD, *self.folder.glob("track.*.session")):
            old.unlink(missing_ok=True)
