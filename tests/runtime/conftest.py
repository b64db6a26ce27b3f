"""A small model on torch and exported."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from drawn import drawn_clip
from models import nano_by_rule

from sam2v import ImagePredictor, VideoPredictor, runtime
from sam2v.model.network import Sam2Network

OVERRIDES = (
    *("model.name=small", "model.image_size=[64,96]", "model.hidden_dim=32"),
    *("model.trunk.embed_dim=8", "model.trunk.stages=[1,1,1,1]", "model.trunk.global_blocks=[2]"),
    *("model.decoder.depth=1", "model.decoder.mlp_dim=32", "model.decoder.num_heads=2"),
    *("model.memory.mem_dim=8", "model.memory.num_layers=1", "model.memory.mlp_dim=32"),
)


@pytest.fixture(scope="session")
def network() -> Sam2Network:
    """A small network with weights by rule, whose input is a rectangle."""
    return nano_by_rule("b-", OVERRIDES)


@pytest.fixture(scope="session")
def folder(network: Sam2Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network, exported; SAM2V_TEST_EXPORTS names a folder that keeps it for the next time."""
    from sam2v.export.run import export_model

    pytest.importorskip("onnxruntime")
    kept = os.environ.get("SAM2V_TEST_EXPORTS")
    out = Path(kept) / "small" if kept else tmp_path_factory.mktemp("export") / "small"
    if not out.is_dir():
        export_model(network, out)
    return out


@pytest.fixture(scope="session")
def exported(folder: Path) -> runtime.ExportedModel:
    return runtime.load_export(folder, threads=1)


@pytest.fixture(scope="session")
def on_torch(network: Sam2Network) -> VideoPredictor:
    return VideoPredictor(network)


@pytest.fixture(scope="session")
def on_graphs(exported: runtime.ExportedModel) -> runtime.VideoPredictor:
    return runtime.VideoPredictor(exported)


@pytest.fixture(scope="session")
def images_on_torch(network: Sam2Network) -> ImagePredictor:
    return ImagePredictor(network)


@pytest.fixture(scope="session")
def images_on_graphs(exported: runtime.ExportedModel) -> runtime.ImagePredictor:
    return runtime.ImagePredictor(exported)


@pytest.fixture(scope="session")
def clip() -> np.ndarray:
    return drawn_clip(8)
