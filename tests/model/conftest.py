"""Networks and fixtures of the module tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from golden.replay import Fixture, golden_network
from models import loud_nano

from sam2v.backends.base import Backend
from sam2v.backends.fused import FUSED_KINDS
from sam2v.backends.stand_in import stand_in
from sam2v.model.network import Sam2Network

TINY = ["sam2.1_hiera_tiny", "sam2_hiera_tiny"]


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@cache
def _network(config: str, salt: str, device: torch.device) -> Sam2Network:
    return golden_network(config, salt, image_size=256).to(device)


@pytest.fixture(params=TINY)
def config(request: pytest.FixtureRequest) -> str:
    """Both versions: 2.1 adds an embedding and a projection to 2.0."""
    return request.param


@pytest.fixture(params=["plain", "prepared", "fused"])
def module_fixture(
    golden_dir: Path, config: str, device: torch.device, request: pytest.FixtureRequest
) -> Callable[[str], tuple[Fixture, Sam2Network]]:
    """Function of a kind (`"mask_decoder"`) -> its fixture for `config` and the network with its weights, as it is
    written, as a backend computes it, and as one does on CUDA."""

    def load(kind: str) -> tuple[Fixture, Sam2Network]:
        fixture = Fixture(golden_dir / "modules" / f"{kind}_{config}.npz")
        network = _network(config, fixture.meta["salt"], device)
        if request.param == "fused":
            return fixture, stand_in(network, FUSED_KINDS).eval()
        return fixture, network if request.param == "plain" else Backend(network).calls

    return load


@pytest.fixture(scope="session")
def nano(device: torch.device) -> Sam2Network:
    """The smallest configuration at 128 pixels, with random weights that are always the same."""
    return loud_nano(["model.image_size=128"]).to(device)
