"""YouTube-VOS reports objects of categories seen in training apart from those that were not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sam2v.evaluation.results import Evaluation
from sam2v.files import read_json, read_text, user_path

Categories = Mapping[tuple[str, str], str]


def seen_unseen(evaluation: Evaluation, categories: Categories, seen: Collection[str]) -> dict[str, float]:
    """{"J_seen", "F_seen", "J_unseen", "F_unseen", "overall"}: means over objects, fractions; overall = mean of the
    four.

    Args:
        evaluation: scores, made with protocol "youtube".
        categories: (video, object) to category, see `read_categories`.
        seen: the training set's categories.

    Raises:
        KeyError: an object without a category.
    """
    for name, obj, _ in evaluation.objects():
        if (name, obj) not in categories:
            raise KeyError(f"object {obj} of video {name!r} has no category")
    known = set(seen)
    found: dict[str, float] = {}
    for part, wanted in (("seen", True), ("unseen", False)):
        chosen = {key for key, name in categories.items() if (name in known) == wanted}
        j, f = evaluation.statistics(chosen)
        found |= {f"J_{part}": j.mean, f"F_{part}": f.mean}
    return {**found, "overall": sum(found.values()) / len(found)}


def read_categories(meta: str | Path) -> dict[tuple[str, str], str]:
    """(video, object) to category from a YouTube-VOS meta.json. Raises OSError or ValueError naming the file."""
    videos = _videos(user_path(meta))
    try:
        return {
            (video, str(obj)): str(entry["category"])
            for video, content in videos.items()
            for obj, entry in content["objects"].items()
        }
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{meta}: objects need a category: {_EXPECTED}") from None


def read_seen(path: str | Path) -> set[str]:
    """Categories of the training set: from its meta.json, or from a text file with one a line."""
    path = user_path(path)
    if path.suffix == ".json":
        return set(read_categories(path).values())
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such list of seen categories")
    return {line.strip() for line in read_text(path).splitlines() if line.strip()}


_EXPECTED = '{"videos": {VIDEO: {"objects": {ID: {"category": NAME}}}}}'


def _videos(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        videos = read_json(path)["videos"]
    except (ValueError, KeyError, TypeError):
        videos = None
    if not isinstance(videos, dict):
        raise ValueError(f"{path}: not a YouTube-VOS meta.json: {_EXPECTED}")
    return videos
