"""A small network as annotators' tools."""

import pytest
from cli.conftest import nano_arguments
from models import nano_by_rule

from sam2v.data_engine.tools import Tools


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools(nano_by_rule())


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments that name the same network."""
    return nano_arguments(tmp_path_factory.mktemp("weights") / "nano.pt", "nano-")
