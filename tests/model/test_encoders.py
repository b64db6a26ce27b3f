"""All eight image encoders against recorded outputs of the reference, and their names against the checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from golden.noise import block_noise
from golden.replay import Fixture, golden_network
from golden.weights import manifests
from models import pictures

from sam2v.backends.base import Backend
from sam2v.config import load_model_config
from sam2v.model.build import build_model
from sam2v.nn.position import sine_grid

CONFIGS = sorted(manifests())
FEATURES = 1e-4


@pytest.mark.parametrize("config", CONFIGS)
def test_names_and_shapes(config: str) -> None:
    state_dict = build_model(load_model_config(config), device="meta").state_dict()
    assert {name: list(value.shape) for name, value in state_dict.items()} == manifests()[config]
    assert {value.dtype for value in state_dict.values()} == {torch.float32}


@pytest.mark.parametrize("config", CONFIGS)
def test_at_256_pixels(golden_dir: Path, config: str, device: torch.device) -> None:
    """The wider windows and the global blocks of the larger models, and the interpolated position embedding."""
    check_encoder(Fixture(golden_dir / "encoders_256" / f"{config}.npz"), 256, device)


@pytest.mark.parametrize(
    "config", [c if c.endswith("tiny") else pytest.param(c, marks=pytest.mark.full) for c in CONFIGS]
)
def test_at_1024_pixels(golden_dir: Path, config: str, device: torch.device) -> None:
    check_encoder(Fixture(golden_dir / "encoders" / f"{config}.npz"), 1024, device)


@pytest.mark.full
@pytest.mark.parametrize("config", CONFIGS)
def test_full_fixtures(shared_dir: Path, config: str, device: torch.device) -> None:
    fixture = Fixture(shared_dir / "golden" / "public" / f"encoder_{config}.npz")
    for size in fixture.meta["image_sizes"]:
        check_encoder(fixture, size, device)


def check_encoder(fixture: Fixture, size: int, device: torch.device) -> None:
    meta = fixture.meta
    network = golden_network(meta["config"], meta["salt"], size).to(device)
    steps = meta.get(f"strides_{size}_level012_c_h_w") or [meta[f"strides_{size}_all_levels_c_h_w"]] * 3
    images = block_noise(meta["input_seed"], size)
    levels = network.image_encoder(images.to(network.device))  # strides 4, 8, 16
    fine = network.sam_mask_decoder.project_fine(*levels[:2])
    compared = 0
    for i, level in enumerate(levels):
        thinned = tuple(slice(None, None, step) for step in steps[i])
        statistics = np.array([float(x) for x in (level.mean(), level.std(correction=0), level.abs().max())])
        position = sine_grid(*level.shape[-2:], level.shape[1], torch.device("cpu"))
        known = {f"fpn{i}": level[0][thinned], f"fpn{i}_mean_std_absmax": statistics, f"pos{i}": position[thinned]}
        if i < 2:
            known[f"highres{i}"] = fine[i][0][thinned]
        for name, value in known.items():
            if f"size{size}/{name}" in fixture:
                fixture.check(f"size{size}/{name}", value, FEATURES)
                compared += 1
    assert compared == sum(name.startswith(f"size{size}/") for name in fixture.arrays)


@pytest.mark.parametrize("config", [c for c in CONFIGS if c.endswith("tiny")])
def test_backends_encode_alike(config: str, device: torch.device) -> None:
    """Bytes of pictures, normalised and joined: as the network does one after the other."""
    network = golden_network(config, "encoder-", 256).to(device)
    images = pictures(0, 2, 256, 256).to(device)
    with torch.no_grad():
        plain = network.encode_image(images)
    for one, other in zip(plain, Backend(network).encode_image(images), strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)
