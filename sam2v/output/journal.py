"""A record of what has been written, one JSON line per entry, which survives being interrupted at any moment."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from sam2v.files import naming, parse_json, write_text


class Journal:
    """Lines that are complete or absent, each about a frame: an object with the key `frame_idx`.

    Args:
        path: the file; made on the first entry.
        resume: continue with what is there (a last line torn by an interruption is cut off); else start afresh.
        key: what every line is about, instead of a frame: a whole number from 0.

    Raises:
        ValueError: the path is a link, which would lead whoever writes to it somewhere else; or a line that is there is
            no entry, and the file stays as it is.
    """

    def __init__(self, path: Path, resume: bool, key: str = "frame_idx") -> None:
        self.path, self._key = path, key
        self._file: io.FileIO | None = None
        self._closed = False
        if path.is_symlink():
            raise ValueError(f"{path}: a link is no record of a run; remove it")
        if not resume:
            path.unlink(missing_ok=True)
        elif path.exists():
            self._cut_torn_line()

    def append(self, entry: Mapping[str, Any]) -> int:
        """Write one line through to the file and return where it starts. OSError leaves the file as it was.

        Raises:
            ValueError: this was closed: the file may be another's by now.
        """
        if self._closed:
            raise ValueError(f"{self.path}: closed, nothing is written to it any more")
        line = _line(entry).encode()
        with naming(self.path):
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = io.FileIO(self.path, "ab")
            start = self._file.seek(0, os.SEEK_END)
            try:
                rest = line
                while rest:  # a disk that fills up takes a part first and complains about the remainder
                    rest = rest[self._file.write(rest) :]
            except OSError:
                self._file.truncate(start)
                raise
        return start

    def entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(where it starts, entry) of every line.

        Raises:
            ValueError: a line that is no entry about a frame; names the file and the line.
        """
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            start = 0
            for number, line in enumerate(file, 1):
                entry = self._entry(line, number)
                yield start, entry
                start += len(line)

    def entry_at(self, start: int) -> dict[str, Any]:
        """The entry that starts there, as `append` or `entries` said."""
        with open(self.path, "rb") as file:
            file.seek(start)
            return dict(json.loads(file.readline()))

    def rewrite(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Replace all lines at once."""
        self._release()
        write_text(self.path, "".join(map(_line, entries)))

    def close(self) -> None:
        """Close the file for good."""
        self._closed = True
        self._release()

    def _release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _cut_torn_line(self) -> None:
        """Cut off a last line that is incomplete, or end it where only its end is missing."""
        good, line = 0, b"\n"
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                if _is_torn(line):
                    os.truncate(self.path, good)
                    return
                self._entry(line, number)
                good += len(line)
        if not line.endswith(b"\n"):
            with naming(self.path), open(self.path, "ab") as file:
                file.write(b"\n")

    def _entry(self, line: bytes, number: int) -> dict[str, Any]:
        """The entry on a line, of which the number is told in errors."""
        entry = parse_json(line, f"{self.path}: line {number}")
        index = entry.get(self._key) if isinstance(entry, dict) else None
        if type(index) is not int or index < 0:
            what = "a frame" if self._key == "frame_idx" else f"one {self._key}"
            raise ValueError(f"{self.path}: line {number} is no record of {what}")
        return cast(dict[str, Any], entry)


def _is_torn(line: bytes) -> bool:
    """Whether a line is the beginning of an entry, or the zeros that a file system leaves when power fails."""
    if line.endswith(b"\n") or not line.startswith((b"{", b"\0")):
        return False
    try:
        parse_json(line, "")
    except ValueError:
        return True
    return False


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":")) + "\n"
