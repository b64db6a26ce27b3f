"""A small network for the commands."""

from pathlib import Path

import pytest
from models import nano_by_rule

import sam2v


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments that name a small network with weights by rule."""
    return nano_arguments(tmp_path_factory.mktemp("weights") / "nano.pt", "nano-")


@pytest.fixture(scope="session")
def other_nano(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same network with other weights."""
    return nano_arguments(tmp_path_factory.mktemp("weights") / "other.pt", "other-")


def nano_arguments(path: Path, salt: str) -> list[str]:
    sam2v.save_checkpoint(nano_by_rule(salt), path, "official")
    return ["--checkpoint", str(path), "--override", "model.image_size=96", "--device", "cpu"]
