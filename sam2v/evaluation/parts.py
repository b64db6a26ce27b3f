"""Finished sequences of a run that is under way, kept so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from sam2v.evaluation.files import write_text
from sam2v.evaluation.folders import Track
from sam2v.evaluation.protocol import Protocol
from sam2v.evaluation.results import ObjectScores, SequenceScores

_VERSION = 1


class Parts:
    """One JSON file per finished sequence in a folder; an entry counts only under the key it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where sequence `name` is kept."""
        return self.folder / f"{name}.json"

    def save(self, scores: SequenceScores, key: str) -> None:
        """Keep a finished sequence."""
        objects = {obj: astuple(found) for obj, found in scores.objects.items()}
        entry = {"key": key, "gt": str(scores.gt), "pred": str(scores.pred), "per_object": scores.per_object}
        write_text(self.path(scores.name), json.dumps({**entry, "objects": objects}))

    def load(self, name: str, key: str) -> SequenceScores | None:
        """A sequence saved under `key`; None when there is none, or only a damaged or outdated one."""
        try:
            entry = json.loads(self.path(name).read_text())
            if entry["key"] != key:
                return None
            objects = {obj: ObjectScores(*(tuple(part) for part in found)) for obj, found in entry["objects"].items()}
            return SequenceScores(name, objects, Path(entry["gt"]), Path(entry["pred"]), entry["per_object"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remove(self) -> None:
        """Forget everything, once the whole run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)


def fingerprint(tracks: Sequence[Track], protocol: Protocol) -> str:
    """Changes with the convention and with the size or time of any file that is scored."""
    seen: list[object] = [_VERSION, *astuple(protocol)]
    for track in tracks:
        seen += [track.obj, track.labels, track.binary]
        for folder in (track.gt, track.pred):
            seen.append(str(folder.resolve()))
            wanted = {f"{frame}.png" for frame in track.frames}
            with os.scandir(folder) as entries:
                found = [(e.name, e.stat().st_size, e.stat().st_mtime_ns) for e in entries if e.name in wanted]
            seen += sorted(found)
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()
