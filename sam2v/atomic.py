"""Files that are either absent or whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the place of ``path`` when the block ends without an error.

    Missing parent folders are made. When the block raises, the temporary file is removed and ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch(0o666)
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers make private files
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
