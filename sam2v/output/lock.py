"""One writer at a time: a folder that a run writes into is locked by the system, as long as that run lives."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

_NAME = ".sam2v.lock"
#: What the system says when somebody else has the lock; anything else means that this disk knows no locks.
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class FolderLock:
    """Holds a folder for one run, in a `with` block; of a run that was killed nothing stays behind that would block.

    The folder is made if it is missing, and removed at the end if nothing was put into it. Where the disk knows no
    locks (some network disks), nothing is locked.

    Args:
        folder: what is locked.

    Raises:
        OSError: (on entering) in use by another run; or the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        self._made = [place for place in (self.folder, *self.folder.parents) if not place.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self._locked()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        path = self.folder / _NAME
        if sys.platform == "win32":  # which removes no file that is open
            os.close(self._file)
            with contextlib.suppress(OSError):
                path.unlink()
        else:  # the other way round somebody else might have it by then
            path.unlink(missing_ok=True)
            os.close(self._file)
        with contextlib.suppress(OSError):  # something is in it
            for place in self._made:
                place.rmdir()

    def _locked(self) -> int:
        """An open file with the lock, which is still there under its name."""
        path = self.folder / _NAME
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            try:
                _lock(file)
                if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
                    return file
            except OSError as error:
                os.close(file)
                if error.errno in _TAKEN:
                    raise OSError(f"{self.folder}: in use by another run") from None
                raise
            os.close(file)  # whoever had it has removed it meanwhile


def _lock(file: int) -> None:
    """Take the lock of an open file; OSError with one of `_TAKEN` if it is taken."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise
