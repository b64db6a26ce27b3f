"""Files that are either absent or whole, and errors of the disk that name the file."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PREFIX = "cannot write "


def user_path(path: str | os.PathLike[str] | os.PathLike[bytes]) -> Path:
    """A path as people write it: `~` is the home folder, as on the command line."""
    return Path(os.path.expanduser(os.fsdecode(path)))


def ffmpeg_path(path: str | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """What to call a file that FFmpeg is to open by name: never read as an address, whatever the name looks like.

    Without it, `12:30.mp4`, `concat:a` or `http:/b` would name a protocol.
    """
    return f"file:{os.fsdecode(path)}"


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` when the block ends without an error.

    Missing parent folders are made. When the block raises, the temporary file is removed and `path` is as it was.
    Several processes and threads may write one path at once: one of the files wins, whole.

    Raises:
        OSError: the folder cannot be made, or the disk refuses; the message names `path`.
    """
    path = user_path(path)
    temporary = _beside(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(0o666, exist_ok=False)
        try:
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # some writers make private files
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new folder beside `path`; it gets that name when the block ends without an error, and is removed else.

    Raises:
        FileExistsError: there is something of that name, other than an empty folder.
        OSError: the folder cannot be made, or the disk refuses; the message names `path`.
    """
    path = user_path(path)
    check_new(path)
    temporary = _beside(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        try:
            yield temporary
            if path.is_dir():
                path.rmdir()
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path) -> Path:
    """A hidden name beside a path that nobody else has, and that nobody can guess to lay a link there."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, at once: under its name it is never half there.

    Raises:
        OSError: it cannot be moved away.
    """
    gone = _beside(folder)
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def check_new(folder: Path) -> None:
    """Raise FileExistsError if there is something of a folder's name, other than an empty folder."""
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise FileExistsError(f"{folder}: there is something of that name already; name a new folder")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a binary file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a text file: UTF-8 whatever the system's own encoding is, with or without a byte order mark.

    Raises:
        OSError: it cannot be read. ValueError: another encoding; the message names the file.
    """
    try:
        return user_path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text in UTF-8 ({error.reason} at byte {error.start})") from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds, read as `read_text` reads it.

    Raises:
        OSError: it cannot be read. ValueError: as `parse_json`.
    """
    return parse_json(read_text(path), path)


def parse_json(text: str | bytes, name: object) -> Any:
    """What a JSON text holds, whoever made it.

    Args:
        text: UTF-8 where it is bytes. name: what to call it in errors.

    Raises:
        ValueError: it is no JSON, or nested more deeply than can be read; the message begins with `name`.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{name}: JSON that is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{name}: not valid JSON ({error})") from None


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The hexadecimal SHA-256 digest of a file's bytes, read in parts."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def inside(folder: str | os.PathLike[str], name: str) -> Path:
    """The path of a file in a folder by a name that was read from somewhere, such as a record in that folder.

    Raises:
        ValueError: the name leads out of the folder, by itself or through a link.
    """
    folder = user_path(folder)
    path = folder / name
    within = path.parent.resolve().is_relative_to(folder.resolve())
    if not name or not within or path.name in ("", "..") or path.parent / path.name != path:
        raise ValueError(f"{folder}: the name {name!r} leads out of the folder")
    return path


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
