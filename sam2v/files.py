"""Files that are either absent or whole, and errors of the disk that name the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "cannot write "


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` when the block ends without an error.

    Missing parent folders are made. When the block raises, the temporary file is removed and `path` is as it was. Two
    processes may write one path at once: one of the files wins, whole.

    Raises:
        OSError: the folder cannot be made, or the disk refuses; the message names `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.touch(0o666)
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # some writers make private files
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a binary file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Errors of the disk inside the block become one OSError of the same kind that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if reason.startswith(_PREFIX):  # named already, further inside
            raise
        text = f"{_PREFIX}{path}: {reason}"
        raise (OSError(error.errno, text) if error.errno else OSError(text)) from error
