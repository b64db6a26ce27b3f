"""Finished sequences of a run that is under way, kept so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.files import inside, read_json, write_text


class Parts:
    """One JSON file per finished sequence in a folder; an entry counts only under the key it was saved with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, name: str, key: str, content: Any) -> None:
        """Keep what JSON can hold about sequence `name`."""
        write_text(self._path(name), json.dumps({"key": key, "content": content}))

    def load(self, name: str, key: str) -> Any | None:
        """What was saved under `key`; None when there is none, or only a damaged or outdated entry."""
        path = self._path(name)
        try:
            entry = read_json(path)
            return entry["content"] if entry["key"] == key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remove(self) -> None:
        """Forget everything, once the whole run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return inside(self.folder, f"{name}.json")  # names come from data sets


def fingerprint(*values: Any) -> str:
    """A key that changes with any of the values (anything whose text says what it is)."""
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()


def plain(value: Any) -> Any:
    """A value as JSON holds it, to be compared: of arrays a checksum, of options their fields."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return hashlib.sha256(f"{value.dtype}{value.shape}".encode() + value.tobytes()).hexdigest()[:32]
    return value if value is None or isinstance(value, bool | int | float) else str(value)
