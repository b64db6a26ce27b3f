"""A small clip, a small network, and projects around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app.browser import browser_or_skip
from app.opened import FRAMES, Opened, write_clip
from models import nano_by_rule

import sam2v
from sam2v.app.library import Library
from sam2v.data.clips import Clip
from sam2v.data.synthetic import demo_clip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser, one for a file of tests."""
    yield from browser_or_skip()


@pytest.fixture(scope="session")
def clip() -> Clip:
    """A drawn clip with exact masks."""
    return demo_clip((96, 160), FRAMES, 2)


@pytest.fixture(scope="session")
def videos(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two videos and something else."""
    folder = tmp_path_factory.mktemp("videos")
    write_clip(clip, folder / "meadow.mp4")
    write_clip(clip, folder / "below" / "other.mp4")
    (folder / "secret.txt").write_text("not on offer")
    return folder


@pytest.fixture(scope="session")
def predictor() -> sam2v.VideoPredictor:
    """A network with weights by rule: fast, and it tells its inputs apart."""
    return sam2v.VideoPredictor(nano_by_rule())


@pytest.fixture
def open_project(videos: Path, predictor: sam2v.VideoPredictor, tmp_path: Path) -> Iterator[Callable[[], Opened]]:
    """Opens the project of a test, again after it was closed."""
    opened: list[Opened] = []

    def opening() -> Opened:
        opened.append(Opened(Library(videos, tmp_path / "out"), predictor))
        return opened[-1]

    yield opening
    for one in opened:
        one.close()
