"""A project of the data engine: the masklets that were verified, straight from its database and files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.data.annotations import Layout
from sam2v.data.frames import FrameFolder, Frames, VideoFrames
from sam2v.data.masklet_file import MaskletMasks
from sam2v.data.project_url import existing_only, recorded_url
from sam2v.data.readers.common import open_records
from sam2v.data.records import Records, VideoRecord
from sam2v.files import inside, read_json, user_path
from sam2v.masks.bounds import decode_one
from sam2v.masks.rle import rle_area

_TREE = "data engine's project"
_ROWS = """
SELECT videos.name, videos.path, masklets.number, revisions.masks FROM masklets
JOIN videos ON videos.id = masklets.video_id JOIN revisions ON revisions.id = masklets.revision_id
WHERE masklets.state = 'verified' AND (videos.split = :split OR :split IS NULL)
ORDER BY videos.name, masklets.number
"""


def project(root: str | Path, split: str | None = None, videos: Sequence[str] | None = None) -> Records[VideoRecord]:
    """The verified masklets of a project that `sam2v data-engine` made, as they are now.

    Args:
        root: the project's folder. split: videos that were exported to it (train, val, test); None: all.
        videos: only these, in this order.

    Raises:
        FileNotFoundError: no project. ImportError: SQLAlchemy is missing. ValueError: nothing was verified yet, or a
            database somewhere else than in the project, see `sam2v.data.project_url.recorded_url`.
        OSError: the database does not answer.
    """
    root = user_path(root).absolute()
    files: dict[str, dict[int, Path]] = {}
    paths: dict[str, Path] = {}
    for name, path, number, masks in _rows(root, split):
        paths[name] = Path(path)
        files.setdefault(name, {})[number] = inside(root, masks)
    if not files:
        of = "" if split is None else f" in the split {split}"
        raise ValueError(f"{root}: no masklet was verified yet{of}")
    return open_records(sorted(files), videos, partial(_video, paths=paths, files=files), root, _TREE)


def _video(name: str, paths: Mapping[str, Path], files: Mapping[str, Mapping[int, Path]]) -> VideoRecord:
    path, annotations = paths[name], ProjectMasklets(dict(files[name]))
    video: Frames = FrameFolder.scan(path) if path.is_dir() else VideoFrames.probe(path)
    if strange := [index for index in annotations.frames if not 0 <= index < len(video.names)]:
        raise ValueError(f"{annotations.file(0)}: masks of frame {strange[0]}; {path} has {len(video.names)} frames")
    return VideoRecord(name, video, annotations.frames, getattr(video, "fps", None) or 24.0, annotations)


@dataclass(frozen=True)
class ProjectMasklets:
    """Masklets in files of their own.

    Attributes:
        files: by object id.
    """

    files: Mapping[int, Path]

    @property
    def layout(self) -> Layout:
        return "objects"

    @property
    def frames(self) -> tuple[int, ...]:
        """Indices of the annotated frames: those that all masklets have masks of."""
        return tuple(sorted(set.intersection(*(set(masks.rows) for masks in self._masks.values()))))

    def file(self, frame_idx: int) -> Path:
        return next(iter(self.files.values()))

    def masks(self, frame_idx: int, objects: Collection[int] | None = None) -> dict[int, np.ndarray]:
        chosen = [obj for obj in self.areas(frame_idx) if objects is None or obj in objects]
        return {obj: decode_one(self._masks[obj].rle(frame_idx), len(chosen)) for obj in chosen}

    def areas(self, frame_idx: int) -> dict[int, int]:
        found = {obj: rle_area(masks.rle(frame_idx)) for obj, masks in self._masks.items()}
        return {obj: area for obj, area in found.items() if area}

    def void(self, frame_idx: int) -> np.ndarray | None:
        return None

    def first_frames(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for index in self.frames:
            for obj in self.areas(index):
                found.setdefault(obj, index)
        return found

    def object_name(self, obj_id: int) -> str:
        return f"{obj_id:03d}"

    @cached_property
    def _masks(self) -> dict[int, MaskletMasks]:
        return {obj: MaskletMasks.load(path) for obj, path in self.files.items()}


def _rows(root: Path, split: str | None) -> list[Any]:
    """(video's name, path, object's number, file of masks) of everything that was verified."""
    try:
        from sqlalchemy import create_engine, text
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        raise ImportError("projects of the data engine need a package: pip install 'sam2v[engine]'") from None
    try:
        recorded = read_json(root / "project.json")["database"]
    except (OSError, KeyError, TypeError, ValueError):
        raise FileNotFoundError(f"{root}: no project of the data engine (sam2v data-engine init makes one)") from None
    url = recorded_url(root, recorded)  # a server's password is in the environment or in ~/.pgpass
    engine = create_engine(existing_only(url))
    try:
        with engine.connect() as connection:
            return list(connection.execute(text(_ROWS), {"split": split}))
    except SQLAlchemyError as error:
        reason = " ".join(str(getattr(error, "orig", error)).split())
        raise OSError(f"{url.render_as_string()}: the project's database does not answer: {reason}") from None
    finally:
        engine.dispose()
