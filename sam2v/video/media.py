"""Where the bytes of a video or a picture come from: a path, or an open file such as an upload."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any, BinaryIO, cast

from sam2v.files import user_path

FileLike = str | os.PathLike | BinaryIO


class MediaFile:
    """A file that is read from several places at once, each with a position of its own.

    Args:
        source: a path (`~` is the home folder), or a binary file that can seek: an `io.BytesIO`, an upload, an open
            file. Such a file is read from its start and must stay open, unless it has a path to open it by again.

    Attributes:
        path: where it is, absolute; None for a file without a path.
        name: what messages call it.

    Raises:
        FileNotFoundError, IsADirectoryError: no such file.
        ValueError: the file is empty, closed, no regular file, or cannot seek.
        TypeError: neither a path nor a binary file.
    """

    def __init__(self, source: FileLike) -> None:
        is_path = isinstance(source, str | os.PathLike)
        given = user_path(source) if is_path else _path_of(source)  # type: ignore[arg-type]
        if given is not None:
            _check_path(given)
        self.path = None if given is None else given.absolute()
        self.name = f"the {type(source).__name__} given" if given is None else str(given)
        self._file: Any = source if given is None else None
        self._turns = threading.Lock()
        with self.open() as file:
            if file.seek(0, io.SEEK_END) == 0:
                raise ValueError(f"{self.name}: the file is empty")

    @classmethod
    def of(cls, source: FileLike | MediaFile) -> MediaFile:
        """The source as it is if it is one already."""
        return source if isinstance(source, MediaFile) else cls(source)

    def open(self) -> BinaryIO:
        """The bytes, from the start, with a position of their own."""
        if self.path is not None:
            return self.path.open("rb")
        if isinstance(self._file, io.BytesIO):
            return io.BytesIO(self._file.getvalue())  # shares the bytes; they are copied only if one of them writes
        return cast(BinaryIO, io.BufferedReader(_Share(self._file, self._turns)))

    def __deepcopy__(self, memo: dict[int, Any]) -> MediaFile:
        return self  # it never changes

    def __getstate__(self) -> dict[str, Any]:
        if self.path is None and not isinstance(self._file, io.BytesIO):
            raise TypeError(f"{self.name} cannot be pickled: open the video by its path or as io.BytesIO")
        return {key: value for key, value in self.__dict__.items() if key != "_turns"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _turns=threading.Lock())


def is_file_object(thing: object) -> bool:
    """Whether something can be read as an open file."""
    return all(callable(getattr(thing, name, None)) for name in ("read", "seek", "tell"))


class _Share(io.RawIOBase):
    """A file that belongs to somebody else, read at a position of our own."""

    def __init__(self, file: Any, turns: threading.Lock) -> None:
        self._file, self._turns, self._position = file, turns, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._turns:
            self._file.seek(self._position)
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        self._position = offset + (self._size() if start is None else start)
        return self._position

    def _size(self) -> int:
        with self._turns:
            self._file.seek(0, io.SEEK_END)
            return self._file.tell()


def _path_of(file: Any) -> Path | None:
    """The path by which an open file can be opened again. What is still being written is read as it is."""
    _check_file(file)
    try:
        path = Path(file.name)
        same = not file.writable() and os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (AttributeError, TypeError, ValueError, OSError):
        return None
    return path if same else None


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, not a file")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not a regular file")


def _check_file(file: Any) -> None:
    name = type(file).__name__
    if isinstance(file, io.TextIOBase):
        raise TypeError(f'cannot read the {name} given: it is open as text, open it in binary mode ("rb")')
    if not is_file_object(file):
        raise TypeError(f"cannot read {name}: give a path, or a file that is open in binary mode")
    if getattr(file, "closed", False):
        raise ValueError(f"the {name} given is closed")
    if not getattr(file, "seekable", lambda: True)():
        raise ValueError(f"the {name} given cannot seek: pass its path, or io.BytesIO(file.read())")
