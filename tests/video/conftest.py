from collections.abc import Callable
from pathlib import Path

import pytest
from video.clips import write_video


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """`video("clip.mp4", count, ...)` writes a numbered clip and returns its path."""
    return lambda name="clip.mp4", count=40, **options: write_video(tmp_path / name, count, **options)
