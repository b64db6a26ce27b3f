"""Networks and fixtures of the module tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from golden.replay import Fixture, golden_network

from sam2v.config import load_model_config
from sam2v.model.build import build_model
from sam2v.model.network import Sam2Network

TINY = ["sam2.1_hiera_tiny", "sam2_hiera_tiny"]


@pytest.fixture(autouse=True)
def _no_grad() -> object:
    with torch.no_grad():
        yield


@cache
def _network(config: str, salt: str) -> Sam2Network:
    return golden_network(config, salt, image_size=256)


@pytest.fixture(params=TINY)
def config(request: pytest.FixtureRequest) -> str:
    """Both versions: 2.1 adds an embedding and a projection to 2.0."""
    return request.param


@pytest.fixture
def module_fixture(golden_dir: Path, config: str) -> Callable[[str], tuple[Fixture, Sam2Network]]:
    """Function of a kind (``"mask_decoder"``) -> its fixture for ``config`` and the network with its weights."""

    def load(kind: str) -> tuple[Fixture, Sam2Network]:
        fixture = Fixture(golden_dir / "modules" / f"{kind}_{config}.npz")
        return fixture, _network(config, fixture.meta["salt"])

    return load


@pytest.fixture(scope="session")
def nano() -> Sam2Network:
    """The smallest configuration at 128 pixels, with random weights that are always the same."""
    torch.manual_seed(0)
    network = build_model(load_model_config("sam2v_nano", ["model.image_size=128"]))
    # an untrained network hardly tells its inputs apart: make it louder where that would hide mistakes
    for name, value in network.named_parameters():
        if any(part in name for part in ("embed", "token", "tpos_enc", "no_obj_ptr", "q_proj", "k_proj")):
            value.data.mul_(3.0)
    return network.eval()
