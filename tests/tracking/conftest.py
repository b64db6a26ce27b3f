"""Fixtures of the tests of tracking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from models import nano_by_rule

from sam2v import VideoPredictor
from sam2v.model.network import Sam2Network


@pytest.fixture(scope="module")
def network(device: torch.device) -> Sam2Network:
    return nano_by_rule().to(device)


@pytest.fixture(scope="module")
def predictor(network: Sam2Network) -> VideoPredictor:
    return VideoPredictor(network)


@pytest.fixture(scope="module")
def clip(request: pytest.FixtureRequest) -> np.ndarray:
    """As many frames of a drawn clip as the test's module names in FRAMES."""
    return drawn_clip(request.module.FRAMES)
